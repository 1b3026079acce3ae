"""What is done about a secret in code that is about to run."""

from __future__ import annotations

from dataclasses import dataclass

BLOCKED_BY_DEFAULT = frozenset({"private-key"})


@dataclass(frozen=True, slots=True)
class SourcePolicy:
    """Kinds in `blocked` stop a cell before it runs; all others are only reported, as code often needs to name them."""

    blocked: frozenset[str] = BLOCKED_BY_DEFAULT

    def blocks(self, kind: str) -> bool:
        """Whether a cell with a secret of this kind may not run."""
        return kind in self.blocked or "*" in self.blocked

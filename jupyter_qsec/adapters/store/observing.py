"""Who watches what the store writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from jupyter_qsec.domain.audit import AuditEvent


class Observer(Protocol):
    """Told of each group before its callers are, on the writer's thread: what it does is in everybody's way."""

    def committed(self, events: Sequence[AuditEvent], writes: int, seconds: float) -> None:
        """A group of `writes` is durable, `seconds` after it was taken up; `events` are what it recorded."""
        ...

    def failed(self, writes: int) -> None:
        """A group of `writes` could not be committed."""
        ...

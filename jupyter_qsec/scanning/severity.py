"""How bad the leak of a secret is."""

from __future__ import annotations

import enum


class Severity(enum.IntEnum):
    """How much harm a leak does; ordered, so that a policy can say "from here on"."""

    LOW = 1
    """May be a secret: only the words around it say so."""
    MEDIUM = 2
    """A secret of unknown reach."""
    HIGH = 3
    """Opens one service or account."""
    CRITICAL = 4
    """Opens a cloud account, a machine or many services."""

    @property
    def label(self) -> str:
        """The name in reports and configuration, for example `high`."""
        return self.name.lower()

    @classmethod
    def labelled(cls, label: str) -> Severity:
        """The severity with this label. Raises `KeyError` for another word."""
        return cls[label.upper()]

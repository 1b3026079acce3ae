"""What the parts of the scanner hand to each other."""

from __future__ import annotations

from dataclasses import dataclass

LIVE = -1
"""The priority of live secrets: before every rule."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A match with what a stream needs to know about it."""

    kind: str
    start: int
    end: int
    priority: int
    grows: str = ""
    """Kind of text with which it may go on: a character class body, or `pem.KIND`."""
    open: bool = False
    """Whether the character after its end decides about it: it grows or may be longer, or something must not follow."""

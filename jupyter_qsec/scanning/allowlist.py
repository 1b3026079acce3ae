"""`pragma: allowlist secret` comments, in the forms that detect-secrets understands."""

from __future__ import annotations

import re
from collections.abc import Iterable

from jupyter_qsec.scanning.hit import Hit

_COMMENT = r"(?:#|//|/\*|'|--|<!--)"
_THIS_LINE = re.compile(rf"{_COMMENT}[ \t#]{{0,16}}pragma: ?(?:allow|white)list[ -]secret")
_NEXT_LINE = re.compile(rf"^[ \t]{{0,64}}{_COMMENT}[ \t#]{{0,16}}pragma: ?allowlist[ -]nextline[ -]secret")


def without_allowed(text: str, hits: Iterable[Hit]) -> list[Hit]:
    """Drop the hits whose first line, or the line before it, carries the comment."""
    return [hit for hit in hits if not _allowed(text, hit.start)]


def _allowed(text: str, position: int) -> bool:
    start = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position)
    if _THIS_LINE.search(text, start, len(text) if end < 0 else end):
        return True
    previous = text.rfind("\n", 0, max(0, start - 1)) + 1
    return start > 0 and _NEXT_LINE.match(text[previous : start - 1]) is not None

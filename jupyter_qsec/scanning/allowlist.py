"""What people have allowed: `pragma: allowlist secret` comments as detect-secrets knows them, tagged cells, paths."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Iterable, Mapping
from typing import Any

from jupyter_qsec.scanning.hit import LIVE, Hit

_COMMENT = r"(?:#|//|/\*|'|--|<!--)"
_THIS_LINE = re.compile(rf"{_COMMENT}[ \t#]{{0,16}}pragma: ?(?:allow|white)list[ -]secret")
_NEXT_LINE = re.compile(rf"^[ \t]{{0,64}}{_COMMENT}[ \t#]{{0,16}}pragma: ?allowlist[ -]nextline[ -]secret")

CELL_TAG = "qsec-allow"


def is_allowed_cell(cell: Mapping[str, Any]) -> bool:
    """Whether the cell of a notebook carries the tag `qsec-allow`."""
    metadata = cell.get("metadata")
    tags = metadata.get("tags") if isinstance(metadata, Mapping) else None
    return isinstance(tags, list) and CELL_TAG in tags


class PathGlobs:
    """Globs in which `*` also matches `/`, and that may leave out leading folders."""

    def __init__(self, globs: Iterable[str]) -> None:
        either = "|".join(fnmatch.translate(_normal(glob)) for glob in globs)
        self._match = re.compile(f"(?:.*/)?(?:{either})", re.DOTALL).match if either else None

    def match(self, path: str) -> bool:
        """Whether one of the globs matches this path."""
        return self._match is not None and self._match(_normal(path)) is not None


def _normal(path: str) -> str:
    return posixpath.normpath(path.replace("\\", "/")) if path else ""


def without_allowed(text: str, hits: Iterable[Hit]) -> list[Hit]:
    """Drop the hits whose first line, or the line before it, carries the comment. Live secrets stay: nobody who writes
    a comment can know that one is no longer alive."""
    return [hit for hit in hits if hit.priority == LIVE or not _allowed(text, hit.start)]


def _allowed(text: str, position: int) -> bool:
    start = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position)
    if _THIS_LINE.search(text, start, len(text) if end < 0 else end):
        return True
    previous = text.rfind("\n", 0, max(0, start - 1)) + 1
    return start > 0 and _NEXT_LINE.match(text[previous : start - 1]) is not None

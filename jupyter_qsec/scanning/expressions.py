"""google-re2's expressions over bytes.

Its Python wrapper prepares each match for texts as well, which takes twice as long as the match itself. Here its inner
object is asked directly, and the wrapper where there is none of that kind: both give the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import re2

Spans = Sequence[tuple[int, int]]
"""Of the whole match and of each group; (-1, -1) for a group that took no part."""
_NOWHERE = (-1, -1)


class Expression:
    """A compiled pattern."""

    __slots__ = ("_at", "_from")

    def __init__(self, pattern: bytes, options: Any) -> None:
        compiled = re2.compile(pattern, options)
        run = _inner(compiled)
        if run is None:
            self._at, self._from = _outer(compiled.match), _outer(compiled.search)
        else:
            self._at, self._from = run("ANCHOR_START"), run("UNANCHORED")

    def match(self, data: bytes, start: int, end: int | None = None) -> Spans | None:
        """The match that begins at `start`, if any, looking no further than `end`."""
        size = len(data)
        return self._at(data, start, size if end is None or end > size else end)

    def search(self, data: bytes, start: int) -> Spans | None:
        """The first match that begins at `start` or later."""
        return self._from(data, start, len(data))


_Run = Callable[[bytes, int, int], Spans | None]


def _inner(compiled: Any) -> Callable[[str], _Run] | None:
    try:
        run, anchors = compiled._regexp.Match, re2._Anchor
        known = {name: getattr(anchors, name) for name in ("ANCHOR_START", "UNANCHORED")}
        run(known["UNANCHORED"], b"", 0, 0)
    except (AttributeError, TypeError):
        return None

    def made(name: str) -> _Run:
        anchor = known[name]

        def spans(data: bytes, start: int, end: int) -> Spans | None:
            found: Spans = run(anchor, data, start, end)
            return None if found[0] == _NOWHERE else found

        return spans

    return made


def _outer(run: Callable[..., Any]) -> _Run:
    def spans(data: bytes, start: int, end: int) -> Spans | None:
        found = run(data, start, end)
        return None if found is None else [found.span(n) for n in range(len(found.groups()) + 1)]

    return spans

"""From where on a text may still become a secret when more text follows."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from jupyter_qsec.scanning.engine import Engine
from jupyter_qsec.scanning.joined import before_unfinished, has_unseen, joined, unseen_so_far
from jupyter_qsec.scanning.overprinted import Reading

WINDOW = 768
"""Characters at the end of a text that are looked at: a name, its secret and what lies between."""

_LAST_WORD = re.compile(r"(?<![A-Za-z0-9_.:~|%+/=-])[A-Za-z0-9_.:~|%+/=-]*+\Z")
"""Of all characters that shapes have."""
_WORD_STARTS = re.compile(r"(?<![A-Za-z0-9_-])(?:[A-Za-z0-9_]|[.~](?![.~]{2}))")
_SHORTEST_SHAPE = 3
WIDEST = 8
"""Characters that are taken back at once and may stand within a secret that comes in pieces."""
_TELLING = 4
"""More characters than so few say something about a secret."""
_TOKEN_CHARACTER = re.compile(r"[A-Za-z0-9_.+/=-]")


def hold_from(engine: Engine, text: str, read: Sequence[Reading]) -> int:
    """Index from which the text, of which these are the readings, must not go out yet; its length when all may."""
    return _earliest(engine, text, read, _start)


def anchored_from(engine: Engine, text: str, read: Sequence[Reading]) -> int:
    """Index from which a live secret, or one with an anchor before or in it, may have begun; the text's length when
    none has. What only a shape would tell is not told: every longer number begins like one."""
    return _earliest(engine, text, read, _anchored_start)


def _earliest(engine: Engine, text: str, read: Sequence[Reading], find: Callable[[Engine, str], int]) -> int:
    offset = max(0, len(text) - WINDOW)
    earliest = offset + find(engine, text[offset:])
    for reading in read:
        end = reading.cursor
        offset = max(0, end - WINDOW)
        tail = reading.text[offset:end]
        begun = find(engine, tail)
        if reading.taken_back:
            begun = min(begun, _before_what_is_taken_back(engine, tail))
        if begun < len(tail):
            earliest = min(earliest, reading.origin(offset + begun, end)[0])
    return earliest


def _before_what_is_taken_back(engine: Engine, tail: str) -> int:
    """Where a telling part of a secret begins if some of the last characters are taken back next."""
    whole = before_unfinished(tail)
    line = tail.rfind("\n") + 1
    for end in range(len(whole) - 1, max(line, len(whole) - WIDEST) - 1, -1):
        begun = _anchored_start(engine, tail[:end])
        if begun < end - _TELLING:
            return begun
    return len(tail)


def _start(engine: Engine, tail: str) -> int:
    start = _anchored_start(engine, tail)
    if not tail.endswith("\n"):
        start = min(start, _shape_start(engine, tail))
        if has_unseen(tail):
            visible = unseen_so_far(tail)
            start = min(start, _origin(visible.origin, _shape_start(engine, visible.text), visible.text, tail))
    return start


def _anchored_start(engine: Engine, tail: str) -> int:
    start = _begun(engine, tail)
    if "\n" in tail or tail.endswith("\r"):
        start = min(start, _joined_start(engine, tail))
    if has_unseen(tail):
        visible = unseen_so_far(tail)
        start = min(start, _origin(visible.origin, _begun(engine, visible.text), visible.text, tail))
    return start


def _begun(engine: Engine, tail: str) -> int:
    start = engine.partials.earliest(tail)
    return start if engine.live is None else min(start, engine.live.hold_from(tail))


def _joined_start(engine: Engine, tail: str) -> int:
    body = tail.rstrip("\r\n")
    if not body or len(tail) - len(body) > 2 or not _TOKEN_CHARACTER.match(body[-1]):
        return len(tail)
    together = joined(body) if "\n" in body else None
    if together is None:
        return _origin(int, engine.joining_partials.started(body, open_ended=False), body, tail)
    return _origin(
        together.origin, engine.joining_partials.started(together.text, open_ended=False), together.text, tail
    )


def _shape_start(engine: Engine, tail: str) -> int:
    last = _LAST_WORD.search(tail)
    if last is None or last.end() - last.start() < _SHORTEST_SHAPE:
        return len(tail)
    for begin in _WORD_STARTS.finditer(tail, last.start()):
        position = begin.start()
        for compiled in engine.shapes:
            if len(tail) - position < compiled.shape.hold_after:
                continue
            match = compiled.prefix.match(tail, position, partial=True)
            if match is not None and (match.partial or match.end() == len(tail)):
                return position
    return len(tail)


def _origin(translate: Callable[[int], int], index: int, transformed: str, original: str) -> int:
    return len(original) if index >= len(transformed) else translate(index)

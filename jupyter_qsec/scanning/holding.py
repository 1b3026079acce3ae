"""From where on a text may still become a secret when more text follows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from jupyter_qsec.scanning import pem
from jupyter_qsec.scanning.joined import joined, without_escapes
from jupyter_qsec.scanning.prefilter import CompiledRule, Prefilter, flat

WINDOW = 768
"""Characters at the end of a text that are looked at: a name, its secret and what lies between."""

if TYPE_CHECKING:
    from jupyter_qsec.scanning.scanner import Scanner

_LAST_WORD = re.compile(r"[A-Za-z0-9_.:-]*\Z")
_WORD_STARTS = re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9]")
_SHORTEST_SHAPE = 3
_TOKEN_CHARACTER = re.compile(r"[A-Za-z0-9_.+/=-]")


def hold_from(scanner: Scanner, text: str) -> int:
    """Index from which the text must not go out yet; its length when all of it may."""
    offset = max(0, len(text) - WINDOW)
    tail = text[offset:]
    start = scanner.partials.earliest(tail)
    if not tail.endswith("\n"):
        start = min(start, _shape_start(scanner, tail))
    if "\x1b" in tail:
        visible = without_escapes(tail)
        start = min(start, _origin(visible.origin, scanner.partials.earliest(visible.text), visible.text, tail))
    if "\n" in tail:
        start = min(start, _joined_start(scanner, tail))
    if scanner.live is not None:
        start = min(start, scanner.live.hold_from(tail))
    return offset + start


def _joined_start(scanner: Scanner, tail: str) -> int:
    body = tail.rstrip("\r\n")
    if not body or len(tail) - len(body) > 2 or not _TOKEN_CHARACTER.match(body[-1]):
        return len(tail)
    together = joined(body)
    if together is None:
        return _origin(int, scanner.joining_partials.started(body, open_ended=False), body, tail)
    return _origin(
        together.origin, scanner.joining_partials.started(together.text, open_ended=False), together.text, tail
    )


def _shape_start(scanner: Scanner, tail: str) -> int:
    last = _LAST_WORD.search(tail)
    if last is None or last.end() - last.start() < _SHORTEST_SHAPE:
        return len(tail)
    for begin in _WORD_STARTS.finditer(tail, last.start()):
        position = begin.start()
        for compiled in scanner.shapes:
            if len(tail) - position < compiled.shape.hold_after:
                continue
            match = compiled.prefix.match(tail, position, partial=True)
            if match is not None and (match.partial or match.end() == len(tail)):
                return position
    return len(tail)


def _origin(translate: Callable[[int], int], index: int, transformed: str, original: str) -> int:
    return len(original) if index >= len(transformed) else translate(index)


class Partials:
    """Partial matches of a set of rules at the end of a text."""

    def __init__(self, prefilter: Prefilter, rules: Sequence[CompiledRule], armour: Iterable[str]) -> None:
        self._prefilter = prefilter
        self._by_prefix: dict[str, list[CompiledRule | None]] = {}
        for compiled in rules:
            if not compiled.rule.lead:
                for trigger in compiled.rule.triggers:
                    self._add(trigger, compiled)
        for trigger in armour:
            self._add(trigger, None)
        self._longest = max(map(len, self._by_prefix), default=0)

    def _add(self, trigger: str, compiled: CompiledRule | None) -> None:
        for end in range(1, len(trigger)):
            self._by_prefix.setdefault(trigger[:end], []).append(compiled)

    def earliest(self, tail: str) -> int:
        """Start of the earliest secret that has begun, or of a trigger of which the end is missing."""
        return min(self.started(tail), self._begun_trigger(tail))

    def started(self, tail: str, *, open_ended: bool = True) -> int:
        """Start of the earliest secret that has begun after a complete trigger; with `open_ended` also of one that is
        complete but may go on."""
        earliest = len(tail)
        data = flat(tail)
        for position, trigger, rules in self._prefilter.hits(data):
            if position >= earliest:
                break
            if trigger.decode("latin-1") in pem.TRIGGERS and pem.undecided(tail, position):
                earliest = position
            for compiled in rules:
                earliest = min(earliest, _begun(compiled, tail, position, open_ended=open_ended))
        return earliest

    def _begun_trigger(self, tail: str) -> int:
        lowered = tail[-self._longest :].lower()
        if len(lowered) != min(len(tail), self._longest):  # some characters grow when lowered
            return len(tail)
        for size in range(len(lowered), 0, -1):
            position = len(tail) - size
            for compiled in self._by_prefix.get(lowered[-size:], ()):
                if compiled is None or _begun(compiled, tail, position) < len(tail):
                    return position
        return len(tail)


def _begun(compiled: CompiledRule, tail: str, position: int, *, open_ended: bool = True) -> int:
    """Where the secret of this rule begins if it is not finished at the end of the text, else the text's length."""
    if compiled.barred_after(flat(tail[max(0, position - 2) : position])):
        return len(tail)
    match = compiled.prefix.match(tail, position, partial=True)
    if match is None or not (match.partial or (open_ended and match.end() == len(tail) and compiled.open)):
        return len(tail)
    start: int = match.start(1)
    return start if start >= 0 else len(tail)

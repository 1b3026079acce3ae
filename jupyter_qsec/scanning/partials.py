"""Secrets that have begun at the end of a text and are not finished there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from jupyter_qsec.scanning import pem
from jupyter_qsec.scanning.prefilter import CompiledRule, Prefilter, flat, word_begun

_OF_LITERALS = frozenset("bBrRuUfF")


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
        self._last = frozenset(begun[-1] for begun in self._by_prefix)

    def _add(self, trigger: str, compiled: CompiledRule | None) -> None:
        for end in range(1, len(trigger)):
            self._by_prefix.setdefault(trigger[:end], []).append(compiled)

    def earliest(self, tail: str) -> int:
        """Start of the earliest secret that has begun, or of a trigger of which the end is missing."""
        read = flat(tail).decode("latin-1")
        return min(self.started(read), self._begun_trigger(read), word_begun(tail))

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
        if tail[-1:].lower() not in self._last:
            return len(tail)
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
    if start < 0:
        return _other_reading(compiled, tail, position)
    while tail[start - 1 : start] in _OF_LITERALS and compiled.lead.fullmatch(tail, position, start - 1):
        start -= 1  # `KEY=b` may be the beginning of a literal of bytes, or of the secret
    return start


def _other_reading(compiled: CompiledRule, tail: str, position: int) -> int:
    """Where the secret begins if what may go on as a lead (`Key  word` as `Key  str = `) may also be the secret."""
    for start in range(position + 1, len(tail)):
        if compiled.lead.fullmatch(tail, position, start) and compiled.rest.match(tail, start, partial=True):
            return start
    return len(tail)

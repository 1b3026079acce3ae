"""Secrets in bytes that need not be text: an array or a picture holds any few letters by chance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import regex

from jupyter_qsec.scanning import pem
from jupyter_qsec.scanning.engine import Engine, merge
from jupyter_qsec.scanning.finding import Match
from jupyter_qsec.scanning.hit import LIVE, Hit
from jupyter_qsec.scanning.severity import Severity

_RUN = 16
"""Bytes of text in a row, as a name and the secret given to it take: random ones have so many in a row once in several
megabytes, and next to never so many that name a secret."""
_LONG_RUN = 48
"""As many for a value without quotes: of small numbers, three in four are letters."""
_TEXT = regex.compile(rb"(?:[\t\n\r\x1b -~]|[\xc2-\xf4][\x80-\xbf]{1,3}+)++")
"""ASCII, also with the colours of a terminal, and UTF-8."""
_CHUNK = 64


def cleaned(engine: Engine, data: bytes) -> tuple[bytes, list[tuple[str, str]]]:
    """The bytes with secrets overwritten in place, as their length is part of their meaning; (kind, secret) of each."""
    clean, secrets = bytearray(data), []
    text = data.decode("latin-1")
    for match in _scan(engine, data, text):
        secrets.append((match.kind, text[match.start : match.end]))
        clean[match.start : match.end] = b"*" * (match.end - match.start)
    if b"\0" in clean:  # UTF-16 and UTF-32 put zeros between the letters
        narrow = bytes(clean.replace(b"\0", b""))
        text, wide = narrow.decode("latin-1"), bytes(clean)
        matches = _scan(engine, narrow, text)
        ends = _letters(wide, (n for match in matches for n in (match.start, match.end - 1)))
        for match, start, last in zip(matches, ends, ends, strict=True):
            secrets.append((match.kind, text[match.start : match.end]))
            clean[start : last + 1] = bytes(last + 1 - start)
    return bytes(clean), secrets


def _scan(engine: Engine, data: bytes, text: str) -> list[Match]:
    hits = [hit for hit in engine.found(text) if _distinctive(engine, hit) or _in_text(engine, data, hit)]
    return [Match(hit.kind, hit.start, hit.end) for hit in merge(hits)]


def _distinctive(engine: Engine, hit: Hit) -> bool:
    """Known exactly, or so long and of so few characters that chance does not make it."""
    if hit.priority == LIVE or hit.kind == pem.KIND or hit.priority >= len(engine.rules):
        return True
    return engine.rules[hit.priority].rule.joins


def _in_text(engine: Engine, data: bytes, hit: Hit) -> bool:
    """Whether a hit stands in a run of text, or there is nothing else."""
    bare = engine.rules[hit.priority].rule.severity is Severity.LOW
    least = _LONG_RUN if bare else _RUN
    for run in _TEXT.finditer(data, max(0, hit.start - least), hit.end + least):
        if run.end() >= hit.end:
            return bool(run.start() <= hit.start and run.end() - run.start() >= min(least, len(data)))
    return False


def _letters(data: bytes, numbers: Iterable[int]) -> Iterator[int]:
    """Indices of bytes that are no zeros, by their numbers among these, which ascend."""
    at = before = 0
    for number in numbers:
        while number >= (after := before + _CHUNK - data.count(0, at, at + _CHUNK)):
            at, before = at + _CHUNK, after
        places = (n for n in range(at, at + _CHUNK) if data[n])
        yield next(islice(places, number - before, None))

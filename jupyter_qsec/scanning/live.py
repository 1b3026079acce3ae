"""Secrets known to be alive: found exactly, whatever shape they were given."""

from __future__ import annotations

import base64
import json
import threading
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.scanning.finding import Match

MIN_LENGTH = 8
MAX_LENGTH = 8192
MAX_SECRETS = 1000


@dataclass(frozen=True, slots=True)
class _Live:
    kind: str
    forms: tuple[str, ...]


class LiveSecrets:
    """A set of secrets with their encoded forms. Thread-safe: scans read an immutable snapshot."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_value: dict[str, _Live] = {}
        self._snapshot: tuple[_Live, ...] = ()

    def add(self, value: str, kind: str) -> None:
        """Watch for `value`. `InvalidRequestError` when it is too short or long, or the set is full."""
        if not MIN_LENGTH <= len(value) <= MAX_LENGTH:
            raise InvalidRequestError(f"A live secret has {MIN_LENGTH} to {MAX_LENGTH} characters.")
        with self._lock:
            if value not in self._by_value and len(self._by_value) >= MAX_SECRETS:
                raise InvalidRequestError(f"More than {MAX_SECRETS} live secrets.")
            self._by_value[value] = _Live(kind, _forms(value))
            self._snapshot = tuple(self._by_value.values())

    def discard(self, value: str) -> None:
        """Stop watching for `value`; nothing happens when it is not watched."""
        with self._lock:
            self._by_value.pop(value, None)
            self._snapshot = tuple(self._by_value.values())

    def __len__(self) -> int:
        return len(self._snapshot)

    def scan(self, text: str) -> list[Match]:
        """Every occurrence of every form, sorted; occurrences may overlap one another."""
        found = []
        for live in self._snapshot:
            for form in live.forms:
                position = text.find(form)
                while position >= 0:
                    found.append(Match(live.kind, position, position + len(form)))
                    position = text.find(form, position + len(form))
        found.sort(key=lambda match: (match.start, -match.end))
        return found

    def hold_from(self, text: str) -> int:
        """Index of the longest suffix with which some form begins; the text's length when there is none."""
        earliest = len(text)
        for live in self._snapshot:
            for form in live.forms:
                earliest = min(earliest, _overlap_start(text, form))
        return earliest


def _overlap_start(text: str, form: str) -> int:
    first = form[0]
    position = text.find(first, max(0, len(text) - len(form) + 1))
    while position >= 0:
        if form.startswith(text[position:]):
            return position
        position = text.find(first, position + 1)
    return len(text)


def _forms(value: str) -> tuple[str, ...]:
    """The value itself, escaped, percent-encoded, in hex and base64 (at all three alignments), and reversed."""
    raw = value.encode("utf-8", "surrogatepass")
    forms = {
        value,
        value[::-1],
        json.dumps(value)[1:-1],
        repr(value)[1:-1],
        quote(value, safe="", errors="replace"),
        quote_plus(value, errors="replace"),
        raw.hex(),
        raw.hex().upper(),
        ":".join(f"{byte:02x}" for byte in raw),
    }
    for shift in range(3):
        # The first characters mix with what stands before, the last with what follows: only the middle is certain.
        encoded = base64.b64encode(b"\0" * shift + raw)
        body = encoded[(0, 2, 3)[shift] : len(encoded) - (0, 3, 2)[(len(raw) + shift) % 3]]
        forms |= {body.decode(), body.translate(bytes.maketrans(b"+/", b"-_")).decode()}
    return tuple(sorted((form for form in forms if len(form) >= MIN_LENGTH), key=len, reverse=True))

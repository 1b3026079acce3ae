"""Redaction of JSON values: MIME bundles, replies, comm data, metadata."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from jupyter_qsec.domain.errors import TooLargeError
from jupyter_qsec.scanning.finding import Match, marker
from jupyter_qsec.scanning.scanner import Scanner, bare, replace

MAX_DEPTH = 100
MAX_CHARACTERS = 64 << 20
MAX_VALUES = 2_000_000

_TELLING_KEY = re.compile(r"key|token|secret|pass|pwd|auth|credential", re.IGNORECASE)
_BINARY_MIME = re.compile(
    r"(?:image/(?!svg)|audio/|video/|font/|application/(?:pdf|octet-stream|zip)\b)", re.IGNORECASE
)
_ENCODED = re.compile(r"[A-Za-z0-9+/_\s-]*={0,2}\s*")
"""Base64. Anything else under the name of an image is text that only says so."""
_SMALL = 512
"""Characters; in so little, chance finds nothing."""
_MAX_NAMED = 8192


def redact_json(value: Any, scanner: Scanner) -> tuple[Any, tuple[Match, ...], list[tuple[str, str]]]:
    """(new value, matches, [(kind, secret)] for fingerprinting). The value given stays as it is.

    Strings, keys, and lists of strings (scanned as one text, so a secret broken over items is found) are redacted; a
    string under a telling key is scanned together with that key. Offsets of a match count within its own string.
    Raises `TooLargeError` for a value too deep or large to scan, so that callers fail closed.
    """
    walk = Walk(scanner)
    new = walk.value(value, 0)
    return new, tuple(found.match for found in walk.found), [(found.match.kind, found.secret) for found in walk.found]


@dataclass(frozen=True, slots=True)
class Found:
    """A secret in some string of a JSON value."""

    match: Match
    line: int
    """Within its string (or list of strings), counted from 1."""
    column: int
    """Within its line, counted from 1."""
    secret: str = field(repr=False)


class Walk:
    """One pass over one or more JSON values, under one common bound."""

    def __init__(self, scanner: Scanner) -> None:
        self._scanner = scanner
        self.found: list[Found] = []
        self._characters = 0
        self._values = 0

    def value(self, value: Any, depth: int = 0, key: str = "") -> Any:
        """The value without its secrets, a new object throughout."""
        self._values += 1
        if depth > MAX_DEPTH or self._values > MAX_VALUES:
            raise TooLargeError("A message is nested too deeply or has too many parts to be scanned for secrets.")
        if isinstance(value, str):
            return self.text(value, key)
        if isinstance(value, dict):
            return self._dict(value, depth)
        if isinstance(value, (list, tuple)):
            if len(value) > 1 and all(isinstance(item, str) for item in value):
                return self.strings(list(value), key)
            return [self.value(item, depth + 1, key) for item in value]
        return value

    def _dict(self, value: dict[Any, Any], depth: int) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        for key, item in value.items():
            new_key = self.text(key) if isinstance(key, str) else key
            while new_key in result:  # two secret keys of one kind must not swallow each other's values
                new_key = f"{new_key}'"
            result[new_key] = self.value(item, depth + 1, key if isinstance(key, str) else "")
        return result

    def text(self, text: str, key: str = "") -> str:
        """One string without its secrets; `key` is the name it stands under."""
        self._count(text)
        if _BINARY_MIME.match(key) and len(text) > _SMALL and _ENCODED.fullmatch(text):
            # Rules would find nothing but chance in an encoded image, and a marker would break it.
            matches = self._scanner.live.scan(text) if self._scanner.live is not None else []
        elif key and len(text) <= _MAX_NAMED and _TELLING_KEY.search(key):
            matches = self._named(text, key)
        else:
            matches = self._scanner.scan(text)
        return self._replace(text, matches)

    def _named(self, text: str, key: str) -> list[Match]:
        """With its key in front, as `{"SecretAccessKey": "…"}` needs both to be recognised."""
        lead = f'{key[-128:]} = "'
        together = self._scanner.scan(f'{lead}{text}"')
        end = len(text)
        inside = [
            Match(m.kind, max(0, m.start - len(lead)), min(end, m.end - len(lead)))
            for m in together
            if m.end > len(lead) and m.start < len(lead) + end
        ]
        return inside or self._scanner.scan(text)

    def source(self, text: str) -> str:
        """One string in which `pragma: allowlist secret` comments count."""
        self._count(text)
        return self._replace(text, self._scanner.scan(text, allow=True))

    def strings(self, items: list[str], key: str = "") -> list[str]:
        """Lines of one text: joined as they stand when they bring their own line ends, else by line breaks."""
        if _BINARY_MIME.match(key):
            return [self.text(item, key) for item in items]
        own_ends = all(item.endswith("\n") for item in items[:-1])
        before = len(self.found)
        pieces = self.pieces(items, "".join(items) if own_ends else "\n".join(items))
        if len(self.found) == before and _TELLING_KEY.search(key):
            return [self.text(item, key) for item in items]
        return pieces

    def pieces(self, items: list[str], whole: str) -> list[str]:
        """Each item without its part of the secrets of `whole`: the items with nothing or one character between."""
        self._count(whole)
        matches = self._scanner.scan(whole)
        if not matches:
            return items
        self._note(whole, matches)
        gap = (len(whole) - sum(map(len, items))) // max(1, len(items) - 1)
        result, at = [], 0
        for item in items:
            end = at + len(item)
            result.append(_without(item, at, matches))
            at = end + gap
        return result

    def _replace(self, text: str, matches: list[Match]) -> str:
        self._note(text, matches)
        return replace(text, matches).text

    def _note(self, text: str, matches: list[Match]) -> None:
        for match in matches:
            line = text.count("\n", 0, match.start) + 1
            column = match.start - text.rfind("\n", 0, match.start)
            self.found.append(Found(match, line, column, bare(match.kind, text[match.start : match.end])))

    def _count(self, text: str) -> None:
        self._characters += len(text)
        if self._characters > MAX_CHARACTERS:
            raise TooLargeError("A message is too large to be scanned for secrets.")


def _without(item: str, offset: int, matches: list[Match]) -> str:
    """The item, which begins at `offset` of the text that was scanned, without its part of each match. The marker
    stands where the match begins, so a secret broken over items leaves one marker."""
    parts, at = [], 0
    for match in matches:
        start, end = match.start - offset, match.end - offset
        if end <= 0 or start >= len(item):
            continue
        parts.append(item[at : max(0, start)])
        if start >= 0:
            parts.append(marker(match.kind))
        at = min(end, len(item))
    parts.append(item[at:])
    return "".join(parts)

"""Redaction of JSON values: MIME bundles, replies, comm data, metadata."""

from __future__ import annotations

import re
from typing import Any

from jupyter_qsec.domain.errors import TooLargeError
from jupyter_qsec.scanning.finding import Match
from jupyter_qsec.scanning.scanner import Scanner, bare, replace

MAX_DEPTH = 100
MAX_CHARACTERS = 64 << 20
MAX_VALUES = 2_000_000

_TELLING_KEY = re.compile(r"key|token|secret|pass|pwd|auth|credential", re.IGNORECASE)
_BINARY_MIME = re.compile(
    r"(?:image/(?!svg)|audio/|video/|font/|application/(?:pdf|octet-stream|zip)\b)", re.IGNORECASE
)
_MAX_NAMED = 8192


def redact_json(value: Any, scanner: Scanner) -> tuple[Any, tuple[Match, ...], list[tuple[str, str]]]:
    """(new value, matches, [(kind, secret)] for fingerprinting). The value given stays as it is.

    Strings, keys, and lists of strings (scanned as one text, so a secret broken over items is found) are redacted; a
    string under a telling key is scanned together with that key. Offsets of a match count within its own string.
    Raises `TooLargeError` for a value too deep or large to scan, so that callers fail closed.
    """
    walk = _Walk(scanner)
    return walk.value(value, 0), tuple(walk.matches), walk.secrets


class _Walk:
    def __init__(self, scanner: Scanner) -> None:
        self._scanner = scanner
        self.matches: list[Match] = []
        self.secrets: list[tuple[str, str]] = []
        self._characters = 0
        self._values = 0

    def value(self, value: Any, depth: int, key: str = "") -> Any:
        self._values += 1
        if depth > MAX_DEPTH or self._values > MAX_VALUES:
            raise TooLargeError("A message is nested too deeply or has too many parts to be scanned for secrets.")
        if isinstance(value, str):
            return self.text(value, key)
        if isinstance(value, dict):
            return self._dict(value, depth)
        if isinstance(value, (list, tuple)):
            if len(value) > 1 and all(isinstance(item, str) for item in value):
                return self._strings(list(value), key)
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
        self._count(text)
        if _BINARY_MIME.match(key):
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

    def _strings(self, items: list[str], key: str) -> list[str]:
        """Lines of one text: joined as they stand when they bring their own line ends, else by line breaks."""
        own_ends = all(item.endswith("\n") for item in items[:-1])
        glue = "" if own_ends else "\n"
        whole = glue.join(items)
        self._count(whole)
        matches = [] if _BINARY_MIME.match(key) else self._scanner.scan(whole)
        if not matches:
            return [self.text(item, key) for item in items] if _TELLING_KEY.search(key) else items
        self._note(whole, matches)
        result, at = [], 0
        for item in items:
            end = at + len(item)
            local = [
                Match(m.kind, max(m.start, at) - at, min(m.end, end) - at)
                for m in matches
                if m.start < end and m.end > at
            ]
            result.append(replace(item, local).text)
            at = end + len(glue)
        return result

    def _replace(self, text: str, matches: list[Match]) -> str:
        self._note(text, matches)
        return replace(text, matches).text

    def _note(self, text: str, matches: list[Match]) -> None:
        self.matches += matches
        self.secrets += [(m.kind, bare(m.kind, text[m.start : m.end])) for m in matches]

    def _count(self, text: str) -> None:
        self._characters += len(text)
        if self._characters > MAX_CHARACTERS:
            raise TooLargeError("A message is too large to be scanned for secrets.")

"""Redaction of JSON values: MIME bundles, replies, comm data, metadata."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from jupyter_qsec.domain.errors import TooLargeError
from jupyter_qsec.scanning.encoded import is_binary, is_encoded, last_row
from jupyter_qsec.scanning.engine import Engine, bare, merge, replace
from jupyter_qsec.scanning.finding import Match, marker
from jupyter_qsec.scanning.hit import Hit
from jupyter_qsec.scanning.overprinted import readings

MAX_DEPTH = 100
MAX_CHARACTERS = 64 << 20
"""Of a message."""
MAX_VALUES = 2_000_000

_TELLING_KEY = re.compile(r"key|token|secret|pass|pwd|auth|credential", re.IGNORECASE)
_PLAIN = frozenset(("", "text/plain", "code", "ename", "evalue", "traceback"))
"""Under these keys nothing is shown as a page. Elsewhere any string may be: a plot's title, a widget's value."""
_MARKED = frozenset(("text/markdown", "text/latex"))
_PROTOCOL_KEYS = frozenset(
    (
        *("code", "silent", "store_history", "user_expressions", "allow_stdin", "stop_on_error", "execution_count"),
        *("name", "text", "data", "metadata", "transient", "display_id", "status", "payload", "execution_state"),
        *("ename", "evalue", "traceback", "comm_id", "target_name", "method", "state", "buffer_paths", "wait"),
        *("text/plain", "text/html", "text/markdown", "text/latex", "image/png", "image/svg+xml", "application/json"),
        *("started", "dependencies_met", "engine", "cellId", "deletedCells", "recordTiming", "cursor_pos", "matches"),
    )
)
"""Words of the messaging protocol, which stand in every message and are no secrets."""
_SMALL = 512
"""Characters; in so little, chance finds nothing."""
_MAX_NAMED = 8192


def is_telling(key: str) -> bool:
    """Whether a text under this name is scanned together with the name, too."""
    return _TELLING_KEY.search(key) is not None


Known = Callable[[str, str], bool]
"""Tells of a kind and a secret whether somebody has decided that it may stay."""


def redact_json(
    value: Any, engine: Engine, known: Known | None = None
) -> tuple[Any, tuple[Match, ...], list[tuple[str, str]]]:
    """(new value, matches, [(kind, secret)] for fingerprinting). The value given stays as it is.

    Strings, keys, and lists of strings (scanned as one text, so a secret broken over items is found) are redacted; a
    string under a telling key is scanned together with that key; what is `known` stays. Offsets of a match count within
    its own string. Raises `TooLargeError` for a value too deep or large to scan, so that callers fail closed.
    """
    walk = Walk(engine, known)
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
    at: tuple[str, ...] = ()
    """Keys and indices that lead to the string, without secrets."""


class Walk:
    """One pass over one or more JSON values, under one common bound."""

    def __init__(self, engine: Engine, known: Known | None = None, *, most: int | None = None) -> None:
        """`most`: characters in all; by default what a message may have."""
        self._engine = engine
        self._most = MAX_CHARACTERS if most is None else most
        self._known = known
        self._at: list[str] = []
        self.allowing = False
        """Whether the person who wrote this part has said that what it holds may stay; live secrets never may."""
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
            return [self._below(str(n), item, depth, key) for n, item in enumerate(value)]
        return value

    @contextmanager
    def below(self, *keys: str) -> Iterator[None]:
        """What is walked inside stands under these keys."""
        size = len(self._at)
        self._at += keys
        try:
            yield
        finally:
            del self._at[size:]

    def _below(self, step: str, value: Any, depth: int, key: str) -> Any:
        self._at.append(step)
        new = self.value(value, depth + 1, key)
        self._at.pop()
        return new

    def _dict(self, value: dict[Any, Any], depth: int) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        same: dict[Any, int] = {}
        for key, item in value.items():
            plain = new_key = self.text(key) if isinstance(key, str) and key not in _PROTOCOL_KEYS else key
            while new_key in result:  # two secret keys of one kind must not swallow each other's values
                same[plain] = same.get(plain, 0) + 1
                new_key = f"{plain}'{same[plain] if same[plain] > 1 else ''}"
            result[new_key] = self._below(str(new_key), item, depth, key if isinstance(key, str) else "")
        return result

    def text(self, text: str, key: str = "") -> str:
        """One string without its secrets; `key` is the name it stands under."""
        self._count(text)
        if is_binary(key) and len(text) > _SMALL and is_encoded(text) and not self._scan(last_row(text), key):
            # Rules would find nothing but chance in an encoded image, and a marker would break it.
            matches = self._engine.scan_live(text)
        elif key and len(text) <= _MAX_NAMED and is_telling(key):
            matches = self._named(text, key)
        else:
            matches = self._scan(text, key)
        return self._replace(text, matches)

    def _scan(self, text: str, key: str) -> list[Match]:
        if key in _PLAIN:
            return self._engine.scan_printed(text)
        return self._engine.scan_markup(text, marks=key in _MARKED)

    def _named(self, text: str, key: str) -> list[Match]:
        """With its key in front, as `{"SecretAccessKey": "…"}` needs both to be recognised."""
        inside = self._behind(key, text)
        for reading in readings(text):
            inside = merge(inside + reading.back(self._behind(key, reading.text), len(text)))
        return [Match(hit.kind, hit.start, hit.end) for hit in inside] or self._scan(text, key)

    def _behind(self, key: str, text: str) -> list[Hit]:
        lead = f'{key[-128:]} = "'
        end = len(text)
        return [
            dataclasses.replace(hit, start=max(0, hit.start - len(lead)), end=min(end, hit.end - len(lead)))
            for hit in self._engine.hits(f'{lead}{text}"')
            if hit.end > len(lead) and hit.start < len(lead) + end
        ]

    def source(self, text: str) -> str:
        """One string in which `pragma: allowlist secret` comments count."""
        self._count(text)
        return self._replace(text, self._engine.scan(text, allow=True))

    def _unknown(self, text: str, matches: list[Match]) -> list[Match]:
        if self.allowing and matches:
            return self._engine.scan_live(text)
        if self._known is None:
            return matches
        return [m for m in matches if not self._known(m.kind, bare(m.kind, text[m.start : m.end]))]

    def strings(self, items: list[str], key: str = "") -> list[str]:
        """Lines of one text: joined as they stand when they bring their own line ends, else by line breaks."""
        if is_binary(key):
            return self._one_by_one(items, key)
        own_ends = all(item.endswith("\n") for item in items[:-1])
        before = len(self.found)
        pieces = self.pieces(items, "".join(items) if own_ends else "\n".join(items), key)
        if len(self.found) == before and is_telling(key):
            return self._one_by_one(items, key)
        return pieces

    def _one_by_one(self, items: list[str], key: str) -> list[str]:
        return [self._below(str(n), item, 0, key) for n, item in enumerate(items)]

    def pieces(self, items: list[str], whole: str, key: str = "") -> list[str]:
        """Each item without its part of the secrets of `whole`: the items with nothing or one character between."""
        self._count(whole)
        return self._cut(items, whole, self._scan(whole, key))

    def printed(self, items: list[str]) -> list[str]:
        """Each of the texts that were printed one after the other, without its part of the secrets."""
        whole = "".join(items)
        self._count(whole)
        return self._cut(items, whole, self._engine.scan_printed(whole))

    def _cut(self, items: list[str], whole: str, matches: list[Match]) -> list[str]:
        matches = self._unknown(whole, matches)
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
        matches = self._unknown(text, matches)
        self._note(text, matches)
        return replace(text, matches).text

    def _note(self, text: str, matches: list[Match]) -> None:
        line, at = 1, 0
        for match in matches:
            line += text.count("\n", at, match.start)
            at = match.start
            column = match.start - text.rfind("\n", 0, match.start)
            secret = bare(match.kind, text[match.start : match.end])
            self.found.append(Found(match, line, column, secret, tuple(self._at)))

    def _count(self, text: str) -> None:
        self._characters += len(text)
        if self._characters > self._most:
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

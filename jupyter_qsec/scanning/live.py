"""Secrets known to be alive: found exactly, whatever shape they were given."""

from __future__ import annotations

import base64
import functools
import io
import json
import re
import threading
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import AnyStr, Protocol, TypeVar
from urllib.parse import quote, quote_plus

from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.scanning.finding import Match
from jupyter_qsec.scanning.heads import Heads
from jupyter_qsec.scanning.prefilter import without

MIN_LENGTH = 8
MAX_LENGTH = 8192
MAX_SECRETS = 1000


SEPARATORS = b" \t\r\n,;:|'\"-_.+/()[]{}<>*#=\\`~!&%$@^?"
_CORE = 16
"""So many characters without separators are no accident; fewer are not looked for across separators."""
_LONGEST_CORE = 512
_HELD_CORE = 4
_BETWEEN = 24
"""Most separators between two characters of a secret."""
_PIECE = 1 << 16
_HEAD = MIN_LENGTH
"""Characters by which the forms are told apart first: what a gateway gives out begins alike."""
_SHORT = 4_096
"""Characters of a text in which the beginnings of all forms are looked for first: a longer one has some by chance."""


@dataclass(frozen=True, slots=True)
class _Live:
    kind: str
    forms: tuple[str, ...]
    cores: tuple[bytes, ...]
    """The forms without separators."""


class _Snapshot:
    """The secrets of one moment, by how their forms begin."""

    def __init__(self, live: tuple[_Live, ...]) -> None:
        self.live = live
        self.shortest = min((len(form) for one in live for form in (*one.forms, *one.cores)), default=0)
        """Characters of the shortest form of any of them."""

    @functools.cached_property
    def by_form(self) -> Mapping[bytes, list[tuple[str, str]]]:
        """(kind, form) of the forms as they are."""
        return _by_head((_narrow(form), (one.kind, form)) for one in self.live for form in one.forms)

    @functools.cached_property
    def by_core(self) -> Mapping[bytes, list[tuple[str, bytes]]]:
        """(kind, core) of the forms without separators."""
        return _by_head((core, (one.kind, core)) for one in self.live for core in one.cores)

    @functools.cached_property
    def forms(self) -> Heads:
        """Beginnings of the forms as they are."""
        return Heads(self.by_form, _HEAD)

    @functools.cached_property
    def cores(self) -> Heads:
        """Beginnings of the forms without separators."""
        return Heads(self.by_core, _HEAD)

    @functools.cached_property
    def either(self) -> Heads:
        """Both."""
        return Heads((*self.by_form, *self.by_core), _HEAD)

    def may_be_in(self, data: bytes) -> bool:
        """Whether anything begins as one of them; cheap for short texts."""
        # Both readings in one search: what only seems to begin costs no more than a closer look.
        return self.either.first(data + data.translate(None, SEPARATORS)) is not None


_Form = TypeVar("_Form")


def _by_head(forms: Iterable[tuple[bytes, _Form]]) -> dict[bytes, list[_Form]]:
    table: dict[bytes, list[_Form]] = {}
    for raw, form in forms:
        table.setdefault(raw[:_HEAD], []).append(form)
    return table


class Known(Protocol):
    """Finds secrets that are known exactly."""

    def scan(self, text: str) -> list[Match]:
        """Every occurrence, sorted; occurrences may overlap one another."""

    def hold_from(self, text: str) -> int:
        """Index from which one may have begun at the end of the text; the text's length when none has."""

    def may_be_in(self, data: bytes) -> bool:
        """False only when nothing is found in the text of these characters (of Latin-1)."""

    def state(self) -> object:
        """Equal to what it was before only while the same is found in the same texts."""


class Together:
    """Several sets as one."""

    def __init__(self, *sets: Known) -> None:
        self.sets = sets
        """May be replaced while others scan."""

    def scan(self, text: str) -> list[Match]:
        """As each of them."""
        if len(self.sets) == 1:
            return self.sets[0].scan(text)
        found = [match for known in self.sets for match in known.scan(text)]
        return sorted(found, key=lambda match: (match.start, -match.end))

    def hold_from(self, text: str) -> int:
        """As each of them."""
        return min((known.hold_from(text) for known in self.sets), default=len(text))

    def may_be_in(self, data: bytes) -> bool:
        """As each of them."""
        return any(known.may_be_in(data) for known in self.sets)

    def state(self) -> object:
        """Theirs."""
        return self.sets[0].state() if len(self.sets) == 1 else tuple(known.state() for known in self.sets)


class LiveSecrets:
    """A set of secrets with their encoded forms. Thread-safe: scans read an immutable snapshot."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_value: dict[str, _Live] = {}
        self._snapshot = _Snapshot(())

    def add(self, value: str, kind: str) -> None:
        """Watch for `value`. `InvalidRequestError` when it is too short or long, or the set is full."""
        live = _live(value, kind)
        with self._lock:
            if self._by_value.get(value) == live:
                return
            if value not in self._by_value and len(self._by_value) >= MAX_SECRETS:
                raise InvalidRequestError(f"More than {MAX_SECRETS} live secrets.")
            self._by_value[value] = live
            self._changed()

    def discard(self, value: str) -> None:
        """Stop watching for `value`; nothing happens when it is not watched."""
        with self._lock:
            self._by_value.pop(value, None)
            self._changed()

    def follow(self, values: Mapping[str, str], *, but: Container[str] = ()) -> None:
        """Watch for these values, each of a kind, and for no others except those of the kinds `but`. As `add`."""
        with self._lock:
            known = self._by_value
            wanted = {value: live for value, live in known.items() if live.kind in but}
            for value, kind in values.items():
                live = known.get(value)
                wanted[value] = live if live is not None and live.kind == kind else _live(value, kind)
            if len(wanted) > MAX_SECRETS:
                raise InvalidRequestError(f"More than {MAX_SECRETS} live secrets.")
            if wanted != known:
                self._by_value = wanted
                self._changed()

    def _changed(self) -> None:
        self._snapshot = _Snapshot(tuple(self._by_value.values()))

    def __len__(self) -> int:
        return len(self._snapshot.live)

    def scan(self, text: str) -> list[Match]:
        """Every occurrence of every form, also with separators between its characters, sorted; occurrences may overlap
        one another."""
        snapshot = self._snapshot
        if not snapshot.live or len(text) < snapshot.shortest:
            return []
        data = _narrow(text)
        if len(text) <= _SHORT and not snapshot.may_be_in(data):
            return []
        found = _apart(text, data, snapshot)
        for start in snapshot.forms.places(data):
            for kind, form in snapshot.by_form[data[start : start + _HEAD]]:
                if text.startswith(form, start):
                    found.append(Match(kind, start, start + len(form)))
        found.sort(key=lambda match: (match.start, -match.end))
        return found

    def hold_from(self, text: str) -> int:
        """Index of the longest suffix with which some form begins; the text's length when there is none."""
        snapshot = self._snapshot
        if not snapshot.live:
            return len(text)
        apart = _hold_apart(text, snapshot)
        for start in snapshot.forms.starts(_narrow(text)):
            if start >= apart:
                break
            if _goes_on(text[start:], (form for live in snapshot.live for form in live.forms)):
                return start
        return apart

    def may_be_in(self, data: bytes) -> bool:
        """One search for all of them."""
        snapshot = self._snapshot
        return bool(snapshot.live) and snapshot.may_be_in(data)

    def state(self) -> object:
        """A new object after each change."""
        return self._snapshot


def _live(value: str, kind: str) -> _Live:
    if not MIN_LENGTH <= len(value) <= MAX_LENGTH:
        raise InvalidRequestError(f"A live secret has {MIN_LENGTH} to {MAX_LENGTH} characters.")
    forms = forms_of(value)
    return _Live(kind, forms, cores_of(forms))


def _apart(text: str, data: bytes, snapshot: _Snapshot) -> list[Match]:
    """Spelled out (`a-b-c`), or broken into lines as encoders do."""
    together = without(data, SEPARATORS)
    present = {
        known
        for start in snapshot.cores.places(together)
        for known in snapshot.by_core[together[start : start + _HEAD]]
        if together.startswith(known[1], start)
    }
    return [
        Match(kind, found.start(), found.end()) for kind, core in present for found in _spelled(core).finditer(text)
    ]


def _hold_apart(text: str, snapshot: _Snapshot) -> int:
    together = _together(text)
    for start in snapshot.cores.starts(together):
        begun = together[start:]
        if len(begun) < _HELD_CORE:
            break
        if _goes_on(begun, (core for live in snapshot.live for core in live.cores)):
            return _nth_from_end(text, len(begun))
    return len(text)


def _goes_on(begun: AnyStr, wholes: Iterable[AnyStr]) -> bool:
    """Whether this is the beginning of one of them, and not all of it."""
    return any(len(whole) > len(begun) and whole.startswith(begun) for whole in wholes)


def _narrow(text: str) -> bytes:
    """One byte a character, piece by piece: one operation on all of a large text would hold up every other thread."""
    if len(text) <= _PIECE:
        return text.encode("latin-1", "replace")
    data = io.BytesIO()
    for start in range(0, len(text), _PIECE):
        data.write(text[start : start + _PIECE].encode("latin-1", "replace"))
    return data.getvalue()


def _together(text: str) -> bytes:
    return without(_narrow(text), SEPARATORS)


def _nth_from_end(text: str, count: int) -> int:
    """Index of the character after which, with itself, so many are no separators."""
    raw = _narrow(text)
    for index in range(len(raw) - 1, -1, -1):
        count -= raw[index] not in SEPARATORS
        if count == 0:
            return index
    return 0


@functools.lru_cache(maxsize=64)
def _spelled(core: bytes) -> re.Pattern[str]:
    between = f"[{re.escape(SEPARATORS.decode())}]{{0,{_BETWEEN}}}"
    return re.compile(between.join(re.escape(character) for character in core.decode("latin-1")))


def cores_of(forms: tuple[str, ...]) -> tuple[bytes, ...]:
    """The forms without separators, where they are long enough to be looked for so."""
    ascii_forms = (form for form in forms if form.isascii())
    cores = {_together(form) for form in ascii_forms}
    return tuple(sorted(core for core in cores if _CORE <= len(core) <= _LONGEST_CORE))


def forms_of(value: str) -> tuple[str, ...]:
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

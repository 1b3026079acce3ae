"""Secrets that somebody registered: found exactly, and stored so that nobody reads them back.

Of each form of a secret (as it is, escaped, in hex, base64, reversed, without separators) three things are kept: its
length, an HMAC-SHA256 of it, and a hint: its first three characters, enciphered with the same key. The hints become one
RE2 expression, so that an HMAC is computed for about one place in a thousand.
"""

from __future__ import annotations

import bisect
import hashlib
import hmac
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.scanning import heads
from jupyter_qsec.scanning.finding import Match
from jupyter_qsec.scanning.live import MAX_SECRETS, SEPARATORS, Together, cores_of, forms_of
from jupyter_qsec.scanning.prefilter import flat, without

VERSION = 1
MIN_LENGTH = 10
MAX_LENGTH = 400
"""Of the secret itself, so that its forms stay short enough to be held back in a stream."""
_NAME = re.compile(r"[a-z][a-z0-9-]{1,39}\Z")
_MAX_FORM = 1000
_DIGEST_BYTES = 16
_HINT_BYTES = heads.SIZE
_PIECE = 1 << 16
_KEY_BYTES = 16


@dataclass(frozen=True, slots=True)
class Form:
    """One form of a secret."""

    length: int
    digest: bytes
    hint: bytes
    core: bool
    """Whether separators were taken out of it, as they are of the text that is searched."""


@dataclass(frozen=True, slots=True)
class Registered:
    """One secret."""

    name: str
    """What findings call it: a kind of its own."""
    forms: tuple[Form, ...] = field(repr=False)

    @classmethod
    def of(cls, name: str, value: str, key: bytes) -> Registered:
        """Raises `InvalidRequestError` for a name that is no kind, or a value that cannot be searched for."""
        if not _NAME.match(name):
            raise InvalidRequestError("A name has 2 to 40 lower-case letters, digits and hyphens.")
        if not MIN_LENGTH <= len(value) <= MAX_LENGTH:
            raise InvalidRequestError(f"A secret to look for has {MIN_LENGTH} to {MAX_LENGTH} characters.")
        if not value.isascii() or not value.isprintable() or any(c.isspace() for c in value):
            raise InvalidRequestError("A secret to look for has printable ASCII characters and no white space.")
        if len(set(value)) < 5:
            raise InvalidRequestError("This has so few different characters that it would be found everywhere.")
        forms = forms_of(value)
        plain = [_form(form.encode("ascii"), key, core=False) for form in forms if len(form) <= _MAX_FORM]
        return cls(name, tuple(plain + [_form(core, key, core=True) for core in cores_of(forms)]))

    def to_json(self) -> dict[str, Any]:
        """Holds nothing that shows the secret."""
        forms = [[form.length, form.digest.hex(), form.hint.hex(), form.core] for form in self.forms]
        return {"name": self.name, "forms": forms}

    @classmethod
    def from_json(cls, value: Any) -> Registered:
        """Raises `InvalidRequestError`."""
        try:
            forms = tuple(
                Form(int(length), bytes.fromhex(digest), bytes.fromhex(hint), bool(core))
                for length, digest, hint, core in value["forms"]
            )
            name = str(value["name"])
        except (TypeError, KeyError, ValueError):
            raise InvalidRequestError("A registered secret is malformed.") from None
        sound = all(
            _HINT_BYTES < f.length <= _MAX_FORM and len(f.digest) == _DIGEST_BYTES and len(f.hint) == _HINT_BYTES
            for f in forms
        )
        if not (sound and forms and _NAME.match(name)):
            raise InvalidRequestError("A registered secret is malformed.")
        return cls(name, forms)


@dataclass(frozen=True, slots=True)
class SecretSet:
    """Secrets that were registered with one key."""

    key: bytes = field(repr=False)
    secrets: tuple[Registered, ...]

    def to_json(self) -> dict[str, Any]:
        """With the key: for a pipe between processes of one person, or a file that is kept as such."""
        return {"key": self.key.hex(), "secrets": [secret.to_json() for secret in self.secrets]}

    @classmethod
    def from_json(cls, value: Any) -> SecretSet:
        """Raises `InvalidRequestError`."""
        try:
            key, secrets = bytes.fromhex(value["key"]), value["secrets"]
        except (TypeError, KeyError, ValueError):
            raise InvalidRequestError("A set of registered secrets is malformed.") from None
        if len(key) < _KEY_BYTES or not isinstance(secrets, list):
            raise InvalidRequestError("A set of registered secrets is malformed.")
        return cls(key, tuple(Registered.from_json(secret) for secret in secrets))


def searching(sets: Iterable[SecretSet]) -> Together:
    """Searches for all of them."""
    return Together(*(RegisteredSecrets(one.secrets, one.key) for one in sets if one.secrets))


class RegisteredSecrets:
    """Searches texts for a fixed set of registered secrets. Immutable and thread-safe."""

    def __init__(self, secrets: Iterable[Registered], key: bytes) -> None:
        secrets = tuple(secrets)
        self._key = key
        self._plain = _Search([(s.name, f) for s in secrets for f in s.forms if not f.core], key)
        self._cores = _Search([(s.name, f) for s in secrets for f in s.forms if f.core], key)

    def scan(self, text: str) -> list[Match]:
        """Every occurrence of every form, sorted; occurrences may overlap one another."""
        if not self._plain:
            return []
        data = flat(text)
        found = [Match(name, start, end) for name, start, end in self._plain.matches(data)]
        apart = list(self._cores.matches(without(data, SEPARATORS)))
        if apart:
            place = _Places(data)
            found += [Match(name, place[start], place[end - 1] + 1) for name, start, end in apart]
        return sorted(found, key=lambda match: (match.start, -match.end))

    def hold_from(self, text: str) -> int:
        """Index from which some form may have begun; the text's length when none has."""
        return self._plain.begun(flat(text)) if self._plain else len(text)

    def may_be_in(self, data: bytes) -> bool:
        """Whether anything begins as one of them."""
        return self._plain.may_be_in(data) or self._cores.may_be_in(without(data, SEPARATORS))

    def state(self) -> object:
        """Itself: the set is fixed."""
        return self


class _Places:
    """Where each byte of a text without separators stands in the text: looked up in the piece that it is in."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._before = [0]
        for start in range(0, len(data), _PIECE):
            self._before.append(self._before[-1] + len(data[start : start + _PIECE].translate(None, SEPARATORS)))

    def __getitem__(self, index: int) -> int:
        piece = bisect.bisect_right(self._before, index) - 1
        start, left = piece * _PIECE, index - self._before[piece]
        inside = (n for n, byte in enumerate(self._data[start : start + _PIECE]) if byte not in SEPARATORS)
        return start + next(itertools.islice(inside, left, None))


class _Search:
    """All forms of one way of reading a text."""

    def __init__(self, forms: list[tuple[str, Form]], key: bytes) -> None:
        self._key = key
        self._known = {(form.length, form.digest): name for name, form in forms}
        lengths: dict[bytes, set[int]] = {}
        for _, form in forms:
            lengths.setdefault(_sealed(form.hint, form.length, key), set()).add(form.length)
        self._lengths = {start: sorted(found, reverse=True) for start, found in lengths.items()}
        self._heads = heads.Heads(lengths)
        self._longest = max((form.length for _, form in forms), default=0)

    def __bool__(self) -> bool:
        return bool(self._known)

    def may_be_in(self, data: bytes) -> bool:
        return self._heads.first(data) is not None

    def matches(self, data: bytes) -> Iterator[tuple[str, int, int]]:
        """(name, start, end) of each form, the longest at each place: found where a hint fits, proved by the HMAC."""
        position = 0
        while (start := self._heads.first(data, position)) is not None:
            for length in self._lengths[data[start : start + _HINT_BYTES]]:
                piece = data[start : start + length]
                name = self._known.get((length, _digest(piece, self._key))) if len(piece) == length else None
                if name is not None:
                    yield name, start, start + length
                    break
            position = start + 1

    def begun(self, data: bytes) -> int:
        """Where the last run of characters that are no white space may hold the beginning of a form."""
        last = max(data.rfind(space) for space in (b" ", b"\n", b"\t", b"\r")) + 1
        start = self._heads.first(data, max(last, len(data) - self._longest + 1))
        return len(data) if start is None else start


def stored(secrets: Iterable[Registered], key: bytes = b"") -> bytes:
    """The file's content; with the key where whoever reads the file has no other one."""
    content: dict[str, Any] = {"version": VERSION, "secrets": [secret.to_json() for secret in secrets]}
    if key:
        content["key"] = key.hex()
    return json.dumps(content, indent=1).encode()


def parsed(content: bytes, key: bytes = b"") -> SecretSet:
    """What such a file holds; `key` where it holds none itself. Raises `InvalidRequestError` when this is no such file:
    then nobody knows what must not pass."""
    try:
        value = json.loads(content)
        version, secrets = value["version"], value["secrets"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise InvalidRequestError("The file of registered secrets is damaged.") from None
    if version != VERSION or not isinstance(secrets, list) or len(secrets) > MAX_SECRETS:
        raise InvalidRequestError("The file of registered secrets is of another version, or damaged.")
    return SecretSet.from_json({"key": key.hex() or value.get("key"), "secrets": secrets})


def _form(text: bytes, key: bytes, *, core: bool) -> Form:
    return Form(len(text), _digest(text, key), _sealed(text[:_HINT_BYTES], len(text), key), core)


def _digest(text: bytes, key: bytes) -> bytes:
    return hmac.digest(key, b"qsec-registered\0" + text, hashlib.sha256)[:_DIGEST_BYTES]


def _sealed(hint: bytes, length: int, key: bytes) -> bytes:
    """Enciphered, and deciphered by the same step: by a stream of the key and the length."""
    stream = hmac.digest(key, b"qsec-hint\0" + length.to_bytes(2, "big"), hashlib.sha256)
    return bytes(a ^ b for a, b in zip(hint, stream, strict=False))

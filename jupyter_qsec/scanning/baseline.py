"""Baselines of detect-secrets (`.secrets.baseline`): secrets that a project knows of and has decided about.

Format: detect-secrets 1.5, `core/baseline.py`; written here as it writes its slim form.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.scanning.plugins import lazy_plugins

_HEADER = re.compile(r"BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?")

_VERSION = "1.5.0"
_TYPES = {
    "aws-access-key": "AWS Access Key",
    "aws-secret-key": "AWS Access Key",
    "private-key": "Private Key",
    "jwt": "JSON Web Token",
    "assigned-secret": "Secret Keyword",
    "basic-auth": "Basic Auth Credentials",
}
"""What detect-secrets calls these kinds, so that its own scans find them listed; others go by our names."""


class Knows(Protocol):
    """Tells which secrets need not be told of."""

    def knows(self, path: str, kind: str, secret: str) -> bool:
        """Whether this secret in this file is known."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """The SHA-1 digests of known secrets by path. Written by detect-secrets 1.x; only `results` is read."""

    known: frozenset[tuple[str, str]]

    @classmethod
    def parse(cls, text: str) -> Baseline:
        """Raises `InvalidRequestError` when this is no baseline."""
        try:
            results = json.loads(text)["results"]
            known = {
                (_path(path), str(entry["hashed_secret"])) for path, entries in results.items() for entry in entries
            }
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise InvalidRequestError("This is not a baseline of detect-secrets.") from None
        return cls(frozenset(known))

    def knows(self, path: str, kind: str, secret: str) -> bool:
        """Whether the baseline lists this secret in this file."""
        return any((_path(path), digest) in self.known for digest in _digests(kind, secret))


class Recorder:
    """Takes the place of a baseline in a scan: writes down everything that it is asked about, and knows nothing."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], str] = {}

    def knows(self, path: str, kind: str, secret: str) -> bool:
        """Always `False`, so that the scan goes on."""
        *_, digest = _digests(kind, secret)
        self._seen.setdefault((_path(path), digest), kind)
        return False

    @property
    def count(self) -> int:
        """How many secrets it would list."""
        return len(self._seen)

    def text(self, before: str | None = None) -> str:
        """The baseline's file. What a person decided in the one `before` (`is_secret`) stays with its secret."""
        decided = _decisions(before) if before is not None else {}
        results: dict[str, list[dict[str, object]]] = {}
        for (path, digest), kind in sorted(self._seen.items()):
            entry: dict[str, object] = {
                "type": _TYPES.get(kind, kind),
                "filename": path,
                "hashed_secret": digest,
                "is_verified": False,
            }
            if (path, digest) in decided:
                entry["is_secret"] = decided[path, digest]
            results.setdefault(path, []).append(entry)
        plugins = [{"name": name} for name in sorted(lazy_plugins())]
        value = {"version": _VERSION, "plugins_used": plugins, "filters_used": [], "results": results}
        return json.dumps(value, indent=2) + "\n"


def _decisions(before: str) -> dict[tuple[str, str], bool]:
    """Only for a text that `Baseline.parse` took."""
    return {
        (_path(path), str(entry["hashed_secret"])): entry["is_secret"]
        for path, entries in json.loads(before)["results"].items()
        for entry in entries
        if isinstance(entry.get("is_secret"), bool)
    }


def _digests(kind: str, secret: str) -> Iterator[str]:
    yield _sha1(secret)
    # Of a private key detect-secrets remembers the armour's words, of a JSON web token all but the signature.
    if kind == "private-key" and (header := _HEADER.search(secret)):
        yield _sha1(header[0])
    if kind == "jwt":
        yield _sha1(".".join(secret.split(".")[:2]))


def _sha1(text: str) -> str:
    return hashlib.sha1(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()


def _path(path: str) -> str:
    return posixpath.normpath(path.replace("\\", "/"))

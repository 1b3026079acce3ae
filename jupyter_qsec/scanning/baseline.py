"""Baselines of detect-secrets (`.secrets.baseline`): secrets that a project knows of and has decided about."""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass

from jupyter_qsec.domain.errors import InvalidRequestError

_HEADER = re.compile(r"BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?")


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

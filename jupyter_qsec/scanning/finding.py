"""What a scan gives back: where a secret is and what it looks like, never the secret itself."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.scanning.kinds import kind_of
from jupyter_qsec.scanning.severity import Severity

_MIN_KEY_BYTES = 16
_FINGERPRINT_HEX_DIGITS = 32


@dataclass(frozen=True, slots=True)
class Match:
    """A secret in the text that was scanned."""

    kind: str
    """Kebab-case, for example `aws-access-key`. Kinds may be added, never renamed."""
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding as people, reports and the control API see it. Holds no secret."""

    path: str
    cell: str
    """Number of the notebook cell counted from 1, empty for a plain file."""
    place: str
    """`source`, `output`, `metadata`, `attachment` or `file`."""
    line: int
    """Line within the cell part or file, counted from 1."""
    kind: str
    preview: str
    fingerprint: str
    cell_id: str = ""
    column: int = 1
    """Where in its line the secret begins, counted from 1."""
    part: str = ""
    """What of an output, attachment or metadata: `stdout`, a MIME type, `traceback`, a name; empty for sources."""
    pointer: str = ""
    """JSON pointer (RFC 6901) to the text within the notebook; empty for a plain file."""
    file_line: int = 0
    """Line of the file as it is stored, counted from 1; 0 when nobody asked. Other than `line` in notebooks alone."""
    commit: str = ""
    """The Git commit that brought it; empty for a file as it is now."""

    @property
    def severity(self) -> Severity:
        """How bad a leak of this kind is."""
        return kind_of(self.kind).severity

    def where(self) -> str:
        """The place in words, for a message."""
        if self.place == "file":
            return f"line {self.line}"
        place = f"{self.place} ({self.part})" if self.part else self.place
        return f"cell {self.cell}, {place}, line {self.line}" if self.cell else f"{place}, line {self.line}"


class Fingerprinter:
    """Keyed names for secrets: equal secrets get equal fingerprints, and without the key no guess can be tried."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        if len(key) < _MIN_KEY_BYTES:
            raise InvalidRequestError(f"A fingerprint key needs at least {_MIN_KEY_BYTES} bytes.")
        self._key = key

    def fingerprint(self, kind: str, secret: str) -> str:
        """32 hex digits of HMAC-SHA256 over kind and secret."""
        message = kind.encode() + b"\0" + secret.encode("utf-8", "surrogatepass")
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()[:_FINGERPRINT_HEX_DIGITS]


def preview(secret: str) -> str:
    """A masked form: at most the first four characters, and never more than a quarter of the secret."""
    shown = "".join(c for c in secret[: min(4, len(secret) // 4)] if c.isascii() and c.isprintable())
    return f"{shown}****"


def marker(kind: str) -> str:
    """What stands in place of a secret."""
    return f"[REDACTED:{kind}]"

"""Jupyter's wire protocol: frames, signatures, headers. Format: "Messaging in Jupyter" of jupyter-client."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from jupyter_qsec.domain.errors import InvalidRequestError

Json = dict[str, Any]

DELIMITER = b"<IDS|MSG>"
PROTOCOL_VERSION = "5.4"
_MAX_IDENTITIES = 16
_MAX_BUFFERS = 65_536
_SMALL = 65_536
"""Bytes up to which a copy is cheaper than several calls."""

# `json.dumps` would make a new one for each call.
_as_jupyter_does = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class WireError(InvalidRequestError):
    """The frames are no Jupyter message, or their signature is wrong: no client would read them either."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message whose signature is right; its four JSON parts are not decoded yet."""

    identities: list[bytes]
    header: bytes
    parent: bytes
    metadata: bytes
    content: bytes
    buffers: list[bytes]


class Signer:
    """Signs for one side of the relay. An empty key means that the side is not signed at all, as in Jupyter."""

    __slots__ = ("_algorithm", "_blank", "_key")

    def __init__(self, key: bytes, scheme: str = "hmac-sha256") -> None:
        self._key, self._algorithm = key, scheme.removeprefix("hmac-")
        if not scheme.startswith("hmac-") or self._algorithm not in hashlib.algorithms_available:
            raise InvalidRequestError(f"The signature scheme {scheme!r} is unknown.")
        self._blank = hmac.new(key, digestmod=self._algorithm) if key else None

    def sign(self, parts: Sequence[bytes]) -> bytes:
        if self._blank is None:
            return b""
        if sum(map(len, parts)) <= _SMALL:
            return hmac.digest(self._key, b"".join(parts), self._algorithm).hex().encode("ascii")
        digest = self._blank.copy()
        for part in parts:
            digest.update(part)
        return digest.hexdigest().encode("ascii")

    def verify(self, signature: bytes, parts: Sequence[bytes]) -> bool:
        return self._blank is None or hmac.compare_digest(self.sign(parts), signature)

    def open(self, frames: Sequence[bytes]) -> Envelope:
        """Split frames into a message; `WireError` when they are none or the signature is wrong."""
        try:
            at = frames.index(DELIMITER)
        except ValueError:
            raise WireError("The frames hold no delimiter.") from None
        parts = list(frames[at + 2 : at + 6])
        buffers = list(frames[at + 6 :])
        if at > _MAX_IDENTITIES or len(parts) != 4 or len(buffers) > _MAX_BUFFERS:
            raise WireError("The number of frames is not that of a message.")
        if not self.verify(frames[at + 1], parts):
            raise WireError("The signature of a message is wrong.")
        return Envelope(list(frames[:at]), parts[0], parts[1], parts[2], parts[3], buffers)

    def seal(
        self,
        identities: Sequence[bytes],
        header: bytes,
        parent: bytes,
        metadata: bytes,
        content: bytes,
        buffers: Sequence[bytes] = (),
    ) -> list[bytes]:
        """The frames of a message, signed for this side."""
        parts = (header, parent, metadata, content)
        return [*identities, DELIMITER, self.sign(parts), *parts, *buffers]


def load_object(part: bytes) -> Json:
    """Decode one part. `WireError` for anything but a JSON object of bearable depth."""
    try:
        value = json.loads(part.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise WireError("A part of a message is not JSON.") from None
    if not isinstance(value, dict):
        raise WireError("A part of a message is no object.")
    return value


def dump_object(value: Json) -> bytes:
    """Encode one part as Jupyter does. Always encoded anew, so that no duplicate key of the sender passes."""
    text = _as_jupyter_does(value)
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:  # a lone surrogate
        return json.dumps(value, separators=(",", ":")).encode("ascii")


def new_header(message_type: str, session: str) -> Json:
    """A header for a message of the relay's own."""
    return {
        "msg_id": secrets.token_hex(16),
        "session": session,
        "username": "qsec",
        "date": datetime.now(UTC).isoformat(),
        "msg_type": message_type,
        "version": PROTOCOL_VERSION,
    }

"""Signatures that hold for one test."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from jupyter_qsec.domain.notes import NoteSignature, note_signatures


class FakeSigner:
    """Implements the `CheckpointSigner` port with an HMAC in the place of the signature."""

    def __init__(self, key: bytes = b"test", origin: str = "jupyter-qsec/test") -> None:
        self._key = key
        self._origin = origin

    @property
    def origin(self) -> str:
        return self._origin

    @property
    def verifier_key(self) -> str:
        return f"{self._origin}+00000000+{hashlib.sha256(self._key).hexdigest()}"

    def sign(self, text: str) -> Sequence[str]:
        return (NoteSignature(self._origin, bytes(4), self._mac(text)).line(),)

    def verify(self, note: str) -> bool:
        text = note.partition("\n\n")[0] + "\n"
        return any(hmac.compare_digest(found.signature, self._mac(text)) for found in note_signatures(note))

    def _mac(self, text: str) -> bytes:
        return hmac.digest(self._key, text.encode(), "sha256")

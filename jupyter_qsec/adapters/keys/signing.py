"""Signs checkpoints with Ed25519 in the form of C2SP signed notes."""

from __future__ import annotations

import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from jupyter_qsec.domain.notes import ED25519, NoteSignature, VerifierKey, signed_by


def verify_ed25519(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """A `RawVerify` for the note functions of the domain."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


class NoteSigner:
    """Implements the `CheckpointSigner` port with one Ed25519 key."""

    def __init__(self, seed: bytes, *, instance: str = "") -> None:
        """`seed` is the 32-byte private key. The origin is `jupyter-qsec/INSTANCE`; an empty instance is derived from
        the public key, so that the origin stays the same as long as the key does."""
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        public = self._private.public_key().public_bytes_raw()
        name = f"jupyter-qsec/{instance or hashlib.sha256(public).hexdigest()[:16]}"
        self._key = VerifierKey(name=name, algorithm=ED25519, public_key=public)

    @property
    def origin(self) -> str:
        return self._key.name

    @property
    def verifier_key(self) -> str:
        return str(self._key)

    def sign(self, text: str) -> tuple[str, ...]:
        signature = self._private.sign(text.encode())
        return (NoteSignature(name=self._key.name, key_id=self._key.key_id, signature=signature).line(),)

    def verify(self, note: str) -> bool:
        return signed_by(note, self._key, verify_ed25519)

"""Where the root secrets lie, and what signs with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class CheckpointSigner(Protocol):
    """Signs the heads of the audit log. The origin names the log and is part of what is signed."""

    @property
    def origin(self) -> str: ...

    @property
    def verifier_key(self) -> str:
        """The public key as text (vkey of c2sp.org/signed-note)."""
        ...

    def sign(self, text: str) -> Sequence[str]:
        """The signature lines of a note with this text."""
        ...

    def verify(self, note: str) -> bool:
        """Whether the note is a checkpoint of this log signed by this key."""
        ...


class KeyStore(Protocol):
    """Holds the gateway's root keys (OS keyring, or a 0600 key file that the user chose)."""

    @property
    def description(self) -> str:
        """Where keys lie, for `doctor` and the panel."""
        ...

    def key(self, name: str) -> bytes:
        """The 32-byte key of that name, created on first use. `StateDirectoryError` when it cannot be had."""
        ...

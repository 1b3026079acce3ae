"""Where the root secrets lie, and what signs with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from jupyter_qsec.domain.provider import ProviderRole, ProviderSession, StaticCredential


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
    """Holds the gateway's root secrets: the operating system's keyring, private files, or what a package brings under
    the entry point `jupyter_qsec.key_stores`. Names are at most 64 of `a-z`, `0-9` and `-`, secrets at most 4,096
    bytes; nothing that was stored is ever changed. The methods block, may be called by several threads and processes at
    once, and raise `StateDirectoryError` when the store cannot be used."""

    @property
    def description(self) -> str:
        """Where secrets lie, for `doctor` and the panel; tells no secret."""
        ...

    def read(self, name: str) -> bytes | None:
        """The secret of that name, `None` when there is none."""
        ...

    def create(self, name: str, secret: bytes) -> bytes:
        """Store it durably unless there is one of that name; either way, what lies there now: whoever comes second
        gets the first one's."""
        ...


class ProviderRoles(Protocol):
    """The provider's service that lets one take a role."""

    async def assume(
        self, role: ProviderRole, session: str, tags: Mapping[str, str], root: StaticCredential | None
    ) -> ProviderSession:
        """Temporary credentials under that role, in a session of that name with these tags. `root` is what it is taken
        with; `None`: what is found where this runs, looked for anew. `DeniedError` when the provider refuses,
        `UnavailableError` when it cannot be asked or nothing is found."""
        ...

"""A key store in memory."""

from __future__ import annotations

from jupyter_qsec.domain.errors import StateDirectoryError


class FakeKeyStore:
    """Implements the `KeyStore` port. `locked`: it can be used by nobody."""

    description = "the key store of a test"

    def __init__(self) -> None:
        self.entries: dict[str, bytes] = {}
        self.locked = False

    def read(self, name: str) -> bytes | None:
        self._check()
        return self.entries.get(name)

    def create(self, name: str, secret: bytes) -> bytes:
        self._check()
        return self.entries.setdefault(name, secret)

    def _check(self) -> None:
        if self.locked:
            raise StateDirectoryError("The key store is locked.", remedy="Unlock it.")

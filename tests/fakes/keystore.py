"""A key store in memory."""

from __future__ import annotations

import threading

from jupyter_qsec.domain.errors import StateDirectoryError


class FakeKeyStore:
    """Implements the `KeyStore` port. `problem` is raised by whatever is asked, and nothing is answered while `answers`
    is not set."""

    description = "the key store of a test"

    def __init__(self) -> None:
        self.entries: dict[str, bytes] = {}
        self.problem: Exception | None = None
        self.answers = threading.Event()
        self.answers.set()

    def lock(self) -> None:
        self.problem = StateDirectoryError("The key store is locked.", remedy="Unlock it.")

    def read(self, name: str) -> bytes | None:
        self._check()
        return self.entries.get(name)

    def create(self, name: str, secret: bytes) -> bytes:
        self._check()
        return self.entries.setdefault(name, secret)

    def _check(self) -> None:
        self.answers.wait(30)
        if self.problem is not None:
            raise self.problem

"""Key stores that other packages bring, such as one for a company's vault.

A package declares its store under the entry point group `jupyter_qsec.key_stores`. The entry point is a callable that
takes the folder of the gateway's state (`pathlib.Path`) and returns an object with the three members of
`jupyter_qsec.application.ports.KeyStore`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, TypeVar

from jupyter_qsec.adapters.keys.files import MAX_SECRET, require_name
from jupyter_qsec.application.ports import KeyStore
from jupyter_qsec.domain.errors import StateDirectoryError

GROUP = "jupyter_qsec.key_stores"
OWN = ("auto", "keyring", "file")

Answer = TypeVar("Answer")


def brought(name: str, home: Path) -> KeyStore:
    """The store of that name. `StateDirectoryError` when no package brings one, or when it cannot be made."""
    found = sorted(entry_points(group=GROUP), key=lambda each: each.name)
    chosen = [each for each in found if each.name == name]
    if not chosen:
        names = ", ".join([*OWN, *(each.name for each in found)])
        raise StateDirectoryError(
            f"There is no key store {name[:60]!r} (there are: {names}).",
            remedy=f"Install the package that brings it (entry point group {GROUP}).",
        )
    if len(chosen) > 1:
        packages = ", ".join(sorted({each.value for each in chosen}))
        raise StateDirectoryError(f"Several packages bring a key store {name!r} ({packages}).", remedy="Remove one.")
    return BroughtKeyStore(chosen[0], home)


class BroughtKeyStore:
    """Implements the `KeyStore` port with somebody else's, and holds that to its promises. What it raises is named by
    its kind alone: its text might tell a secret."""

    def __init__(self, entry_point: EntryPoint, home: Path) -> None:
        self._name = entry_point.name
        self._store: Any = self._call("opened", lambda: entry_point.load()(home))
        told = self._call("asked for its description", lambda: self._store.description)
        self.description = f"{self._name}: {told if isinstance(told, str) else ''}"[:200]

    def read(self, name: str) -> bytes | None:
        require_name(name)
        found = self._call("read", lambda: self._store.read(name))
        return None if found is None else self._checked(found)

    def create(self, name: str, secret: bytes) -> bytes:
        require_name(name)
        stored = self._checked(self._call("written", lambda: self._store.create(name, secret)))
        if self.read(name) != stored:
            raise StateDirectoryError(f"The key store {self._name} did not keep what was stored.")
        return stored

    def _checked(self, secret: Any) -> bytes:
        if not isinstance(secret, bytes) or not 0 < len(secret) <= MAX_SECRET:
            raise StateDirectoryError(f"The key store {self._name} gave something that is no secret of ours.")
        return secret

    def _call(self, what: str, action: Callable[[], Answer]) -> Answer:
        try:
            return action()
        except Exception as error:  # noqa: BLE001  # it raises what its libraries raise; no secret means no start
            raise StateDirectoryError(
                f"The key store {self._name} cannot be {what} ({type(error).__name__}).",
                remedy="The package that brings it says what it needs.",
            ) from None

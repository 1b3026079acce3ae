"""Root keys in files of mode 0600: for machines without a keyring, and when the user chose so."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from jupyter_qsec.adapters.privatefiles import create_private, ensure_private_directory, read_private
from jupyter_qsec.domain.errors import StateDirectoryError

KEY_BYTES = 32
SUFFIX = ".key"

_NAME = re.compile(r"[a-z][a-z0-9-]{0,63}\Z")


def require_name(name: str) -> None:
    if not _NAME.match(name):
        raise StateDirectoryError(f"{name!r} cannot name a key.")


class FileKeyStore:
    """Implements the `KeyStore` port: one file of 32 raw bytes for each key, in a directory of mode 0700."""

    def __init__(self, directory: Path, *, because: str = "") -> None:
        self._directory = directory
        self._because = because

    @property
    def description(self) -> str:
        return f"key files in {self._directory} (mode 0600)" + (f": {self._because}" if self._because else "")

    def key(self, name: str) -> bytes:
        """The key, made on first use. `StateDirectoryError` when the file or directory is open to others, belongs to
        somebody else, is a link, or holds no key."""
        require_name(name)
        ensure_private_directory(self._directory)
        path = self._directory / f"{name}{SUFFIX}"
        key = read_private(path, 4096)
        if key is None:
            key = create_private(path, secrets.token_bytes(KEY_BYTES))
        if len(key) != KEY_BYTES:
            raise StateDirectoryError(
                f"{path} does not hold a key of {KEY_BYTES} bytes.", remedy="Bring it back from a backup."
            )
        return key

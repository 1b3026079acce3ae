"""Root secrets in files of mode 0600: for machines without a keyring, and when the user chose so."""

from __future__ import annotations

import re
from pathlib import Path

from jupyter_qsec.adapters.privatefiles import create_private, ensure_private_directory, read_private
from jupyter_qsec.domain.errors import StateDirectoryError

MAX_SECRET = 4096
SUFFIX = ".key"

_NAME = re.compile(r"[a-z][a-z0-9-]{0,63}\Z")


def require_name(name: str) -> None:
    if not _NAME.match(name):
        raise StateDirectoryError(f"{name!r} cannot name a root secret.")


class FileKeyStore:
    """Implements the `KeyStore` port: one file for each secret, in a directory of mode 0700. `StateDirectoryError` when
    the file or directory is open to others, belongs to somebody else, or is a link."""

    def __init__(self, directory: Path, *, because: str = "") -> None:
        self._directory = directory
        self._because = because

    @property
    def description(self) -> str:
        return f"key files in {self._directory} (mode 0600)" + (f": {self._because}" if self._because else "")

    def read(self, name: str) -> bytes | None:
        return read_private(self._path(name), MAX_SECRET)

    def create(self, name: str, secret: bytes) -> bytes:
        return create_private(self._path(name), secret)

    def _path(self, name: str) -> Path:
        require_name(name)
        ensure_private_directory(self._directory)
        return self._directory / f"{name}{SUFFIX}"

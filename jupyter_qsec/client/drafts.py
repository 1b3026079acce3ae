"""Files that are seen with their whole content or not at all: written beside their place first."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def create(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Make a new file with exactly this mode, durably. Raises `OSError`, `FileExistsError` when there is one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(content)
        file.flush()
        os.fsync(descriptor)


@contextmanager
def drafted(path: Path, content: bytes, mode: int = 0o600) -> Iterator[Path]:
    """A complete draft beside `path`, to be renamed or linked to it; what is left of it afterwards is removed."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        create(draft, content, mode)
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def replace(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Put a file in the place of another in one step: readers see the old one or the new one."""
    with drafted(path, content, mode) as draft:
        draft.replace(path)


def sync_folder(folder: Path) -> None:
    """Make durable which names a folder has."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Files and directories that nobody but their owner may read."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from jupyter_qsec.domain.errors import StateDirectoryError

LOCK_NAME = ".lock"
"""In a directory that `directory_lock` is used on."""
_OTHERS = 0o077


def ensure_private_directory(path: Path) -> None:
    """Make the directory with mode 0700, or check that it is a real directory of ours that others cannot enter."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        _require_private(path.lstat(), path, stat.S_ISDIR)
    except OSError as error:
        raise StateDirectoryError(f"{path} cannot be used as a directory ({error.strerror}).") from error


def open_private(path: Path, flags: int) -> int:
    """Open a file of mode 0600 without following a link; an existing one must be ours and closed to others."""
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if isinstance(error, FileNotFoundError | FileExistsError):
            raise
        raise StateDirectoryError(f"{path} cannot be opened ({error.strerror}).") from error
    try:
        _require_private(os.fstat(descriptor), path, stat.S_ISREG)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read_private(path: Path, limit: int) -> bytes | None:
    """The file's content, `None` when there is no such file; `StateDirectoryError` over `limit` bytes."""
    try:
        descriptor = open_private(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    with open(descriptor, "rb") as file:  # noqa: PTH123  # a descriptor, not a path
        content = file.read(limit + 1)
    if len(content) > limit:
        raise StateDirectoryError(f"{path} is larger than {limit} bytes.")
    return content


def create_private(path: Path, content: bytes) -> bytes:
    """Create the file durably with this content, unless it exists; either way, what it holds now: so processes that
    start together agree. The file is never seen half written."""
    limit = max(len(content), 4096)
    existing = read_private(path, limit)
    if existing is not None:
        return existing
    with _draft(path, content) as draft, contextlib.suppress(FileExistsError):
        os.link(draft, path)  # appears whole, and never replaces another's
    present = read_private(path, limit)
    if present is None:
        raise StateDirectoryError(f"{path} vanished while it was made.")
    return present


def replace_private(path: Path, content: bytes) -> None:
    """Put the file there durably, in place of one that exists. Readers see the old content or the new one."""
    with _draft(path, content) as draft:
        draft.replace(path)


@contextlib.contextmanager
def _draft(path: Path, content: bytes) -> Iterator[Path]:
    """A complete file beside `path`, to be linked or moved there. `StateDirectoryError` when that fails."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        try:
            descriptor = open_private(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            with open(descriptor, "wb") as file:  # noqa: PTH123  # a descriptor, not a path
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            yield draft
        finally:
            draft.unlink(missing_ok=True)
        sync_directory(path.parent)
    except OSError as error:
        raise StateDirectoryError(f"{path} cannot be written ({error.strerror}).") from error


def sync_directory(path: Path) -> None:
    """Make a new or renamed entry of the directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def has_room(directory: Path, least: int = 4 << 20) -> bool:
    """Whether files can be made there and the disk takes `least` bytes more."""
    try:
        disk = os.statvfs(directory)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize >= least and os.access(directory, os.W_OK)


@contextlib.contextmanager
def directory_lock(path: Path) -> Iterator[None]:
    """Keep other processes and threads that use this lock out; it ends with the process at the latest.

    A file in the directory is locked, open for writing: NFS tells the server of no other `flock`."""
    try:
        descriptor = open_private(path / LOCK_NAME, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise StateDirectoryError(f"{path} cannot be locked ({error.strerror}).") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _require_private(status: os.stat_result, path: Path, is_kind: Callable[[int], bool]) -> None:
    if not is_kind(status.st_mode):
        raise StateDirectoryError(f"{path} is not what it should be (a link, or another kind of file).")
    if status.st_uid != os.geteuid():
        raise StateDirectoryError(f"{path} belongs to another user.")
    if stat.S_IMODE(status.st_mode) & _OTHERS:
        raise StateDirectoryError(
            f"{path} can be read by others (mode {stat.S_IMODE(status.st_mode):04o}).",
            remedy="Look who could have read it, then remove the access with chmod go=.",
        )

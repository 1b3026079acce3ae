"""Objects of the S3 front door as files: one file an object, written whole or not at all.

File format, version 1: one line of JSON (`version`, `key`, `size`, `etag`, `content_type`, `modified_at` in seconds
since the epoch), a newline, then the content. A reader refuses versions it does not know; fields may be added. The
file's name is the SHA-256 of the key, so no key can name a path, be too long for one, or differ from another by case
alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from jupyter_qsec.adapters.privatefiles import sync_directory
from jupyter_qsec.application.ports import StoredObject
from jupyter_qsec.domain.errors import InvalidRequestError, RecordingError, StateDirectoryError

_TENANT = re.compile(r"[a-z][a-z0-9-]{0,39}\Z")
_BUCKET = re.compile(r"\.?[a-z0-9][a-z0-9.-]{0,62}\Z")
_SUFFIX = ".object"
_TEMPORARY = ".new-"
_MAX_HEADER = 16_384
_STALE_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class _Indexed:
    """A header as read, with what tells that the file is still the same."""

    inode: int
    modified_ns: int
    stored: StoredObject


class FileResultStore:
    """Implements `ports.ResultStore` below one directory. Directories are 0700, files 0600."""

    def __init__(self, root: Path, *, max_indexed: int = 100_000) -> None:
        """`StateDirectoryError` when `root` cannot be made."""
        self._root = root
        self._max_indexed = max_indexed
        self._index: dict[Path, _Indexed] = {}
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            _sweep(root)
        except OSError as error:
            raise StateDirectoryError(f"The result store cannot be opened ({error.strerror}).") from error

    async def put(self, tenant: str, bucket: str, key: str, content: bytes, content_type: str) -> StoredObject:
        """Store durably before returning. `RecordingError` when it cannot be stored; then nothing has changed."""
        return await asyncio.to_thread(self._put, tenant, bucket, key, content, content_type)

    async def put_new(self, tenant: str, bucket: str, key: str, content: bytes, content_type: str) -> bool:
        """As `put`, unless there is an object of that key: false then. Of several processes that try, one succeeds."""
        return await asyncio.to_thread(self._put_new, tenant, bucket, key, content, content_type)

    async def get(self, tenant: str, bucket: str, key: str) -> tuple[StoredObject, bytes] | None:
        """`RecordingError` when the file is damaged."""
        return await asyncio.to_thread(self._get, tenant, bucket, key)

    async def head(self, tenant: str, bucket: str, key: str) -> StoredObject | None:
        return await asyncio.to_thread(self._head, tenant, bucket, key)

    async def delete(self, tenant: str, bucket: str, key: str) -> None:
        await asyncio.to_thread(self._delete, tenant, bucket, key)

    async def list(self, tenant: str, bucket: str, prefix: str, limit: int, after: str = "") -> Sequence[StoredObject]:
        return await asyncio.to_thread(self._list, tenant, bucket, prefix, limit, after)

    def _directory(self, tenant: str, bucket: str) -> Path:
        if not _TENANT.match(tenant) or not _BUCKET.match(bucket):
            raise InvalidRequestError("That is not a bucket name.")
        return self._root / tenant / bucket

    def _file(self, tenant: str, bucket: str, key: str) -> Path:
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
        return self._directory(tenant, bucket) / (digest + _SUFFIX)

    def _put(self, tenant: str, bucket: str, key: str, content: bytes, content_type: str) -> StoredObject:
        target = self._file(tenant, bucket, key)
        stored = _described(key, content, content_type)
        with self._draft(target, stored, content) as draft:
            draft.replace(target)
            sync_directory(target.parent)
        return stored

    def _put_new(self, tenant: str, bucket: str, key: str, content: bytes, content_type: str) -> bool:
        target = self._file(tenant, bucket, key)
        with self._draft(target, _described(key, content, content_type), content) as draft:
            try:
                os.link(draft, target)
            except FileExistsError:
                return False
            draft.unlink()
            sync_directory(target.parent)
        return True

    @contextlib.contextmanager
    def _draft(self, target: Path, stored: StoredObject, content: bytes) -> Iterator[Path]:
        """The object in a complete file beside its place. `RecordingError` when it does not come there."""
        draft = target.parent / (_TEMPORARY + secrets.token_hex(8))
        try:
            try:
                _make_directory(target.parent, self._root)
                _write_durably(draft, _header(stored), content)
                yield draft
            finally:
                with contextlib.suppress(OSError):
                    draft.unlink(missing_ok=True)
        except OSError as error:
            raise RecordingError(
                f"The object could not be stored ({error.strerror}).", remedy="Free some disk space and try again."
            ) from error

    def _get(self, tenant: str, bucket: str, key: str) -> tuple[StoredObject, bytes] | None:
        opened = _open(self._file(tenant, bucket, key))
        if opened is None:
            return None
        with os.fdopen(opened, "rb") as file:
            stored = _read_header(file.readline(_MAX_HEADER))
            content = file.read()
        if stored.key != key or len(content) != stored.size:
            raise RecordingError("A stored object is damaged: its size or key differs from its header.")
        return stored, content

    def _head(self, tenant: str, bucket: str, key: str) -> StoredObject | None:
        opened = _open(self._file(tenant, bucket, key))
        if opened is None:
            return None
        with os.fdopen(opened, "rb") as file:
            return _read_header(file.readline(_MAX_HEADER))

    def _delete(self, tenant: str, bucket: str, key: str) -> None:
        target = self._file(tenant, bucket, key)
        try:
            target.unlink()
            sync_directory(target.parent)
        except FileNotFoundError:
            return
        except OSError as error:
            raise RecordingError(f"The object could not be deleted ({error.strerror}).") from error
        self._index.pop(target, None)

    def _list(self, tenant: str, bucket: str, prefix: str, limit: int, after: str) -> Sequence[StoredObject]:
        found = []
        try:
            with os.scandir(self._directory(tenant, bucket)) as entries:
                for entry in entries:
                    if entry.name.endswith(_SUFFIX):
                        stored = self._indexed(entry)
                        if stored is not None and stored.key.startswith(prefix) and stored.key > after:
                            found.append(stored)
        except FileNotFoundError:
            return []
        # Code point order is the order of the keys' UTF-8 bytes, which is S3's.
        found.sort(key=lambda stored: stored.key)
        return found[:limit]

    def _indexed(self, entry: os.DirEntry[str]) -> StoredObject | None:
        """The header of a file, read once for each version of it: a list over thousands of results stays cheap."""
        path = Path(entry.path)
        try:
            status = entry.stat(follow_symlinks=False)
            known = self._index.get(path)
            if known is not None and (known.inode, known.modified_ns) == (status.st_ino, status.st_mtime_ns):
                return known.stored
            opened = _open(path)
        except FileNotFoundError:
            return None
        if opened is None:
            return None
        with os.fdopen(opened, "rb") as file:
            stored = _read_header(file.readline(_MAX_HEADER))
        if len(self._index) >= self._max_indexed:
            self._index.clear()
        self._index[path] = _Indexed(status.st_ino, status.st_mtime_ns, stored)
        return stored


def _described(key: str, content: bytes, content_type: str) -> StoredObject:
    etag = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return StoredObject(key, len(content), etag, datetime.now(UTC).replace(microsecond=0), content_type)


def _header(stored: StoredObject) -> bytes:
    fields = {
        "version": 1,
        "key": stored.key,
        "size": stored.size,
        "etag": stored.etag,
        "content_type": stored.content_type,
        "modified_at": int(stored.modified_at.timestamp()),
    }
    line = json.dumps(fields, separators=(",", ":")).encode("ascii") + b"\n"
    if len(line) > _MAX_HEADER:
        raise InvalidRequestError("The key and content type are too long.")
    return line


def _read_header(line: bytes) -> StoredObject:
    try:
        fields = json.loads(line)
        if fields["version"] != 1:
            raise ValueError("version")
        modified_at = datetime.fromtimestamp(int(fields["modified_at"]), tz=UTC)
        return StoredObject(
            str(fields["key"]), int(fields["size"]), str(fields["etag"]), modified_at, str(fields["content_type"])
        )
    except (ValueError, KeyError, TypeError) as error:
        raise RecordingError("A stored object is damaged: its header cannot be read.") from error


def _open(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RecordingError(f"A stored object cannot be read ({error.strerror}).") from error


def _make_directory(directory: Path, root: Path) -> None:
    """Make the tenant's and the bucket's directory, each durable in its parent."""
    for path in (directory.parent, directory):
        if not path.is_dir():
            path.mkdir(mode=0o700, exist_ok=True)
            sync_directory(path.parent if path != root else path)


def _write_durably(path: Path, *parts: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for part in parts:
            file.write(part)
        file.flush()
        os.fsync(file.fileno())


def _sweep(root: Path) -> None:
    """Remove what a killed process left half-written; younger files may belong to another worker."""
    limit = time.time() - _STALE_SECONDS
    for leftover in root.glob(f"*/*/{_TEMPORARY}*"):
        with contextlib.suppress(FileNotFoundError):
            if leftover.stat().st_mtime < limit:
                leftover.unlink()

"""Files uploaded in chunks. Notebooks are put together in memory and saved at once; of other files each chunk is
scanned with the end of the one before.

Jupyter Server runs pre-save hooks for the first chunk only and appends the others to the file as they come, so a secret
in the second megabyte of an upload would pass any hook.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import codecs
import inspect
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from weakref import WeakValueDictionary

from tornado.web import HTTPError

MAX_UPLOAD_BYTES = 128 << 20
MAX_UPLOADS = 8
"""Uploads under way at once; the one that has waited longest is dropped for another."""
LAST = -1
_OVERLAP = 4_096
"""Bytes; a secret over the border of two chunks is seen whole."""
_BINARY = 8_192
_MOST_FILES = 256


@dataclass(slots=True)
class _Upload:
    number: int = 0
    size: int = 0
    parts: list[bytes] = field(default_factory=list)


class ChunkedNotebooks:
    """Wraps one contents manager's `save`."""

    def __init__(self, contents_manager: Any) -> None:
        self._manager = contents_manager
        self._save: Callable[..., Any] = contents_manager.save
        self._uploads: OrderedDict[str, _Upload] = OrderedDict()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """One for each notebook: a later save must not overtake an upload that is being put together."""

    def attach(self) -> None:
        """Take the place of the manager's `save`; managers without chunks never notice."""
        self._manager.save = self.save if inspect.iscoroutinefunction(self._save) else self.save_at_once

    async def save(self, model: dict[str, Any], path: str = "") -> Any:
        """What the manager's `save` gives. A notebook is put together beside the event loop, as it may be large."""
        name, chunk = path.strip("/"), model.get("chunk")
        if not name.lower().endswith(".ipynb"):
            return await self._save(model, path)
        turn = self._turns.setdefault(name, asyncio.Lock())
        async with turn:
            if chunk is None:
                return await self._save(model, path)
            parts = self._take(name, chunk, model)
            if parts is None:
                return _placeholder(name)
            return await self._save(await asyncio.to_thread(_whole, parts), path)

    def save_at_once(self, model: dict[str, Any], path: str = "") -> Any:
        """As `save`, for a manager that is not asynchronous."""
        name, chunk = path.strip("/"), model.get("chunk")
        if chunk is None or not name.lower().endswith(".ipynb"):
            return self._save(model, path)
        parts = self._take(name, chunk, model)
        return _placeholder(name) if parts is None else self._save(_whole(parts), path)

    def _take(self, path: str, chunk: Any, model: dict[str, Any]) -> list[bytes] | None:
        """Keep a chunk; everything, when it was the last."""
        upload = _Upload() if chunk == 1 else self._uploads.pop(path, None)
        if upload is None or not _follows(chunk, upload.number):
            raise _out_of_order()
        part = _bytes(model)
        upload.number += 1
        upload.size += len(part)
        if upload.size > MAX_UPLOAD_BYTES:
            raise HTTPError(413, f"A notebook of more than {MAX_UPLOAD_BYTES >> 20} MB cannot be scanned for secrets.")
        upload.parts.append(part)
        if chunk == LAST:
            return upload.parts
        self._uploads.pop(path, None)
        self._uploads[path] = upload
        while len(self._uploads) > MAX_UPLOADS:
            self._uploads.popitem(last=False)
        return None


@dataclass(frozen=True, slots=True)
class Piece:
    """What to scan before a chunk is saved that hooks do not see."""

    data: bytes
    """The end of the chunk before, and this chunk."""
    seen: int
    """Bytes of it that were scanned with the chunk before."""
    line: int
    """Lines of the file before it."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A plain file of which so many chunks are saved."""

    number: int = 0
    end: bytes | None = b""
    """The last of it, from the beginning of a line where there is one; `None` for a binary file."""
    line: int = 0
    """Lines of the file before that."""


class FollowingChunks:
    """Plain files that come in chunks. Nothing is remembered of a chunk before it is saved: it may come again."""

    def __init__(self) -> None:
        self._files: OrderedDict[str, Arrived] = OrderedDict()

    def before(self, path: str, chunk: Any) -> Arrived:
        """What is saved of the file. Raises `HTTPError` when this chunk does not follow on it."""
        arrived = Arrived() if chunk == 1 else self._files.get(path)
        if arrived is None or not _follows(chunk, arrived.number):
            raise _out_of_order()
        return arrived

    def forget(self, path: str) -> None:
        """Something else is saved there: what is known of an upload is not so any more."""
        self._files.pop(path, None)

    def saved(self, path: str, chunk: int, arrived: Arrived) -> None:
        """This is saved now."""
        self.forget(path)
        if chunk != LAST:
            self._files[path] = arrived
            while len(self._files) > _MOST_FILES:
                self._files.popitem(last=False)


def following(model: dict[str, Any], before: Arrived) -> tuple[Piece | None, Arrived]:
    """What to scan ahead of a chunk, if anything, and what has arrived with it. On any thread; raises `HTTPError` for a
    chunk that cannot be decoded."""
    raw = _bytes(model)
    first, number = before.number == 0, before.number + 1
    if before.end is None or (first and b"\0" in raw[:_BINARY]):
        return None, Arrived(number, None)
    data = before.end + raw
    start = max(0, len(data) - _OVERLAP)
    line_start = data.find(b"\n", start - 1 if start else 0) + 1 if start else 0
    start = line_start if start < line_start < len(data) else start
    arrived = Arrived(number, data[start:], before.line + data.count(b"\n", 0, start))
    return None if first else Piece(data, len(before.end), before.line), arrived


def _follows(chunk: Any, number: int) -> bool:
    """Whether this chunk comes next behind so many."""
    return isinstance(chunk, int) and chunk in (LAST, number + 1)


def _out_of_order() -> HTTPError:
    return HTTPError(400, "The chunks of this upload do not follow one another. Upload the file again.")


def _bytes(model: dict[str, Any]) -> bytes:
    content = model.get("content")
    if model.get("type") != "file" or not isinstance(content, str):
        raise HTTPError(400, "A chunk must be of type file and have content.")
    try:
        return base64.b64decode(content) if model.get("format") == "base64" else content.encode()
    except (ValueError, binascii.Error):
        raise HTTPError(400, "The chunk's content cannot be decoded.") from None


def _whole(parts: list[bytes]) -> dict[str, Any]:
    """The model of a file in so many parts. As text where it is some: no single operation on all of it takes long then,
    which would hold up the event loop from any thread."""
    decode = codecs.getincrementaldecoder("utf-8")().decode
    try:
        return {"type": "file", "format": "text", "content": "".join([*map(decode, parts), decode(b"", True)])}
    except UnicodeDecodeError:
        return {"type": "file", "format": "base64", "content": base64.b64encode(b"".join(parts)).decode("ascii")}


def _placeholder(path: str) -> dict[str, Any]:
    """A model of the file that is still on its way; nothing is on disk yet."""
    now = datetime.now(UTC)
    return {
        "name": path.rpartition("/")[2],
        "path": path,
        "type": "file",
        "format": None,
        "mimetype": None,
        "content": None,
        "created": now,
        "last_modified": now,
        "writable": True,
        "size": None,
    }

"""Files uploaded in chunks. Notebooks are put together in memory and saved at once; of other files each chunk is
scanned with the end of the one before.

Jupyter Server runs pre-save hooks for the first chunk only and appends the others to the file as they come, so a secret
in the second megabyte of an upload would pass any hook.
"""

from __future__ import annotations

import base64
import binascii
import inspect
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tornado.web import HTTPError

MAX_UPLOAD_BYTES = 128 << 20
MAX_UPLOADS = 8
"""Uploads under way at once; the one that has waited longest is dropped for another."""
LAST = -1
_OVERLAP = 4_096
"""Bytes; a secret over the border of two chunks is seen whole."""
_BINARY = 8_192


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

    def attach(self) -> None:
        """Take the place of the manager's `save`; managers without chunks never notice."""
        self._manager.save = self.save

    def save(self, model: dict[str, Any], path: str = "") -> Any:
        """What the manager's `save` gives: a model, or an awaitable of one."""
        chunk = model.get("chunk")
        if chunk is None or not path.lower().endswith(".ipynb"):
            return self._save(model, path)
        whole = self._take(path.strip("/"), chunk, model)
        if whole is None:
            waiting = _placeholder(path.strip("/"))
            return _later(waiting) if inspect.iscoroutinefunction(self._save) else waiting
        content = base64.b64encode(whole).decode("ascii")
        return self._save({"type": "file", "format": "base64", "content": content}, path)

    def _take(self, path: str, chunk: Any, model: dict[str, Any]) -> bytes | None:
        """Keep a chunk; everything, when it was the last."""
        upload = _Upload() if chunk == 1 else self._uploads.pop(path, None)
        if upload is None or not isinstance(chunk, int) or (chunk != LAST and chunk != upload.number + 1):
            raise HTTPError(400, "The chunks of this upload do not follow one another. Upload the notebook again.")
        part = _bytes(model)
        upload.number += 1
        upload.size += len(part)
        if upload.size > MAX_UPLOAD_BYTES:
            raise HTTPError(413, f"A notebook of more than {MAX_UPLOAD_BYTES >> 20} MB cannot be scanned for secrets.")
        upload.parts.append(part)
        if chunk == LAST:
            return b"".join(upload.parts)
        self._uploads.pop(path, None)
        self._uploads[path] = upload
        while len(self._uploads) > MAX_UPLOADS:
            self._uploads.popitem(last=False)
        return None


class FollowingChunks:
    """Makes texts to scan of the chunks of plain files that no hook sees."""

    def __init__(self) -> None:
        self._ends: OrderedDict[str, bytes | None] = OrderedDict()
        """The end of what came last of a file that is on its way; `None` for a binary one."""

    def piece(self, model: dict[str, Any], path: str) -> dict[str, Any] | None:
        """A model of what to scan before this chunk is saved; `None` where hooks see it, or where rules would find
        nothing but chance. Raises `HTTPError` for a chunk that cannot be decoded."""
        chunk = model.get("chunk")
        if chunk is None:
            return None
        raw = _bytes(model)
        first = chunk == 1
        before = b"" if first else self._ends.pop(path, b"")
        binary = before is None or (first and b"\0" in raw[:_BINARY])
        if chunk != LAST:
            self._ends[path] = None if binary else raw[-_OVERLAP:]
            while len(self._ends) > MAX_UPLOADS:
                self._ends.popitem(last=False)
        if first or before is None:
            return None
        return {"type": "file", "format": "base64", "content": base64.b64encode(before + raw).decode("ascii")}


def _bytes(model: dict[str, Any]) -> bytes:
    content = model.get("content")
    if model.get("type") != "file" or not isinstance(content, str):
        raise HTTPError(400, "A chunk must be of type file and have content.")
    try:
        return base64.b64decode(content) if model.get("format") == "base64" else content.encode()
    except (ValueError, binascii.Error):
        raise HTTPError(400, "The chunk's content cannot be decoded.") from None


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


async def _later(model: dict[str, Any]) -> dict[str, Any]:
    return model

"""Multipart uploads: parts are kept beside the tenant's buckets until they become one object.

SDKs upload in parts from 8 MB on. An upload's description and its parts are objects of a bucket that no client can
address; like everything there they belong to the tenant.
"""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import Sequence

from jupyter_qsec.application.callers import Caller
from jupyter_qsec.application.objects import MAX_OBJECT_BYTES, Objects, check_key
from jupyter_qsec.application.ports import ResultStore, StoredObject
from jupyter_qsec.domain.errors import ConflictError, InvalidRequestError, NotFoundError, TooLargeError

MAX_OPEN = 32
"""Uploads that one tenant may have open."""
MAX_PARTS = 10_000
_UPLOADS = ".uploads"
_ID = re.compile(r"[0-9a-f]{32}\Z")


class NoSuchUploadError(NotFoundError):
    """The tenant has no such upload open for that bucket and key."""

    code = "no-such-upload"

    def __init__(self) -> None:
        super().__init__("The specified multipart upload does not exist.")


class Uploads:
    def __init__(self, objects: Objects, results: ResultStore) -> None:
        self._objects = objects
        self._results = results

    async def begin(self, caller: Caller, bucket: str, key: str, content_type: str) -> str:
        """The id of a new upload. `NoSuchBucketError`, `ConflictError` when too many are open."""
        await self._objects.require_writable(caller, bucket)
        check_key(key)
        stored = await self._results.list(caller.tenant.id, _UPLOADS, "", MAX_OPEN * MAX_PARTS)
        if sum(1 for entry in stored if "/" not in entry.key) >= MAX_OPEN:
            raise ConflictError(f"The tenant has {MAX_OPEN} uploads open. Complete or abort one first.")
        upload = uuid.uuid4().hex
        description = json.dumps({"bucket": bucket, "key": key, "content_type": content_type}).encode()
        await self._results.put(caller.tenant.id, _UPLOADS, upload, description, "application/json")
        return upload

    async def put_part(
        self, caller: Caller, bucket: str, key: str, upload: str, number: int, content: bytes
    ) -> StoredObject:
        """Keep one part. `NoSuchUploadError`, `TooLargeError` when the parts together are too large."""
        await self._find(caller, bucket, key, upload)
        if not 1 <= number <= MAX_PARTS:
            raise InvalidRequestError(f"Part numbers go from 1 to {MAX_PARTS}.")
        name = _part(upload, number)
        others = await self._results.list(caller.tenant.id, _UPLOADS, f"{upload}/", MAX_PARTS)
        if sum(part.size for part in others if part.key != name) + len(content) > MAX_OBJECT_BYTES:
            raise TooLargeError(f"An object may have at most {MAX_OBJECT_BYTES >> 20} MB.")
        return await self._results.put(caller.tenant.id, _UPLOADS, name, content, "application/octet-stream")

    async def complete(
        self, caller: Caller, bucket: str, key: str, upload: str, parts: Sequence[tuple[int, str]]
    ) -> StoredObject:
        """Make one object of (number, ETag) in this order. `InvalidRequestError` when a part is not as named."""
        content_type = await self._find(caller, bucket, key, upload)
        numbers = [number for number, _ in parts]
        if not parts or numbers != sorted(set(numbers)):
            raise InvalidRequestError("The parts must be listed in ascending order, each once.")
        found = await asyncio.gather(
            *(self._results.get(caller.tenant.id, _UPLOADS, _part(upload, number)) for number in numbers)
        )
        content = bytearray()
        for part, (number, etag) in zip(found, parts, strict=True):
            if part is None or part[0].etag != etag:
                raise InvalidRequestError(f"Part {number} was not uploaded or has another ETag.")
            content += part[1]
        stored = await self._objects.put(caller, bucket, key, bytes(content), content_type)
        await self._remove(caller, upload)
        return stored

    async def abort(self, caller: Caller, bucket: str, key: str, upload: str) -> None:
        """Forget an upload and its parts. `NoSuchUploadError`."""
        await self._find(caller, bucket, key, upload)
        await self._remove(caller, upload)

    async def _find(self, caller: Caller, bucket: str, key: str, upload: str) -> str:
        """The content type of an open upload."""
        await self._objects.require_writable(caller, bucket)
        found = await self._results.get(caller.tenant.id, _UPLOADS, upload) if _ID.match(upload) else None
        description = json.loads(found[1]) if found is not None else {}
        if (description.get("bucket"), description.get("key")) != (bucket, key):
            raise NoSuchUploadError
        return str(description["content_type"])

    async def _remove(self, caller: Caller, upload: str) -> None:
        for part in await self._results.list(caller.tenant.id, _UPLOADS, f"{upload}/", MAX_PARTS):
            await self._results.delete(caller.tenant.id, _UPLOADS, part.key)
        await self._results.delete(caller.tenant.id, _UPLOADS, upload)


def _part(upload: str, number: int) -> str:
    return f"{upload}/{number:05d}"

"""Objects in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime

from jupyter_qsec.application.ports import StoredObject
from jupyter_qsec.domain.errors import UnavailableError


class FakeResults:
    """Implements the `ResultStore` port. `failures` is how many of the next writes fail, as on a full disk."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], tuple[StoredObject, bytes]] = {}
        self.failures = 0
        self.writes = 0

    async def put(self, tenant: str, bucket: str, key: str, content: bytes, content_type: str) -> StoredObject:
        self.writes += 1
        if self.failures > 0:
            self.failures -= 1
            raise UnavailableError("The disk is full.")
        etag = hashlib.md5(content, usedforsecurity=False).hexdigest()
        stored = StoredObject(key, len(content), etag, datetime(2026, 3, 1, tzinfo=UTC), content_type)
        self.objects[tenant, bucket, key] = (stored, content)
        return stored

    async def put_new(self, tenant: str, bucket: str, key: str, content: bytes, content_type: str) -> bool:
        if (tenant, bucket, key) in self.objects:
            return False
        await self.put(tenant, bucket, key, content, content_type)
        return True

    async def get(self, tenant: str, bucket: str, key: str) -> tuple[StoredObject, bytes] | None:
        return self.objects.get((tenant, bucket, key))

    async def head(self, tenant: str, bucket: str, key: str) -> StoredObject | None:
        found = self.objects.get((tenant, bucket, key))
        return found[0] if found else None

    async def delete(self, tenant: str, bucket: str, key: str) -> None:
        self.objects.pop((tenant, bucket, key), None)

    async def list(self, tenant: str, bucket: str, prefix: str, limit: int, after: str = "") -> Sequence[StoredObject]:
        keys = sorted(
            k for t, b, k in self.objects if (t, b) == (tenant, bucket) and k.startswith(prefix) and k > after
        )
        return [self.objects[tenant, bucket, key][0] for key in keys[:limit]]

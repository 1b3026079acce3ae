"""Buckets and objects with the semantics of S3, each tenant in a world of its own.

Every tenant has its own namespace of buckets, so the name of another tenant's bucket is a name like any other that was
never created: there is nothing to look up and nothing that could leak.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from jupyter_qsec.application.callers import Caller, Fact, access, caller_event, require
from jupyter_qsec.application.outcomes import results_key
from jupyter_qsec.application.ports import Clock, Policy, ResultStore, Store, StoredObject
from jupyter_qsec.domain.access import Action, Permit
from jupyter_qsec.domain.audit import AuditEvent
from jupyter_qsec.domain.errors import (
    ConflictError,
    DeniedError,
    InvalidRequestError,
    NotFoundError,
    QsecError,
    TooLargeError,
)

MAX_KEY_BYTES = 1024
MAX_OBJECT_BYTES = 64 << 20
MAX_LISTED = 1000

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\Z")
_RESULTS = re.compile(r"(?:.*/)?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/results\.json\Z", re.DOTALL)
_CREATED = ".buckets"
"""Holds an empty object for each bucket created by name; no client can address a name with a leading dot."""


class NoSuchBucketError(NotFoundError):
    """The tenant has no bucket of that name."""

    code = "no-such-bucket"

    def __init__(self, bucket: str) -> None:
        super().__init__("The specified bucket does not exist.")
        self.bucket = bucket


class NoSuchKeyError(NotFoundError):
    """The bucket holds no object of that key."""

    code = "no-such-key"

    def __init__(self, key: str) -> None:
        super().__init__("The specified key does not exist.")
        self.key = key


class BucketOwnedError(ConflictError):
    """The tenant has that bucket already."""

    code = "bucket-owned"


class InvalidBucketNameError(InvalidRequestError):
    """Not a name that S3 would allow."""

    code = "invalid-bucket-name"


class Objects:
    """Reads are recorded before they are answered, writes before they happen: without a record there is neither."""

    def __init__(self, results: ResultStore, store: Store, policy: Policy, clock: Clock) -> None:
        self._results = results
        self._store = store
        self._policy = policy
        self._clock = clock

    async def owns(self, caller: Caller, bucket: str) -> bool:
        """Whether the caller's tenant has that bucket: by name (its account id is a part) or by creation."""
        if not _BUCKET.match(bucket):
            return False
        tenant = caller.tenant
        if tenant.account in bucket.split("-"):
            return True
        return await self._results.head(tenant.id, _CREATED, bucket) is not None

    async def create_bucket(self, caller: Caller, bucket: str) -> None:
        """`BucketOwnedError` when the tenant has it, `InvalidBucketNameError`."""
        permit = self._require(caller, Action.OBJECT_WRITE)
        if not _BUCKET.match(bucket):
            raise InvalidBucketNameError("The specified bucket is not valid.")
        if await self.owns(caller, bucket):
            raise BucketOwnedError("Your previous request to create the named bucket succeeded and you already own it.")
        await self._record(caller, "bucket.created", permit, bucket)
        await self._results.put(caller.tenant.id, _CREATED, bucket, b"", "application/octet-stream")

    async def require_bucket(self, caller: Caller, bucket: str) -> None:
        """`NoSuchBucketError` unless the tenant has it."""
        self._require(caller, Action.RESULT_READ)
        await self._find(caller, bucket)

    async def require_writable(self, caller: Caller, bucket: str) -> None:
        """`NoSuchBucketError` unless the tenant has it, `DeniedError` unless the caller may write."""
        self._require(caller, Action.OBJECT_WRITE)
        await self._find(caller, bucket)

    async def get(self, caller: Caller, bucket: str, key: str) -> tuple[StoredObject, bytes]:
        """`NoSuchBucketError`, `NoSuchKeyError`."""
        permit = self._require(caller, Action.RESULT_READ)
        await self._find(caller, bucket)
        check_key(key)
        found = await self._results.get(caller.tenant.id, bucket, key)
        if found is None:
            raise NoSuchKeyError(key)
        await self._record(caller, "object.read", permit, f"{bucket}/{key}")
        return found

    async def head(self, caller: Caller, bucket: str, key: str) -> StoredObject:
        """`NoSuchBucketError`, `NoSuchKeyError`."""
        self._require(caller, Action.RESULT_READ)
        await self._find(caller, bucket)
        check_key(key)
        found = await self._results.head(caller.tenant.id, bucket, key)
        if found is None:
            raise NoSuchKeyError(key)
        return found

    async def put(self, caller: Caller, bucket: str, key: str, content: bytes, content_type: str) -> StoredObject:
        """Store an object, replacing one of the same key. `NoSuchBucketError`, `TooLargeError`, `RecordingError`,
        `DeniedError` for the results of a task."""
        permit = self._require(caller, Action.OBJECT_WRITE)
        await self._find(caller, bucket)
        check_key(key)
        if len(content) > MAX_OBJECT_BYTES:
            raise TooLargeError(f"An object may have at most {MAX_OBJECT_BYTES >> 20} MB.")
        if len(content_type) > 255 or not content_type.isprintable():
            raise InvalidRequestError("The content type is too long or not printable.")
        await self._refuse_results(caller, bucket, key)
        subject = f"{bucket}/{key}"
        await self._record(caller, "object.written", permit, subject, {"size": len(content)})
        try:
            return await self._results.put(caller.tenant.id, bucket, key, content, content_type)
        except QsecError:
            await self._record(caller, "object.written", permit, subject, outcome="failed")
            raise

    async def copy(self, caller: Caller, source: tuple[str, str], target: tuple[str, str]) -> StoredObject:
        """Copy (bucket, key) to (bucket, key) within the tenant."""
        stored, content = await self.get(caller, *source)
        return await self.put(caller, *target, content, stored.content_type)

    async def delete(self, caller: Caller, bucket: str, keys: Sequence[str]) -> None:
        """Delete objects; keys that do not exist are no error, as in S3."""
        permit = self._require(caller, Action.OBJECT_WRITE)
        await self._find(caller, bucket)
        for key in keys:
            check_key(key)
        events = [self._event(caller, "object.deleted", permit, f"{bucket}/{key}") for key in keys]
        await self._store.record(events)
        for key in keys:
            await self._results.delete(caller.tenant.id, bucket, key)

    async def list(
        self, caller: Caller, bucket: str, prefix: str, limit: int = MAX_LISTED, after: str = ""
    ) -> Sequence[StoredObject]:
        """Objects with keys greater than `after`, in key order. `NoSuchBucketError`."""
        self._require(caller, Action.RESULT_READ)
        await self._find(caller, bucket)
        return await self._results.list(caller.tenant.id, bucket, prefix, limit, after)

    async def _refuse_results(self, caller: Caller, bucket: str, key: str) -> None:
        """Only the gateway writes what a task's results are: recovery takes a result that it finds for its own."""
        named = _RESULTS.match(key)
        task = await self._store.task(named[1]) if named else None
        if task is not None and (task.tenant, task.output_bucket, results_key(task)) == (caller.tenant.id, bucket, key):
            raise DeniedError("The results of a task are written by the gateway only.", reasons=("task-results",))

    def _require(self, caller: Caller, action: Action) -> Permit:
        return require(self._policy, access(caller, action))

    async def _find(self, caller: Caller, bucket: str) -> None:
        if not await self.owns(caller, bucket):
            raise NoSuchBucketError(bucket)

    async def _record(
        self,
        caller: Caller,
        kind: str,
        permit: Permit,
        subject: str,
        details: Mapping[str, Fact] | None = None,
        *,
        outcome: str = "allowed",
    ) -> None:
        await self._store.record([self._event(caller, kind, permit, subject, details, outcome=outcome)])

    def _event(
        self,
        caller: Caller,
        kind: str,
        permit: Permit,
        subject: str,
        details: Mapping[str, Fact] | None = None,
        *,
        outcome: str = "allowed",
    ) -> AuditEvent:
        now = self._clock.now()
        about = f"s3://{subject}"
        return caller_event(caller, kind, now, subject=about, outcome=outcome, rules=permit.rules, details=details)


def check_key(key: str) -> None:
    """`InvalidRequestError` unless it is a key."""
    if not key or len(key.encode("utf-8")) > MAX_KEY_BYTES:
        raise InvalidRequestError(f"A key has 1 to {MAX_KEY_BYTES} bytes.")

"""Buckets and objects: each tenant in a world of its own, nothing without its record."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from jupyter_qsec.application.callers import Caller
from jupyter_qsec.application.objects import (
    BucketOwnedError,
    InvalidBucketNameError,
    NoSuchBucketError,
    NoSuchKeyError,
)
from jupyter_qsec.application.uploads import MAX_OPEN, NoSuchUploadError, Uploads
from jupyter_qsec.domain.access import Action
from jupyter_qsec.domain.errors import ConflictError, DeniedError, InvalidRequestError, QsecError, RecordingError
from tests.fakes.policy import FakePolicy
from tests.fakes.world import World

ALPHAS = "amazon-braket-us-east-1-000000000111"


async def test_the_default_bucket_is_the_tenants_by_its_account() -> None:
    world = World()
    alpha, beta = await world.caller("alpha"), await world.caller("beta")
    assert await world.objects.owns(alpha, ALPHAS)
    assert not await world.objects.owns(beta, ALPHAS)
    assert not await world.objects.owns(alpha, "bucket-9000000000111")
    assert not await world.objects.owns(alpha, "../000000000111")


async def test_a_created_bucket_is_the_tenants_own_even_under_a_name_that_another_uses() -> None:
    world = World()
    alpha, beta = await world.caller("alpha"), await world.caller("beta")
    for caller in (alpha, beta):
        assert not await world.objects.owns(caller, "my-bucket")
        await world.objects.create_bucket(caller, "my-bucket")
        with pytest.raises(BucketOwnedError):
            await world.objects.create_bucket(caller, "my-bucket")
    await world.objects.put(alpha, "my-bucket", "k", b"alpha's", "text/plain")
    with pytest.raises(NoSuchKeyError):
        await world.objects.get(beta, "my-bucket", "k")


@pytest.mark.parametrize("name", ["ab", "UPPER", "a_b", ".buckets", ".uploads", "-ab", "ab-", "a" * 64, "a/b", ""])
async def test_a_name_that_is_no_bucket_name_is_refused(name: str) -> None:
    world = World()
    caller = await world.caller()
    with pytest.raises(InvalidBucketNameError):
        await world.objects.create_bucket(caller, name)
    with pytest.raises(NoSuchBucketError):
        await world.objects.get(caller, name, "k")


async def test_the_reserved_buckets_cannot_be_read_or_written() -> None:
    world = World()
    caller = await world.caller()
    await world.objects.create_bucket(caller, "my-bucket")
    for bucket in (".buckets", ".uploads"):
        with pytest.raises(NoSuchBucketError):
            await world.objects.list(caller, bucket, "")
        with pytest.raises(NoSuchBucketError):
            await world.objects.put(caller, bucket, "another-bucket", b"", "text/plain")


async def test_reads_writes_copies_and_deletions_are_on_record() -> None:
    world = World()
    caller = await world.caller()
    await world.objects.put(caller, ALPHAS, "k", b"x", "text/plain")
    await world.objects.get(caller, ALPHAS, "k")
    await world.objects.copy(caller, (ALPHAS, "k"), (ALPHAS, "copy"))
    await world.objects.delete(caller, ALPHAS, ["k", "never-there"])
    kinds = [(event.kind, event.subject) for event in world.store.events if event.kind.startswith("object.")]
    assert kinds == [
        ("object.written", f"s3://{ALPHAS}/k"),
        ("object.read", f"s3://{ALPHAS}/k"),
        ("object.read", f"s3://{ALPHAS}/k"),
        ("object.written", f"s3://{ALPHAS}/copy"),
        ("object.deleted", f"s3://{ALPHAS}/k"),
        ("object.deleted", f"s3://{ALPHAS}/never-there"),
    ]


async def test_without_a_record_nothing_is_read_written_or_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    caller = await world.caller()
    await world.objects.put(caller, ALPHAS, "k", b"x", "text/plain")

    async def no_record(events: object) -> None:
        raise RecordingError("The log cannot be written.")

    monkeypatch.setattr(world.store, "record", no_record)
    for attempt in (
        world.objects.get(caller, ALPHAS, "k"),
        world.objects.put(caller, ALPHAS, "k", b"changed", "text/plain"),
        world.objects.delete(caller, ALPHAS, ["k"]),
        world.objects.create_bucket(caller, "my-bucket"),
    ):
        with pytest.raises(RecordingError):
            await attempt
    assert world.results.objects["alpha", ALPHAS, "k"][1] == b"x"
    assert not await world.objects.owns(caller, "my-bucket")


async def test_a_write_that_fails_is_recorded_as_failed() -> None:
    world = World()
    caller = await world.caller()
    world.results.failures = 1
    with pytest.raises(QsecError):
        await world.objects.put(caller, ALPHAS, "k", b"x", "text/plain")
    assert [event.outcome for event in world.store.events if event.kind == "object.written"] == ["allowed", "failed"]


@pytest.mark.parametrize(("action", "kind"), [(Action.RESULT_READ, "read"), (Action.OBJECT_WRITE, "write")])
async def test_policy_decides(action: Action, kind: str) -> None:
    policy = FakePolicy()
    world = World(policy=policy)
    caller = await world.caller()
    await world.objects.put(caller, ALPHAS, "k", b"x", "text/plain")
    policy.denied = {action}
    reads: list[Callable[[], Awaitable[object]]] = [
        lambda: world.objects.get(caller, ALPHAS, "k"),
        lambda: world.objects.head(caller, ALPHAS, "k"),
        lambda: world.objects.list(caller, ALPHAS, ""),
        lambda: world.objects.require_bucket(caller, ALPHAS),
    ]
    writes: list[Callable[[], Awaitable[object]]] = [
        lambda: world.objects.put(caller, ALPHAS, "k", b"y", "text/plain"),
        lambda: world.objects.delete(caller, ALPHAS, ["k"]),
        lambda: world.objects.create_bucket(caller, "my-bucket"),
        lambda: world.objects.require_writable(caller, ALPHAS),
    ]
    for attempt in reads if kind == "read" else writes:
        with pytest.raises(DeniedError):
            await attempt()


@pytest.mark.parametrize("key", ["", "k" * 1025, "😀" * 257])
async def test_a_key_has_its_bounds(key: str) -> None:
    world = World()
    with pytest.raises(InvalidRequestError):
        await world.objects.put(await world.caller(), ALPHAS, key, b"", "text/plain")


# -- multipart
async def started(world: World) -> tuple[Caller, Uploads, str]:
    caller = await world.caller()
    uploads = Uploads(world.objects, world.results)
    return caller, uploads, await uploads.begin(caller, ALPHAS, "big", "text/plain")


async def test_parts_become_one_object_and_are_gone() -> None:
    world = World()
    caller, uploads, upload = await started(world)
    parts = [(n, (await uploads.put_part(caller, ALPHAS, "big", upload, n, bytes([n]) * 3)).etag) for n in (2, 1)]
    await uploads.complete(caller, ALPHAS, "big", upload, sorted(parts))
    stored, content = await world.objects.get(caller, ALPHAS, "big")
    assert (content, stored.content_type) == (b"\1\1\1\2\2\2", "text/plain")
    assert not [key for key in world.results.objects if key[1] == ".uploads"]
    with pytest.raises(NoSuchUploadError):
        await uploads.complete(caller, ALPHAS, "big", upload, sorted(parts))


async def test_an_aborted_upload_leaves_nothing() -> None:
    world = World()
    caller, uploads, upload = await started(world)
    await uploads.put_part(caller, ALPHAS, "big", upload, 1, b"x")
    await uploads.abort(caller, ALPHAS, "big", upload)
    assert not world.results.objects


async def test_an_upload_belongs_to_its_tenant_bucket_and_key() -> None:
    world = World()
    _, uploads, upload = await started(world)
    alpha, beta = await world.caller("alpha"), await world.caller("beta")
    await world.objects.create_bucket(beta, "my-bucket")
    for caller, bucket, key, name in (
        (beta, "my-bucket", "big", upload),
        (alpha, ALPHAS, "other", upload),
        (alpha, ALPHAS, "big", "0" * 32),
        (alpha, ALPHAS, "big", "../x"),
    ):
        with pytest.raises(NoSuchUploadError):
            await uploads.put_part(caller, bucket, key, name, 1, b"x")
    with pytest.raises(NoSuchBucketError):
        await uploads.put_part(beta, ALPHAS, "big", upload, 1, b"x")


@pytest.mark.parametrize("parts", [[], [(1, "wrong")], [(2, "")], [(1, ""), (1, "")]])
async def test_parts_that_are_not_as_named_are_refused(parts: list[tuple[int, str]]) -> None:
    world = World()
    caller, uploads, upload = await started(world)
    await uploads.put_part(caller, ALPHAS, "big", upload, 1, b"x")
    with pytest.raises(InvalidRequestError):
        await uploads.complete(caller, ALPHAS, "big", upload, parts)


async def test_uploads_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    caller, uploads, upload = await started(world)
    monkeypatch.setattr("jupyter_qsec.application.uploads.MAX_OBJECT_BYTES", 5)
    await uploads.put_part(caller, ALPHAS, "big", upload, 1, b"xxx")
    await uploads.put_part(caller, ALPHAS, "big", upload, 1, b"xxxxx")
    with pytest.raises(InvalidRequestError, match="at most"):
        await uploads.put_part(caller, ALPHAS, "big", upload, 2, b"x")
    for _ in range(MAX_OPEN - 1):
        await uploads.begin(caller, ALPHAS, "more", "text/plain")
    with pytest.raises(ConflictError):
        await uploads.begin(caller, ALPHAS, "more", "text/plain")


async def test_nobody_but_the_gateway_writes_the_results_of_a_task() -> None:
    world = World()
    caller = await world.caller("alpha")
    task = await world.submit(caller, output_bucket=ALPHAS)
    key = f"{task.output_directory}/results.json"
    with pytest.raises(DeniedError, match="by the gateway only"):
        await world.objects.put(caller, ALPHAS, key, b"{}", "application/json")
    await world.objects.put(caller, ALPHAS, "mine.json", b"{}", "application/json")
    with pytest.raises(DeniedError):
        await world.objects.copy(caller, (ALPHAS, "mine.json"), (ALPHAS, key))
    assert (await world.objects.put(caller, ALPHAS, f"elsewhere/{task.id}/results.json", b"{}", "text/plain")).size == 2

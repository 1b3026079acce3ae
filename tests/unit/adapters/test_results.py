"""The result store: whole or not at all, private, and no key leaves its tenant's tree."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from pathlib import Path

import pytest

from jupyter_qsec.adapters import results as module
from jupyter_qsec.adapters.results import FileResultStore
from jupyter_qsec.domain.errors import InvalidRequestError, RecordingError, StateDirectoryError

BUCKET = "amazon-braket-us-east-1-000000000111"
ODD_KEYS = [
    "../../etc/passwd",
    "/absolute",
    "a//b",
    "a/./b/../c",
    "..",
    ".",
    "\x00nul",
    "new\nline",
    "ünïcode/😀",
    "UPPER",
    "upper",
    "a",
    "a/b",
    "k" * 1024,
    "😀" * 256,
    "CON",
    "a" * 300 + "/b",
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "results"


def files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


def everything(root: Path) -> list[Path]:
    return [root, *root.rglob("*")]


async def test_an_object_comes_back_as_it_was_put(root: Path) -> None:
    store = FileResultStore(root)
    stored = await store.put("alpha", BUCKET, "tasks/1/results.json", b"{}", "application/json")
    assert (stored.size, stored.etag) == (2, hashlib.md5(b"{}").hexdigest())
    assert await store.get("alpha", BUCKET, "tasks/1/results.json") == (stored, b"{}")
    assert await store.head("alpha", BUCKET, "tasks/1/results.json") == stored
    assert await FileResultStore(root).get("alpha", BUCKET, "tasks/1/results.json") == (stored, b"{}")


async def test_what_is_not_there_is_none(root: Path) -> None:
    store = FileResultStore(root)
    assert await store.get("alpha", BUCKET, "x") is None
    assert await store.head("alpha", BUCKET, "x") is None
    assert await store.list("alpha", BUCKET, "", 10) == []
    await store.delete("alpha", BUCKET, "x")


async def test_no_key_leaves_the_bucket_or_meets_another(root: Path, tmp_path: Path) -> None:
    store = FileResultStore(root)
    for key in ODD_KEYS:
        await store.put("alpha", BUCKET, key, key.encode(), "text/plain")
    for key in ODD_KEYS:
        found = await store.get("alpha", BUCKET, key)
        assert found is not None
        assert found[1] == key.encode()
    outside = [path for path in files(tmp_path) if path.parent != root / "alpha" / BUCKET]
    assert outside == []


@pytest.mark.parametrize("tenant", ["", "..", "a/b", "Alpha", ".alpha", "alpha\n", "a" * 41])
async def test_a_tenant_that_is_no_tenant_is_refused(root: Path, tenant: str) -> None:
    with pytest.raises(InvalidRequestError):
        await FileResultStore(root).put(tenant, BUCKET, "k", b"", "text/plain")


@pytest.mark.parametrize("bucket", ["", "..", "a/b", "/etc", "UPPER", "..a", "a\n", "a" * 70])
async def test_a_bucket_that_is_no_bucket_is_refused(root: Path, bucket: str) -> None:
    with pytest.raises(InvalidRequestError):
        await FileResultStore(root).get("alpha", bucket, "k")


async def test_tenants_and_buckets_are_apart(root: Path) -> None:
    store = FileResultStore(root)
    await store.put("alpha", BUCKET, "k", b"alpha's", "text/plain")
    assert await store.get("beta", BUCKET, "k") is None
    assert await store.get("alpha", "another-bucket", "k") is None
    assert await store.list("beta", BUCKET, "", 10) == []


async def test_files_and_folders_are_private(root: Path) -> None:
    before = os.umask(0)
    try:
        await FileResultStore(root).put("alpha", BUCKET, "k", b"x", "text/plain")
    finally:
        os.umask(before)
    for path in everything(root):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


async def test_a_list_is_in_key_order_and_goes_on_after_a_key(root: Path) -> None:
    store = FileResultStore(root)
    keys = ["a/b", "a.b", "a", "b", "a/c", "ü", "Z", "a-b"]
    for key in keys:
        await store.put("alpha", BUCKET, key, b"", "text/plain")
    ordered = sorted(keys, key=str.encode)
    assert [stored.key for stored in await store.list("alpha", BUCKET, "", 100)] == ordered
    assert [stored.key for stored in await store.list("alpha", BUCKET, "", 2)] == ordered[:2]
    assert [stored.key for stored in await store.list("alpha", BUCKET, "", 100, "a.b")] == ordered[
        ordered.index("a.b") + 1 :
    ]
    assert [stored.key for stored in await store.list("alpha", BUCKET, "a/", 100)] == ["a/b", "a/c"]


async def test_a_list_follows_every_change(root: Path) -> None:
    store, other = FileResultStore(root, max_indexed=2), FileResultStore(root)
    for number in range(5):
        await store.put("alpha", BUCKET, f"k{number}", b"x", "text/plain")
    assert len(await store.list("alpha", BUCKET, "", 100)) == 5
    await other.put("alpha", BUCKET, "k1", b"longer", "text/plain")
    await other.delete("alpha", BUCKET, "k2")
    listed = {stored.key: stored.size for stored in await store.list("alpha", BUCKET, "", 100)}
    assert listed == {"k0": 1, "k1": 6, "k3": 1, "k4": 1}


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
async def test_a_full_disk_leaves_nothing_and_says_so(root: Path, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileResultStore(root)
    old = await store.put("alpha", BUCKET, "k", b"old", "text/plain")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if step == "write":

        def half_written(path: Path, *parts: bytes) -> None:
            path.write_bytes(parts[0])
            full()

        monkeypatch.setattr(module, "_write_durably", half_written)
    elif step == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(RecordingError, match="No space left"):
        await store.put("alpha", BUCKET, "k", b"new", "text/plain")
    with pytest.raises(RecordingError):
        await store.put("alpha", "another-bucket", "k", b"new", "text/plain")
    monkeypatch.undo()
    assert await store.get("alpha", BUCKET, "k") == (old, b"old")
    assert await store.get("alpha", "another-bucket", "k") is None
    assert len(files(root)) == 1


async def test_content_is_on_disk_before_its_name(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What survives a power cut: content synced, then renamed, then the folder synced."""
    store = FileResultStore(root)
    await store.put("alpha", BUCKET, "first", b"x", "text/plain")
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noting_fsync(descriptor: int) -> None:
        steps.append("folder synced" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file synced")
        fsync(descriptor)

    def noting_replace(self: Path, target: Path) -> Path:
        steps.append("renamed")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(Path, "replace", noting_replace)
    await store.put("alpha", BUCKET, "second", b"x", "text/plain")
    assert steps == ["file synced", "renamed", "folder synced"]


@pytest.mark.parametrize("damage", [b"", b"{", b'{"version":2}\n', b"\xff\n"])
async def test_a_damaged_object_is_an_error_never_an_answer(root: Path, damage: bytes) -> None:
    store = FileResultStore(root)
    await store.put("alpha", BUCKET, "k", b"content", "text/plain")
    files(root)[0].write_bytes(damage)
    with pytest.raises(RecordingError, match="damaged"):
        await store.get("alpha", BUCKET, "k")


async def test_a_truncated_object_is_an_error_never_an_answer(root: Path) -> None:
    store = FileResultStore(root)
    await store.put("alpha", BUCKET, "k", b"content", "text/plain")
    file = files(root)[0]
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(RecordingError, match="damaged"):
        await store.get("alpha", BUCKET, "k")


async def test_one_objects_file_cannot_stand_in_for_another(root: Path) -> None:
    store = FileResultStore(root)
    await store.put("alpha", BUCKET, "a", b"a", "text/plain")
    file = files(root)[0]
    await store.put("alpha", BUCKET, "b", b"b", "text/plain")
    other = next(path for path in files(root) if path != file)
    file.replace(other)
    with pytest.raises(RecordingError, match="damaged"):
        await store.get("alpha", BUCKET, "b")


async def test_a_planted_link_is_not_followed(root: Path, tmp_path: Path) -> None:
    store = FileResultStore(root)
    await store.put("alpha", BUCKET, "k", b"content", "text/plain")
    file, secret = files(root)[0], tmp_path / "secret"
    file.replace(secret)
    file.symlink_to(secret)
    with pytest.raises(RecordingError, match="cannot be read"):
        await store.get("alpha", BUCKET, "k")


async def test_what_a_killed_process_left_is_swept_and_what_another_writes_is_not(root: Path) -> None:
    await FileResultStore(root).put("alpha", BUCKET, "k", b"content", "text/plain")
    folder = root / "alpha" / BUCKET
    old, young = folder / ".new-old", folder / ".new-young"
    for path in (old, young):
        path.write_bytes(b"half")
    hours_ago = time.time() - 7200
    os.utime(old, (hours_ago, hours_ago))
    store = FileResultStore(root)
    assert not old.exists()
    assert young.exists()
    assert len(await store.list("alpha", BUCKET, "", 10)) == 1


def test_a_root_that_cannot_be_made_is_a_state_directory_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateDirectoryError):
        FileResultStore(tmp_path / "file" / "results")

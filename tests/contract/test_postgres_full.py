"""A disk on which PostgreSQL has no more room: nothing is half done, and work goes on when there is room."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_qsec.application.ports import Submitted
from jupyter_qsec.domain.errors import RecordingError
from jupyter_qsec.domain.task import TaskPayload
from tests.contract.builders import DAY, PAYLOAD, TENANT, charge, event, lease, task
from tests.contract.conftest import postgres_store
from tests.contract.postgres import TEMPLATE, PostgresServer

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="needs root on Linux to make a small disk in memory"
)

_MEGABYTES = 24


@pytest.fixture
def small_disk(postgres_server: PostgresServer) -> Iterator[Path]:
    """A file system of its own for one database."""
    folder = postgres_server.folder / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_MEGABYTES}m", "tmpfs", folder], check=True)
    try:
        shutil.chown(folder, postgres_server.account or "postgres")
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)
        folder.rmdir()


@pytest.fixture
def url_on_small_disk(postgres_server: PostgresServer, small_disk: Path) -> Iterator[str]:
    data = small_disk / "data"
    data.mkdir()
    shutil.chown(data, postgres_server.account or "postgres")
    postgres_server.run(
        f"CREATE TABLESPACE small LOCATION '{data}'", f"CREATE DATABASE full_disk TEMPLATE {TEMPLATE} TABLESPACE small"
    )
    yield postgres_server.url("full_disk")
    postgres_server.drop_database("full_disk")
    postgres_server.run("DROP TABLESPACE small")


async def test_a_full_disk_refuses_everything_whole_and_its_end_is_noticed(
    url_on_small_disk: str, small_disk: Path, home: Path
) -> None:
    store = postgres_store(url_on_small_disk, home)
    await store.open()
    await store.submit(task("before"), PAYLOAD, [charge(1)], [event("task.submitted")])
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(b"x" * 4096)

    large = TaskPayload(action=os.urandom(1_000_000).hex())
    with pytest.raises(RecordingError, match="could not record this"):
        await store.submit(task("large"), large, [charge(1)], [event("large")])
    assert await store.task("large") is None
    assert [usage.used for usage in await store.usage([TENANT], DAY)] == [1]
    assert await store.audit_size() == 1

    filler.unlink()
    assert isinstance(await store.submit(task("large"), large, [charge(1)], [event("large")]), Submitted)
    await store.put_lease(lease(), [event("lease.issued")])
    assert [usage.used for usage in await store.usage([TENANT], DAY)] == [2]
    assert (await store.checkpoint()).size == 3
    await store.close()

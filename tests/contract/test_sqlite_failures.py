"""A full disk, many processes at once, and kill -9: nothing is half done, nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_qsec.adapters.store import SqliteDatabase, SqlStore
from jupyter_qsec.application.ports import Submitted
from jupyter_qsec.domain.errors import (
    RecordingError,
    StateDirectoryError,
)
from jupyter_qsec.domain.quota import Metric
from jupyter_qsec.domain.task import TaskPayload, TaskState
from tests.contract.builders import DAY, PAYLOAD, TENANT, charge, event, lease, task
from tests.contract.conftest import SIGNER, sqlite_store
from tests.contract.processes import Writers
from tests.contract.sqlitefiles import require_sound, sql
from tests.fakes.clock import FakeClock


class TestFullDisk:
    async def test_nothing_is_half_done_and_the_store_goes_on_when_there_is_room(self, home: Path) -> None:
        disk: dict[str, int | str] = {}
        store = SqlStore(
            SqliteDatabase(home / "state.db", disk),
            signer=SIGNER,
            clock=FakeClock(),
            checkpoint_dir=home / "checkpoints",
        )
        await store.open()
        await store.submit(task("before"), PAYLOAD, [charge(1)], [event("task.submitted")])
        with sql(home) as connection:
            disk["max_page_count"] = connection.execute("PRAGMA page_count").fetchone()[0] + 4
        await store.close()
        store = SqlStore(
            SqliteDatabase(home / "state.db", disk),
            signer=SIGNER,
            clock=FakeClock(),
            checkpoint_dir=home / "checkpoints",
        )
        await store.open()

        large = TaskPayload(action="x" * 100_000)
        outcomes = await asyncio.gather(
            store.submit(task("small"), PAYLOAD, [charge(1)], [event("small")]),
            store.submit(task("large"), large, [charge(1)], [event("large")]),
            store.put_task(task("before").moved(TaskState.CANCELLED), [event("cancelled")], settle=[]),
            store.put_lease(lease(), [event("lease.issued")]),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in outcomes] == [RecordingError] * 4
        assert await store.task("small") is None
        assert await store.task("before") == task("before")
        assert await store.lease("l1") is None
        assert [usage.used for usage in await store.usage([TENANT], DAY)] == [1]
        assert [record.event.kind for record in await store.audit_records(0, 9)] == ["task.submitted"]

        del disk["max_page_count"]
        assert isinstance(await store.submit(task("large"), large, [charge(1)], [event("large")]), Submitted)
        assert (await store.checkpoint()).size == 2
        await store.close()
        assert require_sound(home) == 2

    async def test_a_checkpoint_that_cannot_be_written_is_an_error(self, home: Path) -> None:
        store = sqlite_store(home)
        await store.open()
        await store.record([event()])
        (home / "checkpoints" / "log").mkdir()
        with pytest.raises((RecordingError, StateDirectoryError)):
            await store.checkpoint()
        await store.close()


@pytest.fixture
def writers(home: Path) -> Iterator[Writers]:
    with Writers(home) as made:
        yield made


class TestProcesses:
    async def test_eight_processes_never_overspend_one_limit(self, home: Path, writers: Writers) -> None:
        for number in range(8):
            writers.start(f"w{number}", 16)
        writers.go()
        accepted = [line for process in writers.processes for line in process.communicate(timeout=60)[0].split()]
        assert all(process.returncode == 0 for process in writers.processes)
        assert len(accepted) == 33  # 3 each, of 100
        store = sqlite_store(home)
        await store.open()
        used = {usage.metric: usage.used for usage in await store.usage([TENANT], DAY)}
        assert used == {Metric.TASKS: 99, Metric.SHOTS: 33 * 7}
        for identity in accepted:
            assert await store.task(identity) is not None
        await store.close()
        assert require_sound(home) == 8 * 16  # accepted or refused, each has its record

    async def test_kill_9_loses_no_acknowledged_task(self, home: Path, writers: Writers) -> None:
        acknowledged: list[str] = []
        for number in range(3):
            acknowledged += writers.run_and_kill(f"killed{number}", 40 + 37 * number)
        store = sqlite_store(home)
        await store.open()
        for identity in acknowledged:
            assert await store.task(identity) is not None
            assert await store.payload(identity) == PAYLOAD
        (usage,) = await store.usage([TENANT], DAY)
        size = await store.audit_size()
        # What was committed but not acknowledged is there as a whole: task, charge and record.
        assert usage.used == size >= len(acknowledged)
        await store.close()
        assert require_sound(home) == size

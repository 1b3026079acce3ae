"""What a store tells of itself: probes, figures, and an observer of what it commits."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from jupyter_qsec.adapters.store import SqliteDatabase, SqlStore
from jupyter_qsec.application.ports import Duplicate, Refused, Store, StoreFigures
from jupyter_qsec.domain.audit import AuditEvent
from jupyter_qsec.domain.errors import (
    ConflictError,
    RecordingError,
    UnavailableError,
)
from jupyter_qsec.domain.lease import Holder
from jupyter_qsec.domain.task import TaskState
from tests.contract.builders import NOON, PAYLOAD, charge, event, lease, task
from tests.contract.conftest import SIGNER
from tests.fakes.clock import FakeClock


class TestWatching:
    async def test_a_probe_changes_nothing_that_counts(self, store: Store) -> None:
        await store.record([event()])
        before = await store.figures(NOON)
        for _ in range(3):
            await store.probe()
        assert await store.figures(NOON) == before
        assert await store.audit_size() == 1

    async def test_a_closed_store_fails_the_probe(self, store: Store) -> None:
        await store.close()
        with pytest.raises(UnavailableError):
            await store.probe()

    async def test_an_empty_store_has_nothing_to_count(self, store: Store) -> None:
        assert await store.figures(NOON) == StoreFigures({}, {}, {}, 0, 0, None)

    async def test_tasks_are_counted_until_they_end(self, store: Store) -> None:
        for identity, tenant in (("t1", "sandbox"), ("t2", "sandbox"), ("t3", "research"), ("t4", "research")):
            await store.submit(task(identity, tenant=tenant), PAYLOAD, [], [])
        await store.put_task(task("t2").moved(TaskState.QUEUED), [])
        await store.put_task(task("t4", tenant="research").moved(TaskState.CANCELLED), [])
        assert (await store.figures(NOON)).tasks == {
            ("sandbox", TaskState.CREATED): 1,
            ("sandbox", TaskState.QUEUED): 1,
            ("research", TaskState.CREATED): 1,
        }

    async def test_leases_are_counted_while_they_are_active(self, store: Store) -> None:
        later = NOON + timedelta(minutes=1)
        await store.put_lease(lease("l1"), [])
        await store.put_lease(lease("l2", issued_at=later), [])
        await store.put_lease(lease("l3", tenant="research", issued_at=later), [])
        await store.put_lease(lease("l4", expires_at=later), [])
        await store.put_lease(lease("l5"), [])
        await store.put_lease(lease("l5").revoked(NOON, "in test"), [])
        figures = await store.figures(later)
        assert figures.leases == {"sandbox": 2, "research": 1}
        assert figures.oldest_leases == {"sandbox": NOON, "research": later}
        assert (await store.figures(NOON + timedelta(minutes=5))).leases == {}

    async def test_who_holds_leases_is_told_while_they_are_active_and_once(self, store: Store) -> None:
        later = NOON + timedelta(minutes=1)
        await store.put_lease(lease("l1"), [])
        await store.put_lease(lease("l2", tenant="research", issued_at=later), [])
        await store.put_lease(lease("l3", claims={}), [])
        await store.put_lease(lease("l4", principal="hub:bob", expires_at=later), [])
        await store.put_lease(lease("l5", principal="hub:eve"), [])
        await store.put_lease(lease("l5", principal="hub:eve").revoked(NOON, "in test"), [])
        found = sorted(await store.holders(later), key=lambda holder: len(holder.claims))
        assert found == [Holder("os:ada"), Holder("os:ada", {"mfa": "true", "zone": "lab"})]
        assert not await store.holders(NOON + timedelta(minutes=5))

    async def test_what_no_checkpoint_vouches_for_is_told_with_its_age(self, store: Store) -> None:
        later = NOON + timedelta(seconds=90)
        await store.record([event(), event()])
        await store.checkpoint()
        figures = await store.figures(later)
        assert (figures.audit_size, figures.signed_size, figures.unsigned_since) == (2, 2, None)
        await store.record([event(at=later), event(at=later + timedelta(seconds=1))])
        figures = await store.figures(later)
        assert (figures.audit_size, figures.signed_size, figures.unsigned_since) == (4, 2, later)


class Watching:
    """An `Observer` that remembers."""

    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.groups: list[int] = []
        self.seconds: list[float] = []
        self.lost = 0

    def committed(self, events: Sequence[AuditEvent], writes: int, seconds: float) -> None:
        self.kinds += [event.kind for event in events]
        self.groups.append(writes)
        self.seconds.append(seconds)

    def failed(self, writes: int) -> None:
        self.lost += writes


async def test_an_observer_hears_what_is_recorded_and_nothing_else(home: Path) -> None:
    observer = Watching()
    store = SqlStore(
        SqliteDatabase(home / "state.db"),
        signer=SIGNER,
        clock=FakeClock(),
        checkpoint_dir=home / "checkpoints",
        observer=observer,
    )
    await store.open()
    await store.submit(task(), PAYLOAD, [charge(8)], [event("task.submitted")])
    assert isinstance(await store.submit(task("t2"), PAYLOAD, [charge(8)], [event("over.quota")]), Refused)
    again = task("t3", client_token=task().client_token)
    assert isinstance(await store.submit(again, PAYLOAD, [], [event("repeated")]), Duplicate)
    with pytest.raises(ConflictError):
        await store.put_lease(lease(revision=7), [event("lease.broken")])
    await asyncio.gather(*[store.record([event("noted")]) for _ in range(5)])
    assert observer.kinds == ["task.submitted", *["noted"] * 5]
    assert sum(observer.groups) == 9
    assert all(seconds > 0 for seconds in observer.seconds)
    with sqlite3.connect(home / "state.db", isolation_level=None) as edit:
        edit.execute("DROP TABLE audit_records")
    edit.close()
    with pytest.raises(RecordingError):
        await store.record([event("lost")])
    assert (observer.kinds.count("lost"), observer.lost) == (0, 1)
    await store.close()


async def test_an_observer_that_fails_costs_nobody_a_write(home: Path) -> None:
    class Failing(Watching):
        def committed(self, events: Sequence[AuditEvent], writes: int, seconds: float) -> None:
            raise ZeroDivisionError

    store = SqlStore(
        SqliteDatabase(home / "state.db"),
        signer=SIGNER,
        clock=FakeClock(),
        checkpoint_dir=home / "checkpoints",
        observer=Failing(),
    )
    await store.open()
    await store.record([event()])
    assert await store.audit_size() == 1
    await store.close()

"""The contract of the `Claims` and `Signatures` ports: who runs which task, and which signatures were seen."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from jupyter_qsec.application.claims import Line, Share
from jupyter_qsec.domain.audit import AuditEvent
from jupyter_qsec.domain.errors import ClaimLostError, ConflictError
from jupyter_qsec.domain.fairness import FairQueue
from jupyter_qsec.domain.quota import Metric
from jupyter_qsec.domain.task import QuantumTask, TaskState
from jupyter_qsec.domain.tenant import Pause
from tests.contract.builders import NOON, PAYLOAD, charge, event, kinds, task
from tests.contract.conftest import SharedStore

ShareOf = Callable[[str], Share]


def share(weight: float = 1, most_running: int = 10**6) -> ShareOf:
    return lambda tenant: Share(weight, most_running)


def begin(found: QuantumTask) -> tuple[QuantumTask, Sequence[AuditEvent]]:
    running = found.moved(TaskState.RUNNING, started_at=NOON, attempt=found.attempt + 1)
    return running, [event("task.started", subject=found.id)]


async def waiting(
    store: SharedStore, name: str, *, tenant: str = "sandbox", second: int = 0, cost: int = 1
) -> QuantumTask:
    """A task that was queued at that second of noon."""
    at = NOON + timedelta(seconds=second)
    made = task(name, tenant=tenant, state=TaskState.QUEUED, created_at=at, queued_at=at)
    await store.submit(made, PAYLOAD, [charge(cost, None, Metric.SIMULATOR_MS)], [])
    return made


async def claim(
    store: SharedStore, worker: str = "w1", most: int = 1, shares: ShareOf | None = None, *, in_all: int | None = None
) -> list[str]:
    return [found.id for found in await store.claims.claim(worker, most, shares or share(), begin, in_all=in_all)]


@pytest.fixture
def store(shared_store: SharedStore, jp_asyncio_loop: asyncio.AbstractEventLoop) -> SharedStore:
    """With two workers on the list."""
    for worker, capacity in (("w1", 2), ("w2", 3)):
        jp_asyncio_loop.run_until_complete(shared_store.claims.enlist(worker, capacity))
    return shared_store


class TestPauses:
    async def test_nothing_of_a_paused_tenant_is_claimed_by_anybody(self, store: SharedStore) -> None:
        await waiting(store, "t1", tenant="alpha", second=1)
        await waiting(store, "t2", tenant="beta", second=2)
        await store.pause(Pause("alpha", "hub:lin", NOON, "maintenance"), [])
        assert await claim(store, "w1", 5) == ["t2"]
        assert await claim(store, "w2", 5) == []
        assert (await store.claims.line("alpha")).waiting == {"alpha": ["t1"]}
        await store.resume("alpha", [])
        assert await claim(store, "w2", 5) == ["t1"]


async def test_the_common_time_is_the_time(store: SharedStore) -> None:
    before = datetime.now(UTC)
    assert before - timedelta(seconds=1) <= await store.claims.time() <= datetime.now(UTC) + timedelta(seconds=1)


class TestClaiming:
    async def test_a_claimed_task_runs_on_record_and_nobody_else_gets_it(self, store: SharedStore) -> None:
        made = await waiting(store, "t1")
        (found,) = await store.claims.claim("w1", 5, share(), begin)
        assert found == begin(made)[0] == await store.task("t1")
        assert await kinds(store) == ["task.started"]
        assert await claim(store, "w2") == []
        assert (await store.claims.glance("w1")).claims == {"t1": TaskState.RUNNING}
        assert (await store.claims.glance("w2")).claims == {}

    async def test_two_at_the_same_moment_get_different_tasks(self, store: SharedStore) -> None:
        for number in range(6):
            await waiting(store, f"t{number}")
        found = await asyncio.gather(*[claim(store, f"w{1 + number % 2}", 2) for number in range(4)])
        assert sorted(name for names in found for name in names) == [f"t{number}" for number in range(6)]

    async def test_workers_that_run_their_tasks_in_one_place_claim_no_more_than_it_holds(
        self, store: SharedStore
    ) -> None:
        for number in range(5):
            await waiting(store, f"t{number}", second=number)
        assert await claim(store, "w1", 2, in_all=3) == ["t0", "t1"]
        assert await claim(store, "w2", 3, in_all=3) == ["t2"]
        assert await claim(store, "w1", 3, in_all=3) == []
        assert await claim(store, "w1", 3, in_all=2) == []
        assert await claim(store, "w2", 5) == ["t3", "t4"], "elsewhere each worker knows its own room"

    async def test_one_tenants_tasks_go_in_the_order_of_their_arrival(self, store: SharedStore) -> None:
        for name, second in (("late", 9), ("early", 1), ("middle", 5)):
            await waiting(store, name, second=second)
        assert (await store.claims.glance("w1")).waiting
        assert await claim(store, most=2) == ["early", "middle"]
        assert await claim(store, most=2) == ["late"]
        assert not (await store.claims.glance("w1")).waiting

    async def test_a_tenants_cap_counts_over_all_workers(self, store: SharedStore) -> None:
        for number in range(5):
            await waiting(store, f"a{number}", second=number)
        await waiting(store, "b0", tenant="research", second=9)
        two = share(most_running=2)
        assert await claim(store, "w1", 1, two) == ["a0"]
        assert sorted(await claim(store, "w2", 5, two)) == ["a1", "b0"]
        assert await claim(store, "w1", 5, two) == []
        running = await store.task("a0")
        assert running is not None
        await store.put_task(running.moved(TaskState.COMPLETED), [], claimed_by="w1")
        assert await claim(store, "w1", 5, two) == ["a2"]

    @pytest.mark.parametrize("seed", range(3))
    async def test_turns_are_those_of_the_fair_queue(self, store: SharedStore, seed: int) -> None:
        dice = random.Random(seed)
        weights = {"alpha": 1, "beta": 2, "gamma": 5}
        shares = lambda tenant: Share(weights[tenant], 10**6)  # noqa: E731
        expected, number = FairQueue(), 0
        for _ in range(12):
            for _ in range(dice.randrange(4)):
                tenant, cost = dice.choice(list(weights)), dice.randrange(1, 500)
                await waiting(store, f"t{number}", tenant=tenant, second=number, cost=cost)
                expected.push(tenant, f"t{number}", cost=cost, weight=weights[tenant])
                number += 1
            turn = expected.pop()
            assert await claim(store, "w1", 1, shares) == ([turn] if turn else [])

    async def test_a_task_that_ended_while_it_waited_is_not_claimed(self, store: SharedStore) -> None:
        made = await waiting(store, "t1")
        await store.put_task(made.moved(TaskState.CANCELLED), [])
        assert await claim(store) == []
        assert not (await store.claims.glance("w1")).waiting

    async def test_a_worker_has_to_be_on_the_list(self, store: SharedStore) -> None:
        await waiting(store, "t1")
        with pytest.raises(ClaimLostError):
            await claim(store, "stranger")
        with pytest.raises(ConflictError):
            await store.claims.enlist("w1", 1)
        assert await claim(store, "w1") == ["t1"]


class TestHolding:
    async def test_only_the_holder_records_the_end(self, store: SharedStore) -> None:
        await waiting(store, "t1")
        (running,) = await store.claims.claim("w1", 1, share(), begin)
        with pytest.raises(ClaimLostError):
            await store.put_task(running.moved(TaskState.COMPLETED), [event("task.completed")], claimed_by="w2")
        assert await store.task("t1") == running
        await store.put_task(running.moved(TaskState.COMPLETED), [event("task.completed")], claimed_by="w1")
        assert await kinds(store) == ["task.started", "task.completed"]
        assert (await store.claims.glance("w1")).claims == {}

    async def test_a_write_that_names_no_claim_would_be_believed_of_anybody(self, store: SharedStore) -> None:
        """Why whoever runs a task names its claim: the revision alone does not tell who writes."""
        await waiting(store, "t1")
        (running,) = await store.claims.claim("w1", 1, share(), begin)
        await store.claims.take_over("w2", "w1", 0)
        await store.put_task(running.moved(TaskState.COMPLETED), [])
        ended = await store.task("t1")
        assert ended is not None and ended.state is TaskState.COMPLETED

    async def test_another_process_may_ask_for_the_end_and_the_holder_sees_it(self, store: SharedStore) -> None:
        await waiting(store, "t1")
        (running,) = await store.claims.claim("w1", 1, share(), begin)
        await store.put_task(running.moved(TaskState.CANCELLING), [])
        assert (await store.claims.glance("w1")).claims == {"t1": TaskState.CANCELLING}

    async def test_a_claim_given_back_waits_again_in_its_place(self, store: SharedStore) -> None:
        await waiting(store, "t1", second=1)
        await waiting(store, "t2", second=2)
        (running,) = await store.claims.claim("w1", 1, share(), begin)
        await store.put_task(running.moved(TaskState.QUEUED, started_at=None), [], claimed_by="w1")
        assert await claim(store, "w2", 2) == ["t1", "t2"]


class TestBeats:
    async def test_each_sees_the_beats_of_all(self, store: SharedStore) -> None:
        assert await store.claims.beat("w1") == {"w1": 1, "w2": 0}
        await store.claims.beat("w1")
        assert await store.claims.beat("w2") == {"w1": 2, "w2": 1}

    async def test_a_silent_workers_claims_pass_to_one_other(self, store: SharedStore) -> None:
        await waiting(store, "t1")
        (running,) = await store.claims.claim("w1", 1, share(), begin)
        assert await store.claims.take_over("w2", "w1", 0) == [running]
        assert await store.claims.take_over("w2", "w1", 0) == []
        assert (await store.claims.glance("w2")).claims == {"t1": TaskState.RUNNING}
        for late in (
            store.put_task(running.moved(TaskState.COMPLETED), [event("task.completed")], claimed_by="w1"),
            store.claims.beat("w1"),
            claim(store, "w1"),
        ):
            with pytest.raises(ClaimLostError):
                await late
        assert await kinds(store) == ["task.started"]
        await store.put_task(running.moved(TaskState.COMPLETED), [], claimed_by="w2")

    async def test_a_worker_that_beats_again_keeps_its_claims(self, store: SharedStore) -> None:
        await waiting(store, "t1")
        await claim(store, "w1")
        await store.claims.beat("w1")
        assert await store.claims.take_over("w2", "w1", 0) == []
        assert (await store.claims.glance("w1")).claims == {"t1": TaskState.RUNNING}

    async def test_claims_of_one_who_left_are_seen_and_taken(self, store: SharedStore) -> None:
        await waiting(store, "t1")
        await claim(store, "w1")
        await store.claims.strike_off("w1")
        assert await store.claims.beat("w2") == {"w1": -1, "w2": 1}
        assert [found.id for found in await store.claims.take_over("w2", "w1", -1)] == ["t1"]
        assert await store.claims.beat("w2") == {"w2": 2}


class TestLine:
    async def test_it_shows_who_waits_and_how_many_run(self, store: SharedStore) -> None:
        for number in range(3):
            await waiting(store, f"a{number}", second=number)
        await waiting(store, "b0", tenant="research", second=9)
        await claim(store, "w1", 1)
        line = await store.claims.line()
        assert line == Line({"sandbox": ["a1", "a2"], "research": ["b0"]}, {"sandbox": 1}, 5)
        assert (await store.claims.line("sandbox")).waiting == {"sandbox": ["a1", "a2"]}

    async def test_revisions_tell_what_changed(self, store: SharedStore) -> None:
        await waiting(store, "t1")
        await waiting(store, "t2", second=1)
        await claim(store)
        assert await store.claims.revisions(["t1", "t2", "t9"]) == {"t1": 1, "t2": 0}
        assert await store.claims.revisions([]) == {}
        many = [*[f"none-{number}" for number in range(70)], "t2", "t1"]
        assert await store.claims.revisions(many) == {"t1": 1, "t2": 0}


class TestSignatures:
    async def test_a_signature_is_new_once(self, store: SharedStore) -> None:
        one, other = b"\x01" * 32, b"\x02" * 32
        assert await store.signatures.first_seen(one, NOON) is None
        assert await store.signatures.first_seen(other, NOON) is None
        again = await store.signatures.first_seen(one, NOON)
        assert again is not None and 0 <= again < 30

    async def test_of_many_at_once_one_is_the_first(self, store: SharedStore) -> None:
        found = await asyncio.gather(*[store.signatures.first_seen(b"\x03" * 32, NOON) for _ in range(20)])
        assert found.count(None) == 1

    async def test_old_ones_are_forgotten(self, store: SharedStore) -> None:
        old, new = b"\x04" * 32, b"\x05" * 32
        await store.signatures.first_seen(old, NOON - timedelta(hours=1))
        await store.signatures.first_seen(new, NOON)
        await store.signatures.forget(NOON - timedelta(minutes=30))
        assert await store.signatures.first_seen(old, NOON) is None
        assert await store.signatures.first_seen(new, NOON) is not None

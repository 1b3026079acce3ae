"""Several workers on one store: each task ends once, whoever dies, sleeps or is cut off in the middle of it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from jupyter_qsec.application import outcomes
from jupyter_qsec.application.leasing import LeaseRequest
from jupyter_qsec.application.ports import ExecutionResult
from jupyter_qsec.application.sharing import SILENT_BEATS, RollCall
from jupyter_qsec.domain.errors import ConflictError, LeaseRevokedError, RecordingError, UnavailableError
from jupyter_qsec.domain.task import QuantumTask, TaskState
from tests.fakes.executor import FakeExecutor, results_document
from tests.fakes.world import ADA, World, settled


async def pair(*, manual: bool = True, capacity: int = 1) -> tuple[World, World]:
    """Two workers on one store."""
    one = await World(executor=FakeExecutor(capacity, manual=manual), shared=True).started()
    other = await one.neighbour(FakeExecutor(capacity, manual=manual)).started()
    await settled(one)
    return one, other


async def look(world: World) -> None:
    """As it does several times a second."""
    world.dispatcher._work.set()
    await settled(world)


async def beat(world: World, times: int = SILENT_BEATS + 1) -> None:
    for _ in range(times):
        await world.dispatcher._beat()
    await settled(world)


async def stored(world: World, task: QuantumTask) -> QuantumTask:
    found = await world.store.task(task.id)
    assert found is not None
    return found


def task_kinds(world: World) -> list[str]:
    return [kind for kind in world.kinds() if kind.startswith("task.")]


# -- claims


async def test_a_task_runs_at_one_worker_only_and_its_end_is_seen_at_the_other() -> None:
    one, other = await pair()
    caller = await one.caller()
    task = await one.submit(caller)
    await look(one)
    await look(other)
    assert (one.executor.running, other.executor.running) == ([task.id], [])
    waiting = asyncio.ensure_future(other.tasks.get(caller, task.id, wait=5))
    await settled(other)
    one.executor.end(task.id)
    assert (await waiting).state is TaskState.COMPLETED
    assert task_kinds(one) == ["task.submitted", "task.started", "task.completed"]


async def test_what_a_full_worker_cannot_run_another_takes() -> None:
    one, other = await pair()
    caller = await one.caller()
    tasks = [await one.submit(caller) for _ in range(2)]
    await look(one)
    await look(other)
    assert sorted([*one.executor.running, *other.executor.running]) == sorted(task.id for task in tasks)
    assert other.executor.payloads[other.executor.running[0]].action


async def test_a_tenants_cap_holds_over_all_workers_and_the_wait_is_explained_by_it() -> None:
    one, other = await pair(capacity=3)
    caller = await one.caller()
    tasks = [await one.submit(caller) for _ in range(5)]
    for world in (one, other, one):
        await look(world)
    assert len(one.executor.running) + len(other.executor.running) == 2
    ids = (await one.store.claims.line("alpha")).waiting["alpha"]
    last = next(task for task in tasks if task.id == ids[-1])
    (reason,) = await other.tasks.waiting(last)
    assert reason.code == "tenant-concurrency"
    assert "2 of at most 2" in reason.text and "2 tasks of the tenant before it" in reason.text
    assert await other.tasks.queue_position(last) == "3"
    assert await other.tasks.counts("alpha") == (2, 3)
    assert await other.tasks.counts("beta") == (0, 0)


async def test_gateways_on_one_cluster_do_not_send_it_more_than_it_runs_at_once() -> None:
    one, other = await pair(capacity=1)
    for world in (one, other):
        world.executor.common = True
    caller = await one.caller()
    tasks = [await one.submit(caller) for _ in range(2)]
    for world in (one, other, one):
        await look(world)
    (first,) = one.executor.running
    assert other.executor.running == []
    (second,) = (task for task in tasks if task.id != first)
    (reason,) = await other.tasks.waiting(second)
    assert reason.code == "device-concurrency" and "1 simulator" in reason.text
    one.executor.end(first)
    await settled(one)
    await look(other)
    assert [*one.executor.running, *other.executor.running] == [second.id]


async def test_tasks_wait_for_simulators_with_the_reason_and_start_when_they_come() -> None:
    one, other = await pair(capacity=0)
    task = await one.submit(await one.caller())
    for world in (one, other):
        await look(world)
        assert [reason.code for reason in await world.tasks.waiting(task)] == ["no-worker"]
    other.executor.resize(1)
    assert other.dispatcher._work.is_set()
    await look(other)
    assert other.executor.running == [task.id]


async def test_a_task_is_cancelled_wherever_it_runs() -> None:
    one, other = await pair()
    caller = await one.caller()
    task = await one.submit(caller)
    await look(one)
    assert (await other.tasks.cancel(caller, task.id)).state is TaskState.CANCELLING
    await look(one)
    assert (await stored(one, task)).state is TaskState.CANCELLED
    with pytest.raises(ConflictError):
        await one.tasks.cancel(caller, task.id)


async def test_a_claim_whose_answer_was_lost_is_found_again() -> None:
    one, _ = await pair()
    task = await one.submit(await one.caller())
    claims = one.store.claims
    await claims.claim(one.dispatcher._worker, 1, one.dispatcher._share, one.dispatcher._begin)
    assert one.executor.running == []
    await look(one)
    await look(one)
    assert one.executor.running == [task.id]


async def test_a_store_that_fails_costs_rounds_and_no_task() -> None:
    one, _ = await pair(manual=False)
    caller = await one.caller()
    one.dispatcher._hold = 60.0
    task = await one.submit(caller)
    one.store.fail_with = RecordingError("The disk is full.")
    await look(one)
    assert (await stored(one, task)).state is TaskState.QUEUED and one.executor.executed == []
    one.store.fail_with = None
    await look(one)
    assert (await stored(one, task)).state is TaskState.COMPLETED


# -- silence


def test_who_beats_is_never_silent_and_who_stops_is_after_a_while() -> None:
    roll = RollCall(patience=3)
    for number in range(10):
        assert roll.silent({"a": number}) == []
    assert [roll.silent({"a": 9, "b": number}) for number in range(3)] == [[], [], [("a", 9)]]
    assert RollCall().silent({"lost": -1, "b": 1}) == [("lost", -1)]


def test_beats_that_nobody_could_ask_for_make_nobody_silent() -> None:
    roll = RollCall(patience=2)
    roll.silent({"a": 1})
    assert roll.silent({"a": 2}) == []  # however long the store was away between these two


async def test_the_tasks_of_a_dead_worker_run_again_at_another_and_are_charged_once() -> None:
    one, other = await pair()
    task = await one.submit(await one.caller())
    await look(one)
    await one.kill()
    await beat(other)
    await look(other)
    assert other.executor.running == [task.id]
    other.executor.end(task.id)
    await settled(other)
    assert (await stored(other, task)).attempt == 2
    assert await other.used("tenant:alpha") == {"tasks": 1, "shots": 100, "simulator-ms": 7}
    assert task_kinds(other)[-3:] == ["task.requeued", "task.started", "task.completed"]


async def test_a_complete_result_of_a_dead_worker_is_the_outcome() -> None:
    one, other = await pair()
    task = await one.submit(await one.caller())
    await look(one)
    content = results_document(task, duration_ms=99)
    await one.results.put("alpha", task.output_bucket, outcomes.results_key(task), content, "application/json")
    await one.kill()
    await beat(other)
    assert (await stored(other, task)).duration_ms == 99
    assert other.executor.executed == []


async def test_a_task_that_takes_every_worker_down_is_given_up() -> None:
    world, _ = await pair()
    task = await world.submit(await world.caller())
    for _ in range(3):
        await look(world)
        following = await world.neighbour(FakeExecutor(1, manual=True)).started()
        await world.kill()
        await beat(following)
        world = following
        for idle in [w for w in World.alive if w is not world]:
            await idle.kill()
    assert (await stored(world, task)).state is TaskState.FAILED
    assert "3 attempts" in (await stored(world, task)).failure_reason


@pytest.mark.parametrize("first", ["sleeper", "successor"])
async def test_a_worker_that_was_taken_for_dead_records_nothing_more_and_there_is_one_result(first: str) -> None:
    """It slept through its own funeral, and wakes with a result in its hands."""
    sleeper, successor = await pair()
    task = await sleeper.submit(await sleeper.caller())
    await look(sleeper)
    await beat(successor)
    await look(successor)
    assert sleeper.executor.running == successor.executor.running == [task.id]
    order = [sleeper, successor] if first == "sleeper" else [successor, sleeper]
    for number, world in enumerate(order):
        world.executor.end(task.id, ExecutionResult(results_document(task, duration_ms=10 + number), 10 + number))
        await settled(world)
    ended = await stored(sleeper, task)
    assert ended.state is TaskState.COMPLETED
    assert task_kinds(sleeper).count("task.completed") == 1
    _, content = sleeper.results.objects["alpha", task.output_bucket, outcomes.results_key(task)]
    assert content == results_document(task, duration_ms=10)  # the first that was stored, whoever stored it
    assert ended.result_digest == sleeper.store.events[-1].details["result_sha256"]
    assert ended.duration_ms == 10
    assert await sleeper.used("tenant:alpha") == {"tasks": 1, "shots": 100, "simulator-ms": 10}


async def test_a_worker_that_was_taken_for_dead_breaks_off_and_begins_again() -> None:
    sleeper, successor = await pair()
    caller = await sleeper.caller()
    task = await sleeper.submit(caller)
    await look(sleeper)
    before = sleeper.dispatcher._worker
    await beat(successor)
    await look(sleeper)
    assert sleeper.executor.running == []
    again = await sleeper.submit(caller)
    await look(sleeper)  # its claim is refused
    assert sleeper.dispatcher._worker != before
    await look(sleeper)
    await look(successor)
    running = [*sleeper.executor.running, *successor.executor.running]
    assert sorted(running) == sorted([task.id, again.id])


# -- an end in order


async def test_a_worker_that_ends_gives_back_what_it_ran_and_that_counts_as_no_attempt() -> None:
    one, other = await pair()
    task = await one.submit(await one.caller())
    await look(one)
    await one.dispatcher.close()
    assert ((await stored(one, task)).state, (await stored(one, task)).attempt) == (TaskState.QUEUED, 0)
    await look(other)
    assert other.executor.running == [task.id]
    assert set(await other.store.claims.beat(other.dispatcher._worker)) == {other.dispatcher._worker}


async def test_a_start_beside_others_leaves_alone_what_they_run() -> None:
    one, _ = await pair()
    task = await one.submit(await one.caller())
    await look(one)
    third = await one.neighbour(FakeExecutor(1, manual=True)).started()
    await beat(third, 1)
    await look(third)
    assert third.executor.running == [] and one.executor.running == [task.id]


# -- leases


async def test_a_revocation_at_one_worker_is_felt_at_another_after_a_second() -> None:
    one, other = await pair()
    parent = (await one.leasing.issue(ADA, LeaseRequest(tenant="alpha"))).lease
    child = (await one.leasing.issue(ADA, LeaseRequest(tenant="alpha", parent=parent.id))).lease
    await other.leasing.caller(child.id)
    await one.leasing.revoke(ADA, parent.id, "leak")
    one.clock.advance(seconds=1)
    for lease in (child, parent):
        with pytest.raises(LeaseRevokedError):
            await other.leasing.caller(lease.id)


async def test_a_child_issued_elsewhere_at_the_moment_of_its_parents_end_is_worthless() -> None:
    one, other = await pair()
    parent = (await one.leasing.issue(ADA, LeaseRequest(tenant="alpha"))).lease
    await other.leasing.caller(parent.id)
    await one.leasing.revoke(ADA, parent.id, "leak")
    late = (await other.leasing.issue(ADA, LeaseRequest(tenant="alpha", parent=parent.id))).lease
    one.clock.advance(seconds=1)
    with pytest.raises(LeaseRevokedError):
        await other.leasing.caller(late.id)


async def test_nobody_is_let_in_on_an_old_lease_while_the_store_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = await pair()
    lease = (await one.leasing.issue(ADA, LeaseRequest(tenant="alpha"))).lease

    async def away(lease_id: str) -> None:
        raise UnavailableError("The database is away.")

    monkeypatch.setattr(one.store, "lease", away)
    await one.leasing.caller(lease.id)
    one.clock.advance(seconds=1)
    with pytest.raises(UnavailableError):
        await one.leasing.caller(lease.id)


async def test_two_workers_may_renew_and_revoke_the_same_lease() -> None:
    one, other = await pair()
    lease = (await one.leasing.issue(ADA, LeaseRequest(tenant="alpha", ttl=timedelta(minutes=5)))).lease
    await other.leasing.caller(lease.id)
    await one.leasing.renew(ADA, lease.id)
    renewed = await other.leasing.renew(ADA, lease.id)
    assert renewed.revision == 2
    await one.leasing.renew(ADA, lease.id)
    assert (await other.leasing.revoke(ADA, lease.id, "leak")).revoked_at is not None
    with pytest.raises(ConflictError):
        await one.leasing.revoke(ADA, lease.id, "again")
    with pytest.raises(LeaseRevokedError):
        await one.leasing.renew(ADA, lease.id)
    assert one.kinds().count("lease.revoked") == 1

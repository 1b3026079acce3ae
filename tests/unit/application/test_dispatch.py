"""Running tasks: each accepted task ends once, whatever breaks, and nobody's quota leaks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from jupyter_qsec.application import outcomes
from jupyter_qsec.application.ports import ExecutionFailure
from jupyter_qsec.domain.audit import AuditEvent
from jupyter_qsec.domain.errors import ConflictError, RecordingError, UnavailableError
from jupyter_qsec.domain.quota import Charge, QuotaLimits
from jupyter_qsec.domain.task import QuantumTask, TaskPayload, TaskState
from tests.fakes.catalogue import ALPHA
from tests.fakes.executor import FakeExecutor, results_document
from tests.fakes.store import FakeStore
from tests.fakes.world import World, settled


async def ended(world: World, task_id: str) -> TaskState:
    await settled(world)
    return await world.state(task_id)


async def test_a_task_runs_once_and_its_way_is_on_record() -> None:
    world = await World().started()
    caller = await world.caller()
    task = await world.submit(caller)
    assert await ended(world, task.id) is TaskState.COMPLETED
    assert world.kinds() == ["lease.issued", "task.submitted", "task.started", "task.completed"]
    stored = await world.store.task(task.id)
    assert stored is not None
    _, content = world.results.objects["alpha", task.output_bucket, outcomes.results_key(task)]
    assert content == results_document(task)
    assert world.store.events[-1].details["result_sha256"] == stored.result_digest
    assert (stored.attempt, stored.duration_ms) == (1, 7)
    assert await world.used("tenant:alpha") == {"tasks": 1, "shots": 100, "simulator-ms": 7}


async def test_running_is_recorded_before_the_execution_begins() -> None:
    world = await World(executor=FakeExecutor(manual=True)).started()
    task = await world.submit(await world.caller())
    await settled(world)
    assert world.kinds()[-1] == "task.started"
    assert await world.state(task.id) is TaskState.RUNNING
    world.executor.end(task.id)
    assert await ended(world, task.id) is TaskState.COMPLETED


async def test_nothing_executes_while_its_start_cannot_be_recorded() -> None:
    world = await World(executor=FakeExecutor(capacity=0)).started()
    task = await world.submit(await world.caller())
    world.store.fail_with = RecordingError("The disk is full.")
    world.executor.resize(1)
    while not world.slept:  # noqa: ASYNC110 - the pauses of its back-off are a plain list
        await asyncio.sleep(0)
    await settled(world)
    assert world.executor.executed == []
    world.store.fail_with = None
    assert await ended(world, task.id) is TaskState.COMPLETED


async def test_an_outcome_is_never_lost_while_the_store_fails() -> None:
    world = await World(executor=FakeExecutor(manual=True)).started()
    task = await world.submit(await world.caller())
    await settled(world)
    world.store.fail_with = UnavailableError("The database is locked.")
    world.executor.end(task.id)
    await settled(world)
    assert await world.state(task.id) is TaskState.RUNNING
    assert len(world.slept) > 3 and max(world.slept) == 5.0
    world.store.fail_with = None
    assert await ended(world, task.id) is TaskState.COMPLETED
    assert world.executor.executed == [task.id]


async def test_a_write_of_unknown_outcome_is_looked_up_and_not_repeated() -> None:
    class Forgetful(FakeStore):
        """Commits, then loses the answer once."""

        lose = False

        async def put_task(
            self,
            task: QuantumTask,
            events: Sequence[AuditEvent],
            *,
            settle: Sequence[Charge] | None = None,
            claimed_by: str = "",
        ) -> None:
            await super().put_task(task, events, settle=settle, claimed_by=claimed_by)
            if self.lose and task.state is TaskState.COMPLETED:
                self.lose = False
                raise RecordingError("The commit's outcome is not known.")

    store = Forgetful()
    world = await World(store=store).started()
    store.lose = True
    task = await world.submit(await world.caller())
    assert await ended(world, task.id) is TaskState.COMPLETED
    assert world.kinds().count("task.completed") == 1


async def test_a_failure_is_told_to_the_owner_and_settled() -> None:
    world = await World(executor=FakeExecutor(manual=True)).started()
    task = await world.submit(await world.caller())
    await settled(world)
    world.clock.advance(seconds=3)
    world.executor.end(task.id, ExecutionFailure("Line 3: gate zz is not defined."))
    assert await ended(world, task.id) is TaskState.FAILED
    stored = await world.store.task(task.id)
    assert stored is not None and stored.failure_reason == "Line 3: gate zz is not defined."
    assert await world.used("tenant:alpha") == {"tasks": 1, "shots": 0, "simulator-ms": 3000}


async def test_an_executor_that_breaks_its_contract_fails_one_task_only() -> None:
    world = await World().started()
    caller = await world.caller()
    world.executor.raises = RuntimeError("secret detail")
    broken = await world.submit(caller)
    assert await ended(world, broken.id) is TaskState.FAILED
    stored = await world.store.task(broken.id)
    assert stored is not None and "secret" not in stored.failure_reason
    world.executor.raises = None
    assert await ended(world, (await world.submit(caller)).id) is TaskState.COMPLETED


async def test_a_defect_costs_one_task_and_not_the_dispatcher(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await World().started()
    caller = await world.caller()
    monkeypatch.setattr(outcomes, "results_key", lambda task: 1 / 0)
    broken = await world.submit(caller)
    assert await ended(world, broken.id) is TaskState.FAILED
    monkeypatch.undo()
    assert await ended(world, (await world.submit(caller)).id) is TaskState.COMPLETED


async def test_a_program_that_cannot_be_read_for_a_moment_runs_when_it_can() -> None:
    world = World(executor=FakeExecutor(capacity=0))
    task = await world.submit(await world.caller())

    reads = iter([UnavailableError("The database is locked."), UnavailableError("The database is locked.")])
    payload = world.store.payload

    async def flaky(task_id: str) -> TaskPayload | None:
        for problem in reads:
            raise problem
        return await payload(task_id)

    world.store.payload = flaky  # type: ignore[method-assign]  # locked for a moment
    again = await world.restarted()
    assert await ended(again, task.id) is TaskState.COMPLETED
    assert again.slept == [0.05, 0.1]


async def test_a_full_disk_is_tried_again_then_told() -> None:
    world = await World().started()
    caller = await world.caller()
    world.results.failures = 2
    task = await world.submit(caller)
    assert await ended(world, task.id) is TaskState.COMPLETED
    world.results.failures = 99
    lost = await world.submit(caller)
    assert await ended(world, lost.id) is TaskState.FAILED
    stored = await world.store.task(lost.id)
    assert stored is not None and "disk" in stored.failure_reason
    assert (await world.used("tenant:alpha"))["shots"] == 100


# -- cancelling


async def test_a_waiting_task_can_be_cancelled_and_costs_nothing() -> None:
    world = await World(executor=FakeExecutor(capacity=0)).started()
    caller = await world.caller()
    task = await world.submit(caller)
    cancelled = await world.tasks.cancel(caller, task.arn)
    assert cancelled.state is TaskState.CANCELLED
    assert await world.used("tenant:alpha") == {"tasks": 0, "shots": 0, "simulator-ms": 0}
    await world.dispatcher.close()
    assert world.executor.executed == []
    assert world.store.events[-1].details["by"] == "os:ada"


async def test_a_running_task_is_ended_by_cancelling() -> None:
    world = await World(executor=FakeExecutor(manual=True)).started()
    caller = await world.caller()
    task = await world.submit(caller)
    await settled(world)
    assert (await world.tasks.cancel(caller, task.arn)).state is TaskState.CANCELLING
    assert await ended(world, task.id) is TaskState.CANCELLED
    assert world.kinds()[-2:] == ["task.cancelling", "task.cancelled"]
    assert (await world.used("tenant:alpha"))["shots"] == 0


async def test_what_has_ended_cannot_be_cancelled() -> None:
    world = await World().started()
    caller = await world.caller()
    task = await world.submit(caller)
    await settled(world)
    with pytest.raises(ConflictError, match="COMPLETED"):
        await world.tasks.cancel(caller, task.arn)


async def test_a_cancelled_waiting_task_leaves_the_line() -> None:
    world = await World(executor=FakeExecutor(capacity=1, manual=True)).started()
    caller = await world.caller()
    first, second, third = [await world.submit(caller) for _ in range(3)]
    await settled(world)
    await world.tasks.cancel(caller, second.arn)
    world.executor.end(first.id)
    await settled(world)
    assert world.executor.running == [third.id]


# -- turns and caps


async def test_a_tenant_runs_no_more_at_once_than_its_cap_and_all_no_more_than_the_executor() -> None:
    world = await World(executor=FakeExecutor(capacity=3, manual=True)).started()
    alpha, beta = await world.caller("alpha"), await world.caller("beta")
    for _ in range(5):
        await world.submit(alpha)
    await settled(world)
    assert len(world.executor.running) == 2
    for _ in range(5):
        await world.submit(beta)
    await settled(world)
    assert len(world.executor.running) == 3


async def test_a_flood_of_one_tenant_does_not_hold_up_another() -> None:
    world = await World(executor=FakeExecutor(capacity=1, manual=True)).started()
    alpha, beta = await world.caller("alpha"), await world.caller("beta")
    flood = [await world.submit(alpha) for _ in range(20)]
    late = await world.submit(beta)
    await settled(world)
    order = []
    while world.executor.running:
        (running,) = world.executor.running
        order.append(running)
        world.executor.end(running)
        await settled(world)
    assert len(order) == 21
    assert order.index(late.id) <= 2
    assert [task for task in order if task != late.id] == [task.id for task in flood]


async def test_waits_are_explained_with_quantities_and_end_with_the_wait() -> None:
    world = await World(executor=FakeExecutor(capacity=4, manual=True)).started()
    caller = await world.caller()
    tasks = [await world.submit(caller) for _ in range(4)]
    await settled(world)
    reasons = await world.tasks.waiting(tasks[3])
    assert [reason.code for reason in reasons] == ["tenant-concurrency"]
    assert "2 of at most 2" in reasons[0].text and "1 task of the tenant before it" in reasons[0].text
    assert await world.tasks.queue_position(tasks[3]) == "2"
    assert await world.tasks.waiting(tasks[0]) == ()
    assert await world.tasks.queue_position(tasks[0]) is None


async def test_tasks_wait_for_workers_with_the_reason_and_start_when_they_come() -> None:
    world = await World(executor=FakeExecutor(capacity=0, manual=True)).started()
    caller = await world.caller()
    tasks = [await world.submit(caller) for _ in range(3)]
    await settled(world)
    assert world.executor.running == []
    reasons = await world.tasks.waiting(tasks[0])
    assert [(reason.code, reason.text) for reason in reasons] == [("no-worker", "No simulator is there.")]
    world.executor.resize(1)
    await settled(world)
    assert world.executor.running == [tasks[0].id]
    assert [reason.code for reason in await world.tasks.waiting(tasks[1])] == ["device-concurrency"]
    world.executor.resize(4)
    await settled(world)
    assert world.executor.running == [tasks[0].id, tasks[1].id]  # the tenant's cap


async def test_a_task_that_waits_for_workers_can_be_cancelled() -> None:
    world = await World(executor=FakeExecutor(capacity=0, manual=True)).started()
    caller = await world.caller()
    task = await world.submit(caller)
    await settled(world)
    assert (await world.tasks.cancel(caller, task.arn)).state is TaskState.CANCELLED
    world.executor.resize(1)
    await settled(world)
    assert world.executor.executed == []


async def test_nothing_about_another_tenants_load_can_be_derived_from_a_wait() -> None:
    answers = set()
    for others in (1, 5, 50):
        world = World(executor=FakeExecutor(capacity=1, manual=True))
        world.catalogue.put(replace(ALPHA, limits=QuotaLimits()))
        await world.started()
        alpha, beta = await world.caller("alpha"), await world.caller("beta")
        for _ in range(others):
            await world.submit(alpha)
        await settled(world)
        mine = [await world.submit(beta) for _ in range(3)]
        await settled(world)
        told = tuple([(await world.tasks.waiting(task), await world.tasks.queue_position(task)) for task in mine])
        assert "alpha" not in repr(told)
        answers.add(repr(told))
        await world.dispatcher.close()
    assert len(answers) == 1


async def test_a_look_at_a_task_is_held_until_it_ends() -> None:
    world = await World(executor=FakeExecutor(manual=True)).started()
    caller = await world.caller()
    task = await world.submit(caller)
    await settled(world)
    look = asyncio.create_task(world.tasks.get(caller, task.arn, wait=30))
    await settled(world)
    assert not look.done()
    world.executor.end(task.id)
    assert (await look).state is TaskState.COMPLETED
    assert (await world.tasks.get(caller, task.arn, wait=30)).state is TaskState.COMPLETED


async def test_a_look_at_a_task_that_runs_for_long_is_held_but_a_moment() -> None:
    world = await World(executor=FakeExecutor(manual=True)).started()
    caller = await world.caller()
    task = await world.submit(caller)
    await settled(world)
    world.clock.advance(seconds=3)
    async with asyncio.timeout(5):
        assert (await world.tasks.get(caller, task.arn, wait=30)).state is TaskState.RUNNING
    await world.dispatcher.close()


async def test_a_look_at_a_task_far_back_in_line_is_answered_at_once() -> None:
    world = await World(executor=FakeExecutor(capacity=1, manual=True)).started()
    caller = await world.caller()
    tasks = [await world.submit(caller) for _ in range(20)]
    await settled(world)
    look = asyncio.create_task(world.tasks.get(caller, tasks[-1].arn, wait=30))
    await settled(world)
    assert look.done() and look.result().state is TaskState.QUEUED
    await world.dispatcher.close()

"""After a `kill -9`: what waited runs, what ran runs again, what was done stays done, and quota is charged once."""

from __future__ import annotations

from dataclasses import replace

from jupyter_qsec.application import outcomes
from jupyter_qsec.domain.quota import QuotaLimits
from jupyter_qsec.domain.task import TaskState
from tests.fakes.catalogue import ALPHA
from tests.fakes.executor import FakeExecutor, results_document
from tests.fakes.world import World, settled
from tests.unit.application.test_dispatch import ended


async def test_waiting_tasks_run_after_a_restart_in_their_order() -> None:
    world = World(executor=FakeExecutor(capacity=0))
    caller = await world.caller()
    tasks = []
    for _ in range(5):
        tasks.append(await world.submit(caller))
        world.clock.advance(seconds=1)
    again = await world.restarted()
    await settled(again)
    assert again.executor.executed == [task.id for task in tasks]
    assert [await ended(again, task.id) for task in tasks] == [TaskState.COMPLETED] * 5
    assert (await again.used("tenant:alpha"))["tasks"] == 5
    assert again.executor.payloads[tasks[0].id].action


async def test_a_task_whose_worker_died_runs_again_and_is_charged_once() -> None:
    world = await World(executor=FakeExecutor(manual=True)).started()
    task = await world.submit(await world.caller())
    await settled(world)
    again = await world.restarted()
    assert await ended(again, task.id) is TaskState.COMPLETED
    stored = await again.store.task(task.id)
    assert stored is not None and stored.attempt == 2
    assert await again.used("tenant:alpha") == {"tasks": 1, "shots": 100, "simulator-ms": 7}
    assert [k for k in again.kinds() if k.startswith("task.")] == [
        "task.submitted",
        "task.started",
        "task.requeued",
        "task.started",
        "task.completed",
    ]


async def test_a_result_that_was_stored_before_the_crash_stays_the_result() -> None:
    world = await World(executor=FakeExecutor(manual=True)).started()
    task = await world.submit(await world.caller())
    await settled(world)
    content = results_document(task, duration_ms=99)
    await world.results.put("alpha", task.output_bucket, outcomes.results_key(task), content, "application/json")
    again = await world.restarted()
    assert await ended(again, task.id) is TaskState.COMPLETED
    assert again.executor.executed == []
    assert again.results.writes == 1
    stored = await again.store.task(task.id)
    assert stored is not None and stored.duration_ms == 99
    assert again.store.events[-1].details["recovered"] is True


async def test_a_half_written_result_is_not_a_result() -> None:
    world = await World(executor=FakeExecutor(manual=True)).started()
    task = await world.submit(await world.caller())
    await settled(world)
    half = results_document(task)[:-10]
    await world.results.put("alpha", task.output_bucket, outcomes.results_key(task), half, "application/json")
    again = await world.restarted()
    assert await ended(again, task.id) is TaskState.COMPLETED
    assert again.executor.executed == [task.id]


async def test_a_cancellation_is_carried_through_after_a_crash() -> None:
    world = await World(executor=FakeExecutor(manual=True)).started()
    caller = await world.caller()
    task = await world.submit(caller)
    await settled(world)
    await world.book.change(task.id, lambda task: task.moved(TaskState.CANCELLING), lambda task: [])
    again = await world.restarted()
    assert await ended(again, task.id) is TaskState.CANCELLED
    assert again.executor.executed == []


async def test_a_task_that_takes_the_gateway_down_every_time_is_given_up() -> None:
    world = await World(executor=FakeExecutor(manual=True)).started()
    task = await world.submit(await world.caller())
    await settled(world)
    for _ in range(2):
        world = await world.restarted(FakeExecutor(manual=True))
        await settled(world)
    world = await world.restarted(FakeExecutor(manual=True))
    assert await ended(world, task.id) is TaskState.FAILED
    stored = await world.store.task(task.id)
    assert stored is not None and "3 attempts" in stored.failure_reason


async def test_an_orderly_end_leaves_running_tasks_for_the_next_start() -> None:
    world = await World(executor=FakeExecutor(manual=True)).started()
    task = await world.submit(await world.caller())
    await settled(world)
    await world.dispatcher.close()
    assert await world.state(task.id) is TaskState.RUNNING
    again = await world.restarted()
    assert await ended(again, task.id) is TaskState.COMPLETED


async def test_many_waiting_tasks_are_all_found() -> None:
    world = World(executor=FakeExecutor(capacity=0))
    world.catalogue.put(replace(ALPHA, limits=QuotaLimits()))
    caller = await world.caller()
    for _ in range(1203):
        await world.submit(caller)
    again = await world.restarted()
    await settled(again, turns=20_000)
    assert len(again.executor.executed) == len(set(again.executor.executed)) == 1203


async def test_payloads_do_not_stay_in_memory() -> None:
    world = await World().started()
    caller = await world.caller()
    for _ in range(10):
        await world.submit(caller)
    await settled(world)
    assert world.runner._payloads == {}
    assert world.runner._payload_bytes == 0

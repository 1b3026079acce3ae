"""A task that may start the moment it is submitted is recorded as one that runs, in the write that accepts it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import pytest

from jupyter_qsec.application.ports import Duplicate, Refused, Submitted, TaskQuery
from jupyter_qsec.domain.audit import AuditEvent
from jupyter_qsec.domain.errors import QuotaExceededError, RecordingError, UnavailableError
from jupyter_qsec.domain.principal import Principal, Role
from jupyter_qsec.domain.quota import Charge, QuotaLimits
from jupyter_qsec.domain.task import QuantumTask, TaskPayload, TaskState
from jupyter_qsec.domain.tenant import Pause
from tests.fakes.catalogue import ALPHA
from tests.fakes.executor import FakeExecutor
from tests.fakes.store import FakeStore
from tests.fakes.world import World, settled

RIO = Principal("hub:rio", "rio", claims={"mfa": "true"}, tenant_roles={"*": frozenset({Role.INCIDENT_RESPONDER})})
"""Whoever may pause."""


async def ended(world: World, task_id: str) -> TaskState:
    await settled(world)
    return await world.state(task_id)


class TestAdmission:
    async def test_submission_and_start_are_one_write(self) -> None:
        world = await World(executor=FakeExecutor(manual=True)).started()
        caller = await world.caller()
        task = await world.submit(caller)
        assert (task.state, task.attempt, task.started_at) == (TaskState.RUNNING, 1, task.created_at)
        assert world.kinds() == ["lease.issued", "task.submitted", "task.started"]
        assert await world.state(task.id) is TaskState.RUNNING
        assert world.executor.executed == [], "it is on record before it begins"
        await settled(world)
        world.executor.end(task.id)
        assert await ended(world, task.id) is TaskState.COMPLETED
        assert world.kinds().count("task.started") == 1

    async def test_killed_right_after_that_write_it_runs_once_more(self) -> None:
        world = await World(executor=FakeExecutor(manual=True)).started()
        task = await world.submit(await world.caller())
        again = await world.restarted()
        assert await ended(again, task.id) is TaskState.COMPLETED
        assert again.kinds()[-4:] == ["task.started", "task.requeued", "task.started", "task.completed"]

    async def test_others_wait_in_line_where_there_is_no_room(self) -> None:
        world = await World(executor=FakeExecutor(capacity=1, manual=True)).started()
        caller = await world.caller()
        states = [(await world.submit(caller)).state for _ in range(3)]
        assert states == [TaskState.RUNNING, TaskState.QUEUED, TaskState.QUEUED]
        await settled(world)
        await world.dispatcher.close()

    async def test_nobody_is_overtaken(self) -> None:
        world = World(executor=FakeExecutor(capacity=2, manual=True))
        world.catalogue.put(replace(ALPHA, max_running=1))
        await world.started()
        alpha, beta = await world.caller("alpha"), await world.caller("beta")
        for _ in range(2):
            await world.submit(alpha)
        assert (await world.submit(beta)).state is TaskState.QUEUED, "somebody is in line"
        await settled(world)
        assert len(world.executor.executed) == 2, "it starts at once nevertheless: that somebody is at its cap"
        await world.dispatcher.close()

    async def test_a_paused_tenants_task_waits(self) -> None:
        world = await World().started()
        await world.pausing.pause(RIO, "alpha", "for a while")
        assert (await world.submit(await world.caller())).state is TaskState.QUEUED

    @pytest.mark.parametrize("why", ["the quota", "the disk", "the client token"])
    async def test_what_is_not_stored_gives_its_place_back(self, why: str) -> None:
        world = World(executor=FakeExecutor(capacity=1))
        if why == "the quota":
            world.catalogue.put(replace(ALPHA, limits=QuotaLimits(shots=250)))
        await world.started()
        caller = await world.caller()
        first = await world.submit(caller, client_token="once")  # not a secret
        assert await ended(world, first.id) is TaskState.COMPLETED
        if why == "the quota":
            with pytest.raises(QuotaExceededError):
                await world.submit(caller, shots=200)
        elif why == "the disk":
            world.store.fail_with = RecordingError("The disk is full.")
            with pytest.raises(RecordingError):
                await world.submit(caller)
            world.store.fail_with = None
        else:
            assert (await world.submit(caller, client_token="once")).id == first.id  # not a secret
        assert world.dispatcher.load == (0, 0)
        assert await ended(world, (await world.submit(caller)).id) is TaskState.COMPLETED


class Interrupted(FakeStore):
    """Something happens between a write and its answer: once, to the next submission or the next pause."""

    meanwhile: Callable[[], Awaitable[object]] | None = None

    async def _interrupt(self) -> None:
        hook, self.meanwhile = self.meanwhile, None
        if hook is not None:
            await hook()

    async def submit(
        self, task: QuantumTask, payload: TaskPayload, charges: Sequence[Charge], events: Sequence[AuditEvent]
    ) -> Submitted | Duplicate | Refused:
        outcome = await super().submit(task, payload, charges, events)
        await self._interrupt()
        return outcome

    async def pause(self, pause: Pause, events: Sequence[AuditEvent]) -> None:
        await self._interrupt()
        await super().pause(pause, events)


class TestBetweenAWriteAndItsAnswer:
    async def test_a_task_that_is_cancelled_before_it_starts_never_does(self) -> None:
        store = Interrupted()
        world = await World(store=store).started()
        caller = await world.caller()

        async def cancel() -> None:
            [task] = await store.tasks(TaskQuery())
            assert (await world.tasks.cancel(caller, task.arn)).state is TaskState.CANCELLED

        store.meanwhile = cancel
        task = await world.submit(caller)
        assert await ended(world, task.id) is TaskState.CANCELLED
        assert world.executor.executed == [] and world.dispatcher.load == (0, 0)
        assert world.kinds()[-2:] == ["task.cancelling", "task.cancelled"]

    async def test_a_task_that_was_stored_runs_although_nobody_was_told(self) -> None:
        store = Interrupted()
        world = await World(store=store).started()

        async def lose() -> None:
            raise RecordingError("The commit's outcome is not known.")

        store.meanwhile = lose
        task = await world.submit(await world.caller())
        assert await ended(world, task.id) is TaskState.COMPLETED

    async def test_one_that_may_have_been_stored_is_refused_while_nobody_can_look(self) -> None:
        store = Interrupted()
        world = await World(store=store).started()
        caller = await world.caller()

        async def lose() -> None:
            store.task = unavailable  # type: ignore[method-assign]  # the database is away
            raise RecordingError("The commit's outcome is not known.")

        async def unavailable(task_id: str) -> QuantumTask | None:
            raise UnavailableError("The database is away.")

        store.meanwhile = lose
        with pytest.raises(RecordingError):
            await world.submit(caller)
        del store.task  # it is back
        [left] = await store.tasks(TaskQuery())
        assert (left.state, world.dispatcher.load) == (TaskState.RUNNING, (0, 0))
        assert (await world.tasks.cancel(caller, left.arn)).state is TaskState.CANCELLED, "nothing of it runs"

    async def test_a_gateway_that_ends_starts_nothing_and_the_next_one_does(self) -> None:
        store = Interrupted()
        world = await World(store=store).started()
        caller = await world.caller()
        store.meanwhile = world.dispatcher.close
        task = await world.submit(caller)
        await settled(world)
        assert world.executor.executed == []
        assert await ended(await world.restarted(), task.id) is TaskState.COMPLETED

    async def test_no_task_starts_while_its_tenants_pause_is_written(self) -> None:
        store = Interrupted()
        world = await World(store=store).started()
        caller = await world.caller()
        store.meanwhile = lambda: world.submit(caller)
        await world.pausing.pause(RIO, "alpha", "")
        await settled(world)
        assert world.executor.executed == []
        assert world.kinds()[-2:] == ["task.submitted", "tenant.paused"]

    async def test_a_pause_that_is_not_written_holds_nobody(self) -> None:
        world = await World().started()
        caller = await world.caller()
        world.store.fail_with = RecordingError("The disk is full.")
        with pytest.raises(RecordingError):
            await world.pausing.pause(RIO, "alpha", "")
        world.store.fail_with = None
        assert await ended(world, (await world.submit(caller)).id) is TaskState.COMPLETED

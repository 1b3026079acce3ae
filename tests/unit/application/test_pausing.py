"""Pausing a tenant's queue: nothing of it starts, nothing that runs ends, others go on, and it is on record."""

from __future__ import annotations

import asyncio

import pytest

from jupyter_qsec.application.callers import Operator
from jupyter_qsec.domain.errors import ConflictError, DeniedError, NotFoundError, RecordingError
from jupyter_qsec.domain.principal import Principal, Role
from jupyter_qsec.domain.task import TaskState
from tests.fakes.executor import FakeExecutor
from tests.fakes.world import ADA, World, settled

MFA = {"mfa": "true"}
LIN = Principal("hub:lin", "lin", claims=MFA, tenant_roles={"alpha": frozenset({Role.WORKSPACE_ADMIN, Role.DEVELOPER})})
RIO = Principal("hub:rio", "rio", claims=MFA, tenant_roles={"*": frozenset({Role.INCIDENT_RESPONDER})})


@pytest.fixture(params=[False, True], ids=["alone", "shared"])
def world(request: pytest.FixtureRequest, jp_asyncio_loop: asyncio.AbstractEventLoop) -> World:
    return jp_asyncio_loop.run_until_complete(World(executor=FakeExecutor(manual=True), shared=request.param).started())


async def state(world: World, task_id: str) -> TaskState:
    await settled(world)
    task = await world.store.task(task_id)
    assert task is not None
    return task.state


async def test_nothing_of_it_starts_until_it_is_resumed_and_others_go_on(world: World) -> None:
    before = await world.submit(await world.caller())
    assert await state(world, before.id) is TaskState.RUNNING
    await world.pausing.pause(LIN, "alpha", "the room is being cleaned")
    held, other = await world.submit(await world.caller()), await world.submit(await world.caller("beta"))
    assert await state(world, held.id) is TaskState.QUEUED
    assert await state(world, other.id) is TaskState.RUNNING
    (reason,) = await world.tasks.waiting(held)
    assert (reason.code, reason.text) == ("paused", "Tenant alpha is paused by hub:lin: the room is being cleaned")
    world.executor.end(before.id)
    assert await state(world, before.id) is TaskState.COMPLETED
    assert await state(world, held.id) is TaskState.QUEUED
    await world.pausing.resume(RIO, "alpha")
    assert await state(world, held.id) is TaskState.RUNNING
    assert [event for event in world.kinds() if event.startswith("tenant.")] == ["tenant.paused", "tenant.resumed"]
    paused, resumed = (event for event in world.store.events if event.kind.startswith("tenant."))
    assert (paused.principal, paused.tenant, paused.details) == (
        "hub:lin",
        "alpha",
        {"because": "the room is being cleaned"},
    )
    assert (resumed.principal, resumed.rules) == ("hub:rio", ("permit-incident-responder",))


async def test_a_waiting_task_of_it_can_be_cancelled(world: World) -> None:
    await world.pausing.pause(LIN, "alpha", "")
    held = await world.submit(await world.caller())
    await settled(world)
    await world.tasks.cancel(Operator(LIN), held.id)
    assert await state(world, held.id) is TaskState.CANCELLED


async def test_a_restart_changes_nothing() -> None:
    """Workers on a shared store read it with each claim: see the contract of claims."""
    world = await World(executor=FakeExecutor(manual=True)).started()
    await world.pausing.pause(LIN, "alpha", "")
    held = await world.submit(await world.caller())
    again = await world.restarted()
    assert await state(again, held.id) is TaskState.QUEUED
    await again.pausing.resume(LIN, "alpha")
    assert await state(again, held.id) is TaskState.COMPLETED


async def test_only_those_who_may_and_of_a_foreign_tenant_nothing_is_told(world: World) -> None:
    developer = Principal("hub:ada", "ada", tenant_roles={"alpha": frozenset({Role.DEVELOPER})})
    with pytest.raises(DeniedError):
        await world.pausing.pause(developer, "alpha", "")
    for tenant in ("beta", "nowhere"):
        with pytest.raises(NotFoundError, match=f"There is no tenant '{tenant}'"):
            await world.pausing.pause(LIN, tenant, "")
        with pytest.raises(NotFoundError, match=f"There is no tenant '{tenant}'"):
            await world.pausing.resume(LIN, tenant)
    assert await world.store.pauses() == {}
    assert world.kinds() == []


async def test_twice_is_a_conflict_and_without_a_record_nothing_happens(world: World) -> None:
    with pytest.raises(ConflictError):
        await world.pausing.resume(ADA, "alpha")
    world.store.fail_with = RecordingError("The disk is full.")
    with pytest.raises(RecordingError):
        await world.pausing.pause(ADA, "alpha", "")
    world.store.fail_with = None
    assert await world.store.pauses() == {}
    await world.pausing.pause(ADA, "alpha", "x" * 500)
    assert len((await world.store.pauses())["alpha"].because) == 200
    with pytest.raises(ConflictError):
        await world.pausing.pause(ADA, "alpha", "")

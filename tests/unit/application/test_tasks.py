"""Looking at tasks, and tags: what another tenant's task looks like, and that our tags are ours."""

from __future__ import annotations

import pytest

from jupyter_qsec.application.callers import Operator
from jupyter_qsec.application.ports import TaskQuery
from jupyter_qsec.domain.access import Action
from jupyter_qsec.domain.errors import DeniedError, InvalidRequestError, NotFoundError
from jupyter_qsec.domain.principal import Principal, Role
from jupyter_qsec.domain.task import TaskState
from tests.fakes.executor import FakeExecutor
from tests.fakes.policy import FakePolicy
from tests.fakes.world import ADA, World, settled

MISSING = "arn:aws:braket:us-east-1:{account}:quantum-task/00000000-0000-4000-8000-000000000000"


async def test_a_task_is_found_by_arn_and_by_id() -> None:
    world = await World().started()
    caller = await world.caller()
    task = await world.submit(caller)
    await settled(world)
    for name in (task.arn, task.id):
        assert (await world.tasks.get(caller, name)).state is TaskState.COMPLETED


@pytest.mark.parametrize("call", ["get", "cancel", "tags", "tag", "untag"])
async def test_every_call_on_another_tenants_task_looks_like_not_found(call: str) -> None:
    world = await World(executor=FakeExecutor(capacity=0)).started()
    alpha, beta = await world.caller("alpha"), await world.caller("beta")
    task = await world.submit(alpha)
    extra = {"tag": ({"a": "b"},), "untag": (["a"],)}.get(call, ())
    texts = []
    for name in (task.arn, MISSING.format(account=alpha.tenant.account)):
        with pytest.raises(NotFoundError) as caught:
            await getattr(world.tasks, call)(beta, name, *extra)
        texts.append(str(caught.value).replace(name, "ARN"))
    assert texts[0] == texts[1]
    assert (await world.tasks.get(alpha, task.arn)).state is TaskState.QUEUED


async def test_an_arn_with_a_wrong_region_or_account_is_not_the_task() -> None:
    world = await World(executor=FakeExecutor(capacity=0)).started()
    caller = await world.caller()
    task = await world.submit(caller)
    for name in (task.arn.replace("us-east-1", "us-west-2"), task.arn.replace(task.account, "000000000999")):
        with pytest.raises(NotFoundError):
            await world.tasks.get(caller, name)


@pytest.mark.parametrize(
    "name", ["", "x", "../../etc/passwd", "0" * 36, "arn:aws:braket:::quantum-task/x", "a" * 10_000]
)
async def test_names_that_are_none_are_not_found(name: str) -> None:
    world = World()
    with pytest.raises(NotFoundError):
        await world.tasks.get(await world.caller(), name)


async def test_a_search_never_leaves_the_tenant() -> None:
    world = await World(executor=FakeExecutor(capacity=0)).started()
    alpha, beta = await world.caller("alpha"), await world.caller("beta")
    mine = await world.submit(alpha)
    theirs = await world.submit(beta)
    assert [task.id for task in await world.tasks.search(alpha, TaskQuery())] == [mine.id]
    assert await world.tasks.search(alpha, TaskQuery(tenant="beta")) == ()
    assert await world.tasks.search(alpha, TaskQuery(lease_id=beta.lease.id)) == []
    every = await world.tasks.search(Operator(ADA), TaskQuery())
    assert {task.id for task in every} == {mine.id, theirs.id}


async def test_an_operator_without_a_role_sees_nothing_and_an_auditor_cannot_cancel() -> None:
    world = await World(executor=FakeExecutor(capacity=0)).started()
    task = await world.submit(await world.caller())
    nobody = Operator(Principal("os:eve", "eve"))
    assert await world.tasks.search(nobody, TaskQuery()) == []
    with pytest.raises(NotFoundError):
        await world.tasks.get(nobody, task.id)
    auditor = Operator(Principal("os:joe", "joe", roles=frozenset({Role.AUDITOR})))
    assert (await world.tasks.get(auditor, task.id)).id == task.id
    with pytest.raises(DeniedError):
        await world.tasks.cancel(auditor, task.id)


async def test_policy_is_asked_for_every_call() -> None:
    world = World(
        policy=FakePolicy(Action.TASK_READ, Action.TASK_CANCEL, Action.TASK_TAG), executor=FakeExecutor(capacity=0)
    )
    caller = await world.caller()
    task = await world.submit(caller)
    for attempt in (
        world.tasks.get(caller, task.id),
        world.tasks.search(caller, TaskQuery()),
        world.tasks.cancel(caller, task.id),
        world.tasks.tags(caller, task.id),
        world.tasks.tag(caller, task.id, {"a": "b"}),
        world.tasks.untag(caller, task.id, ["a"]),
    ):
        with pytest.raises(DeniedError):
            await attempt


async def test_tags_are_added_replaced_and_removed_on_record() -> None:
    world = await World(executor=FakeExecutor(capacity=0)).started()
    caller = await world.caller()
    task = await world.submit(caller, tags={"a": "1"})
    await world.tasks.tag(caller, task.arn, {"a": "2", "b": "3"})
    await world.tasks.untag(caller, task.arn, ["a", "never-there"])
    tags = await world.tasks.tags(caller, task.arn)
    assert {key: value for key, value in tags.items() if not key.startswith("qsec:")} == {"b": "3"}
    assert tags["qsec:tenant"] == "alpha"
    assert world.kinds()[-2:] == ["task.tagged", "task.untagged"]


@pytest.mark.parametrize("key", ["qsec:tenant", "qsec:new", "QSec:lane", " qsec:lane"])
async def test_our_tags_can_be_neither_set_nor_removed_and_trying_is_recorded(key: str) -> None:
    world = await World(executor=FakeExecutor(capacity=0)).started()
    caller = await world.caller()
    task = await world.submit(caller)
    for attempt in (world.tasks.tag(caller, task.arn, {key: "beta"}), world.tasks.untag(caller, task.arn, [key])):
        with pytest.raises(DeniedError):
            await attempt
    assert (await world.tasks.tags(caller, task.arn))["qsec:tenant"] == "alpha"
    assert "task.tag-refused" in world.kinds()


async def test_tags_keep_their_bounds() -> None:
    world = await World(executor=FakeExecutor(capacity=0)).started()
    caller = await world.caller()
    task = await world.submit(caller)
    await world.tasks.tag(caller, task.arn, {f"k{n}": "v" for n in range(43)})
    with pytest.raises(InvalidRequestError, match="51"):
        await world.tasks.tag(caller, task.arn, {"one-more": "v"})


async def test_a_running_task_can_be_tagged_while_its_state_changes() -> None:
    world = await World().started()
    caller = await world.caller()
    task = await world.submit(caller)
    await world.tasks.tag(caller, task.arn, {"during": "run"})
    await settled(world)
    found = await world.tasks.get(caller, task.arn)
    assert (found.state, found.tags["during"]) == (TaskState.COMPLETED, "run")

"""The path of a submission: what is accepted, what is refused with which words, and what is on record."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import Any

import pytest

from jupyter_qsec.application import submission
from jupyter_qsec.domain.access import Action
from jupyter_qsec.domain.errors import (
    ConflictError,
    DeniedError,
    InvalidRequestError,
    NotFoundError,
    QsecError,
    QuotaExceededError,
    RecordingError,
    TooLargeError,
)
from jupyter_qsec.domain.program import ProgramFacts, inspect_action
from jupyter_qsec.domain.quota import QuotaLimits
from jupyter_qsec.domain.task import TaskState
from tests.fakes.catalogue import ALPHA
from tests.fakes.executor import FakeExecutor
from tests.fakes.policy import FakePolicy
from tests.fakes.world import BELL, DM1, World, openqasm, request_of, settled

OWN_TAGS = {
    "qsec:tenant": "alpha",
    "qsec:project": "first",
    "qsec:principal": "os:ada",
    "qsec:lane": "tutorial/sandbox/simulator",
    "qsec:cost-centre": "cc-1",
    "qsec:purpose": "tutorial",
}


async def test_an_accepted_task_is_attributed_tagged_and_on_record_before_it_runs() -> None:
    world = World(executor=FakeExecutor(capacity=0))
    caller = await world.caller()
    task = await world.submit(caller, tags={"experiment": "bell"})
    assert task.state is TaskState.QUEUED
    assert task.tags == {"experiment": "bell", **OWN_TAGS, "qsec:lease": caller.lease.id}
    assert task.arn == f"arn:aws:braket:us-east-1:{ALPHA.account}:quantum-task/{task.id}"
    event = world.store.events[-1]
    assert (event.kind, event.subject, event.tenant) == ("task.submitted", task.arn, "alpha")
    assert event.rules == ("permit-developer-submit-simulator",)
    assert event.details["action_sha256"] == task.action_digest
    assert world.executor.executed == []


async def test_no_payload_reaches_the_log() -> None:
    world = World()
    caller = await world.caller()
    planted = "planted_payload_marker"
    await world.submit(caller, action=openqasm(f"OPENQASM 3.0;\nqubit[1] {planted};\nh {planted}[0];\n"))
    await settled(world)
    assert all(planted not in repr(event) for event in world.store.events)


async def test_a_task_reserves_on_tenant_project_and_principal_and_is_settled_by_what_it_used() -> None:
    world = World(executor=FakeExecutor(capacity=0))
    caller = await world.caller()
    await world.submit(caller, shots=500)
    for scope in ("tenant:alpha", "project:alpha/first", "principal:alpha/os:ada"):
        used = await world.used(scope)
        assert (used["tasks"], used["shots"]) == (1, 500)
        assert used["simulator-ms"] > 0


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (QuotaLimits(tasks=2), "2 tasks: 2 are used"),
        (QuotaLimits(shots=250), "250 shots: 200 are used on 2026-03-01, 100 were asked for"),
    ],
)
async def test_a_quota_refuses_with_its_quantities_and_the_refusal_is_recorded(limits: QuotaLimits, words: str) -> None:
    world = World(executor=FakeExecutor(capacity=0))
    world.catalogue.put(replace(ALPHA, limits=limits))
    caller = await world.caller()
    await world.submit(caller)
    await world.submit(caller)
    with pytest.raises(QuotaExceededError, match=words):
        await world.submit(caller)
    assert world.store.events[-1].kind == "task.refused"
    assert world.store.events[-1].details["code"] == "quota-exceeded"
    assert (await world.used("tenant:alpha"))["tasks"] == 2


async def test_each_scope_has_a_limit_of_its_own() -> None:
    world = World(executor=FakeExecutor(capacity=0))
    first, second = ALPHA.projects
    limited = replace(ALPHA, limits=QuotaLimits(), projects=(replace(first, limits=QuotaLimits(tasks=1)), second))
    world.catalogue.put(limited)
    caller = await world.caller()
    await world.submit(caller)
    with pytest.raises(QuotaExceededError, match="project:alpha/first"):
        await world.submit(caller)
    await world.submit(await world.caller(project="second"))
    world.catalogue.put(replace(ALPHA, limits=QuotaLimits(), principal_limits=QuotaLimits(tasks=2)))
    with pytest.raises(QuotaExceededError, match="principal:alpha/os:ada"):
        await world.submit(await world.caller())


async def test_simulator_minutes_are_reserved_before_the_task_runs() -> None:
    world = World(executor=FakeExecutor(capacity=0))
    world.catalogue.put(replace(ALPHA, limits=QuotaLimits(simulator_minutes=1)))
    caller = await world.caller()
    gates = "\n".join("h q[0];" for _ in range(500))
    with pytest.raises(QuotaExceededError, match="ms of simulator time"):
        await world.submit(caller, action=openqasm(f"OPENQASM 3.0;\nqubit[24] q;\n{gates}\n"))


async def test_the_next_utc_day_starts_anew() -> None:
    world = World(executor=FakeExecutor(capacity=0))
    world.catalogue.put(replace(ALPHA, limits=QuotaLimits(tasks=1)))
    caller = await world.caller()
    await world.submit(caller)
    with pytest.raises(QuotaExceededError):
        await world.submit(caller)
    world.clock.advance(hours=12)
    await world.submit(await world.caller())


async def test_concurrent_submissions_never_overspend() -> None:
    world = World(executor=FakeExecutor(capacity=0))
    world.catalogue.put(replace(ALPHA, limits=QuotaLimits(tasks=10)))
    caller = await world.caller()
    outcomes = await asyncio.gather(*(world.submit(caller) for _ in range(40)), return_exceptions=True)
    assert sum(isinstance(outcome, QuotaExceededError) for outcome in outcomes) == 30
    assert (await world.used("tenant:alpha"))["tasks"] == 10


async def test_a_flood_of_refusals_is_counted_and_does_not_fill_the_log() -> None:
    world = World(executor=FakeExecutor(capacity=0))
    world.catalogue.put(replace(ALPHA, limits=QuotaLimits(tasks=0)))
    caller = await world.caller()
    for _ in range(100):
        with pytest.raises(QuotaExceededError):
            await world.submit(caller)
    await world.recorder.close()
    refusals = [event for event in world.store.events if event.kind == "task.refused"]
    assert len(refusals) == 2
    assert refusals[1].details["repeated"] == 99


@pytest.mark.parametrize("tag", ["qsec:tenant", "qsec:anything", "QSEC:Tenant", " qsec:lane"])
async def test_a_forged_tag_is_refused_and_recorded(tag: str) -> None:
    world = World()
    caller = await world.caller()
    with pytest.raises(DeniedError) as caught:
        await world.submit(caller, tags={tag: "beta"})
    assert caught.value.reasons == ("forged-tag",)
    assert world.store.events[-1].kind == "task.refused"
    assert world.store.events[-1].rules == ("forged-tag",)
    assert await world.used("tenant:alpha") == {}


async def test_a_repeated_client_token_gives_the_same_task_and_charges_once() -> None:
    world = World(executor=FakeExecutor(capacity=0))
    caller = await world.caller()
    first, second = await asyncio.gather(*(world.submit(caller, client_token="again") for _ in range(2)))
    assert first.id == second.id
    assert (await world.used("tenant:alpha"))["tasks"] == 1
    assert world.kinds().count("task.submitted") == 1


async def test_a_client_token_cannot_be_used_for_something_else() -> None:
    world = World(executor=FakeExecutor(capacity=0))
    caller = await world.caller()
    await world.submit(caller, client_token="again")
    for changes in ({"shots": 101}, {"device_arn": DM1}, {"output_prefix": "other"}, {"tags": {"a": "b"}}):
        with pytest.raises(ConflictError):
            await world.submit(caller, client_token="again", **changes)


async def test_tenants_do_not_share_client_tokens() -> None:
    world = World(executor=FakeExecutor(capacity=0))
    mine = await world.submit(await world.caller("alpha"), client_token="same")
    theirs = await world.submit(await world.caller("beta"), client_token="same")
    assert mine.id != theirs.id


async def test_what_cannot_be_recorded_does_not_happen() -> None:
    world = World()
    caller = await world.caller()
    world.store.fail_with = RecordingError("The disk is full.")
    with pytest.raises(RecordingError):
        await world.submit(caller)
    world.store.fail_with = None
    await settled(world)
    assert world.executor.executed == []
    assert await world.used("tenant:alpha") == {}


async def test_policy_decides_on_the_task_and_a_refusal_is_recorded_with_its_rule() -> None:
    policy = FakePolicy(Action.TASK_CREATE)
    world = World(policy=policy)
    caller = await world.caller()
    with pytest.raises(DeniedError):
        await world.submit(caller, shots=7)
    asked = policy.asked[-1]
    assert asked.context["shots"] == 7
    assert asked.context["qubits"] == 2
    assert asked.context["device_kind"] == "simulator"
    assert (asked.context["lane_purpose"], asked.context["environment"]) == ("tutorial", "sandbox")
    assert world.store.events[-1].rules == ("forbid-in-test",)


async def test_another_tenants_bucket_and_one_that_does_not_exist_look_alike() -> None:
    world = World()
    caller = await world.caller("alpha")
    texts = set()
    for bucket in ("amazon-braket-us-east-1-000000000222", "amazon-braket-us-east-1-000000000999"):
        with pytest.raises(NotFoundError) as caught:
            await world.submit(caller, output_bucket=bucket)
        texts.add(str(caught.value).replace(bucket, "BUCKET"))
    assert len(texts) == 1


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"device_arn": "arn:aws:braket:::device/qpu/none/Nope"}, NotFoundError, "device"),
        ({"shots": -1}, InvalidRequestError, "shots"),
        ({"shots": 10**9}, InvalidRequestError, "1000000000 shots .* 0 to 100000"),
        ({"shots": 0}, InvalidRequestError, "0 shots need a result type"),
        ({"action": "not json"}, InvalidRequestError, "not JSON"),
        ({"action": openqasm("OPENQASM 3.0;\nqubit[60] q;\n")}, InvalidRequestError, "60 qubits"),
        ({"action": openqasm('include "/etc/passwd";\n')}, InvalidRequestError, "include"),
        ({"action": BELL + " " * (3 << 20)}, TooLargeError, "bytes"),
        ({"device_parameters": "x" * 48_001}, TooLargeError, "deviceParameters"),
        ({"client_token": ""}, InvalidRequestError, "clientToken"),
        ({"client_token": "x" * 65}, InvalidRequestError, "clientToken"),
        ({"output_prefix": "../../beta"}, InvalidRequestError, "outputS3KeyPrefix"),
        ({"output_prefix": ""}, InvalidRequestError, "outputS3KeyPrefix"),
        ({"region": "us-east-1/evil"}, InvalidRequestError, "region"),
        ({"tags": {"aws:x": "y"}}, InvalidRequestError, "tag"),
        ({"tags": {f"k{n}": "v" for n in range(44)}}, InvalidRequestError, "44 tags"),
        ({"tags": {"k": "v" * 257}}, InvalidRequestError, "tag"),
    ],
)
async def test_wrong_requests_are_refused_before_anything_is_reserved(
    changes: dict[str, Any], error: type[QsecError], words: str
) -> None:
    world = World()
    caller = await world.caller()
    with pytest.raises(error, match=words):
        await world.submit(caller, **changes)
    assert await world.used("tenant:alpha") == {}
    assert world.kinds() == ["lease.issued"]


async def test_a_long_program_is_scanned_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(executor=FakeExecutor(capacity=0))
    caller = await world.caller()
    gates = "h q[0];\n" * 200_000
    turned = threading.Event()

    def inspect_once_the_loop_has_turned(action: str) -> ProgramFacts:
        assert turned.wait(30), "the event loop stands still"
        return inspect_action(action)

    monkeypatch.setattr(submission, "inspect_action", inspect_once_the_loop_has_turned)
    asyncio.get_running_loop().call_later(0.01, turned.set)
    task = await world.submissions.submit(
        caller, request_of(caller, action=openqasm(f"OPENQASM 3.0;\nqubit[2] q;\n{gates}"))
    )
    assert turned.is_set() and task is not None

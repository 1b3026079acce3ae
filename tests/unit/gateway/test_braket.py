"""Braket's front door: shapes of answers, and a complaint that names the field for everything malformed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest

from jupyter_qsec.domain.task import TaskState
from tests.fakes.doors import Client, bell, client, message
from tests.fakes.world import DM1, SV1, World, settled


async def created(alpha: Client, **changes: Any) -> str:
    response = await alpha.send("POST", "/quantum-task", bell(**changes))
    assert response.status == 201, response.body
    return str(json.loads(response.body)["quantumTaskArn"])


def at(kind: str, arn: str, more: str = "") -> str:
    return f"/{kind}/{quote(arn, safe='')}{more}"


async def ask(alpha: Client, method: str, path: str, body: Any = b"") -> Any:
    response = await alpha.send(method, path, body)
    assert response.status == 200, response.body
    return json.loads(response.body)


# -- devices
async def test_a_device_is_told_with_capabilities_and_queues(world: World) -> None:
    alpha = await client(world)
    answer = await ask(alpha, "GET", at("device", SV1))
    assert (answer["deviceName"], answer["deviceType"], answer["deviceStatus"]) == ("SV1", "SIMULATOR", "ONLINE")
    assert "braketSchemaHeader" in json.loads(answer["deviceCapabilities"])
    assert [row["queue"] for row in answer["deviceQueueInfo"]] == ["QUANTUM_TASKS_QUEUE"] * 2 + ["JOBS_QUEUE"]


async def test_an_unknown_device_is_not_found(world: World) -> None:
    alpha = await client(world)
    response = await alpha.send("GET", at("device", "arn:aws:braket:::device/qpu/nobody/nothing"))
    assert (response.status, response.headers["x-amzn-ErrorType"]) == (404, "ResourceNotFoundException")


async def test_devices_are_listed_filtered_and_paged(world: World) -> None:
    alpha = await client(world)
    everything = await ask(alpha, "POST", "/devices", {"filters": []})
    assert {SV1, DM1} <= {device["deviceArn"] for device in everything["devices"]}
    one = await ask(alpha, "POST", "/devices", {"filters": [{"name": "deviceArn", "values": [DM1]}]})
    assert [device["deviceArn"] for device in one["devices"]] == [DM1]
    first = await ask(alpha, "POST", "/devices", {"filters": [], "maxResults": 1})
    rest = {"filters": [], "nextToken": first["nextToken"]}
    second = await ask(alpha, "POST", "/devices", rest)
    assert first["devices"] + second["devices"] == everything["devices"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"filters": {}},
        {"filters": ["x"]},
        {"filters": [{"name": "deviceName", "values": ["x"]}]},
        {"filters": [{"name": "deviceArn", "values": []}]},
        {"filters": [{"name": "deviceArn", "values": [1]}]},
        {"filters": [], "maxResults": 0},
        {"filters": [], "maxResults": 101},
        {"filters": [], "nextToken": "made-up"},
        {"filters": [{"name": "deviceArn", "values": ["x"]}] * 11},
    ],
)
async def test_a_malformed_device_search_is_refused(world: World, body: Any) -> None:
    response = await (await client(world)).send("POST", "/devices", body)
    assert (response.status, response.headers["x-amzn-ErrorType"]) == (400, "ValidationException")


# -- creating
@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[
            (name, None)
            for name in ("deviceArn", "shots", "outputS3Bucket", "outputS3KeyPrefix", "action", "clientToken")
        ],
        ("deviceArn", 1),
        ("deviceArn", "x" * 257),
        ("shots", "100"),
        ("shots", -1),
        ("shots", 1.5),
        ("shots", True),
        ("shots", 10**12),
        ("shots", 10**30),
        ("outputS3Bucket", "ab"),
        ("outputS3Bucket", "x" * 64),
        ("outputS3KeyPrefix", ""),
        ("outputS3KeyPrefix", "x" * 1025),
        ("action", {}),
        ("action", ""),
        ("action", "not json"),
        ("clientToken", ""),
        ("clientToken", "x" * 65),
        ("deviceParameters", "x" * 48_001),
        ("deviceParameters", {}),
        ("tags", {"a": 1}),
        ("tags", {str(number): "" for number in range(51)}),
    ],
)
async def test_a_malformed_submission_is_refused_by_the_fields_name(world: World, field: str, value: Any) -> None:
    response = await (await client(world)).send("POST", "/quantum-task", bell(**{field: value}))
    assert (response.status, response.headers["x-amzn-ErrorType"]) == (400, "ValidationException")
    assert field.lower() in message(response).lower()
    assert "task.submitted" not in world.kinds()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"[" * 100_000, b'{"shots":1,"shots":2}', b"\xff"])
async def test_a_body_that_is_no_json_object_is_refused(world: World, body: bytes) -> None:
    response = await (await client(world)).send("POST", "/quantum-task", body)
    assert (response.status, response.headers["x-amzn-ErrorType"]) == (400, "ValidationException")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("jobToken", "x"),
        ("associations", [{"arn": "arn:aws:braket:us-east-1:1:x", "type": "RESERVATION_TIME_WINDOW_ARN"}]),
        ("experimentalCapabilities", {"enabled": "ALL"}),
    ],
)
async def test_what_is_not_offered_is_refused_by_name_never_ignored(world: World, field: str, value: Any) -> None:
    response = await (await client(world)).send("POST", "/quantum-task", bell(**{field: value}))
    assert (response.status, response.headers["x-amzn-ErrorType"]) == (403, "AccessDeniedException")
    assert field in message(response)


@pytest.mark.parametrize("tag", ["qsec:tenant", "QSEC:tenant", " qsec:lease", "qsec:new"])
async def test_a_forged_tag_is_refused_and_recorded(world: World, tag: str) -> None:
    response = await (await client(world)).send("POST", "/quantum-task", bell(tags={tag: "beta"}))
    assert (response.status, response.headers["x-amzn-ErrorType"]) == (403, "AccessDeniedException")
    assert world.kinds()[-1] == "task.refused"


async def test_the_token_of_another_submission_is_a_conflict(world: World) -> None:
    alpha = await client(world)
    await created(alpha)
    response = await alpha.send("POST", "/quantum-task", bell(shots=7))
    assert (response.status, response.headers["x-amzn-ErrorType"]) == (409, "ConflictException")


async def test_a_spent_quota_answers_as_braket_does(world: World) -> None:
    alpha = await client(world)
    response = await alpha.send("POST", "/quantum-task", bell(shots=100_000))
    assert response.status == 201
    response = await alpha.send("POST", "/quantum-task", bell(clientToken="second", shots=1))
    assert (response.status, response.headers["x-amzn-ErrorType"]) == (402, "ServiceQuotaExceededException")


# -- a task's life
async def test_a_task_is_told_as_the_sdk_reads_it(world: World) -> None:
    await world.started()
    alpha = await client(world)
    arn = await created(alpha, deviceParameters='{"a":1}', tags={"mine": "1"})
    await settled(world)
    answer = await ask(alpha, "GET", at("quantum-task", arn, "?additionalAttributeNames=QueueInfo"))
    assert answer["quantumTaskArn"] == arn
    assert answer["deviceParameters"] == '{"a":1}'
    assert answer["actionMetadata"] == {"actionType": "braket.ir.openqasm.program"}
    assert answer["outputS3Directory"] == f"tasks/{arn.rpartition('/')[2]}"
    assert answer["createdAt"] == "2026-03-01T12:00:00.000Z"
    assert answer["tags"]["mine"] == "1"
    assert answer["tags"]["qsec:tenant"] == "alpha"
    assert set(answer["queueInfo"]) >= {"queue", "position", "queuePriority"}


async def test_what_polls_repeat_is_read_again_after_a_restart(world: World) -> None:
    alpha = await client(world)
    arn = await created(alpha, deviceParameters='{"a":1}')
    fresh = await client(world)
    answer = await ask(fresh, "GET", at("quantum-task", arn))
    assert (answer["deviceParameters"], "queueInfo" in answer) == ('{"a":1}', False)


async def test_a_task_can_be_cancelled_once(world: World) -> None:
    world.executor.resize(0)
    alpha = await client(world)
    arn = await created(alpha)
    answer = await ask(alpha, "PUT", at("quantum-task", arn, "/cancel"), {"clientToken": "t"})
    assert answer == {"quantumTaskArn": arn, "cancellationStatus": "CANCELLED"}
    response = await alpha.send("PUT", at("quantum-task", arn, "/cancel"), {"clientToken": "u"})
    assert (response.status, response.headers["x-amzn-ErrorType"]) == (409, "ConflictException")


async def test_tags_are_set_listed_and_removed(world: World) -> None:
    alpha = await client(world)
    path = at("tags", await created(alpha, tags={"a": "1"}))
    await ask(alpha, "POST", path, {"tags": {"b": "2", "ü +": "3"}})
    tags = (await ask(alpha, "GET", path))["tags"]
    assert {name: value for name, value in tags.items() if not name.startswith("qsec:")} == {
        "a": "1",
        "b": "2",
        "ü +": "3",
    }
    await ask(alpha, "DELETE", path + "?tagKeys=a&tagKeys=" + quote("ü +"))
    assert set((await ask(alpha, "GET", path))["tags"]) - {name for name in tags if name.startswith("qsec:")} == {"b"}
    for method, body, more in (("POST", {"tags": {"qsec:tenant": "x"}}, ""), ("DELETE", b"", "?tagKeys=qsec%3Atenant")):
        assert (await alpha.send(method, path + more, body)).status == 403
    assert (await alpha.send("DELETE", path)).status == 400


# -- searching
async def test_tasks_are_found_newest_first_in_pages(world: World) -> None:
    alpha = await client(world)
    arns = []
    for number in range(5):
        arns.append(await created(alpha, clientToken=f"t{number}", shots=1))
        world.clock.advance(seconds=10)
    found: list[str] = []
    body: dict[str, Any] = {"filters": [], "maxResults": 2}
    while True:
        page = await ask(alpha, "POST", "/quantum-tasks", body)
        found += [task["quantumTaskArn"] for task in page["quantumTasks"]]
        assert len(page["quantumTasks"]) <= 2
        if "nextToken" not in page:
            break
        body["nextToken"] = page["nextToken"]
    assert found == arns[::-1]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([("deviceArn", "EQUAL", [SV1])], [0, 2]),
        ([("deviceArn", "EQUAL", [SV1, DM1])], [0, 1, 2]),
        ([("status", "EQUAL", ["CANCELLED"])], [2]),
        ([("status", "EQUAL", ["CANCELLED", "QUEUED"])], [0, 1, 2]),
        ([("status", "EQUAL", ["CANCELLED"]), ("deviceArn", "EQUAL", [DM1])], []),
        ([("createdAt", "GT", ["2026-03-01T12:00:00Z"])], [1, 2]),
        ([("createdAt", "GTE", ["2026-03-01T12:00:00Z"])], [0, 1, 2]),
        ([("createdAt", "LT", ["2026-03-01T12:00:10Z"])], [0]),
        ([("createdAt", "LTE", ["2026-03-01T12:00:10Z"])], [0, 1]),
        ([("createdAt", "EQUAL", ["2026-03-01T12:00:10Z"])], [1]),
        ([("createdAt", "BETWEEN", ["2026-03-01T12:00:05Z", "2026-03-01T12:00:15Z"])], [1]),
        ([("createdAt", "GT", ["2026-03-01T12:00:00Z"]), ("createdAt", "LT", ["2026-03-01T12:00:15Z"])], [1]),
        ([("jobArn", "EQUAL", ["arn:aws:braket:us-east-1:000000000111:job/x"])], []),
        ([("status", "EQUAL", ["QUEUED"]), ("status", "EQUAL", ["CANCELLED"])], []),
    ],
)
async def test_filters_hold_together(
    world: World, filters: list[tuple[str, str, list[str]]], expected: list[int]
) -> None:
    world.executor.resize(0)
    alpha = await client(world)
    arns = []
    for number, device in enumerate((SV1, DM1, SV1)):
        arns.append(await created(alpha, clientToken=f"t{number}", deviceArn=device))
        world.clock.advance(seconds=10)
    await ask(alpha, "PUT", at("quantum-task", arns[2], "/cancel"), {"clientToken": "t"})
    wanted = [{"name": name, "operator": operator, "values": values} for name, operator, values in filters]
    page = await ask(alpha, "POST", "/quantum-tasks", {"filters": wanted})
    assert sorted(arns.index(task["quantumTaskArn"]) for task in page["quantumTasks"]) == expected


async def test_a_task_is_found_by_its_arn_among_ones_own_only(world: World) -> None:
    alpha = await client(world)
    beta = await client(world, tenant="beta", door=alpha.door)
    arn = await created(alpha)
    wanted = {"filters": [{"name": "quantumTaskArn", "operator": "EQUAL", "values": [arn]}]}
    assert [
        task["quantumTaskArn"] for task in (await ask(alpha, "POST", "/quantum-tasks", wanted))["quantumTasks"]
    ] == [arn]
    assert (await ask(beta, "POST", "/quantum-tasks", wanted))["quantumTasks"] == []
    assert (await ask(beta, "POST", "/quantum-tasks", {"filters": []}))["quantumTasks"] == []


async def test_a_page_token_of_another_tenant_or_query_is_refused(world: World) -> None:
    alpha = await client(world)
    beta = await client(world, tenant="beta", door=alpha.door)
    for number in range(2):
        await created(alpha, clientToken=f"t{number}")
    page = await ask(alpha, "POST", "/quantum-tasks", {"filters": [], "maxResults": 1})
    other = [{"name": "status", "operator": "EQUAL", "values": ["QUEUED"]}]
    for caller, filters in ((beta, []), (alpha, other)):
        response = await caller.send("POST", "/quantum-tasks", {"filters": filters, "nextToken": page["nextToken"]})
        assert response.status == 400


# -- operations
@pytest.mark.parametrize(
    ("method", "path"),
    [
        *[("POST", "/job"), ("POST", "/jobs"), ("GET", "/job/x"), ("PUT", "/job/x/cancel")],
        *[("POST", "/spending-limit"), ("POST", "/spending-limits"), ("PATCH", "/spending-limit/x/update")],
    ],
)
async def test_a_known_operation_that_is_not_offered_says_so(world: World, method: str, path: str) -> None:
    response = await (await client(world)).send(method, path, b"{}")
    assert (response.status, response.headers["x-amzn-ErrorType"]) == (403, "AccessDeniedException")
    assert "not offered" in message(response)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", ""),
        ("DELETE", "/quantum-task/x"),
        ("GET", "/quantum-task"),
        ("GET", "/devicex"),
        ("GET", "/device/a/b"),
    ],
)
async def test_an_unknown_operation_is_named_as_such(world: World, method: str, path: str) -> None:
    response = await (await client(world)).send(method, path)
    assert (response.status, response.headers["x-amzn-ErrorType"]) == (404, "UnknownOperationException")


@pytest.mark.parametrize("arn", ["", "x", "arn:aws:braket:us-east-1:000000000111:quantum-task/../x", "%", "ü" * 100])
@pytest.mark.parametrize("kind", ["quantum-task", "tags"])
async def test_a_made_up_arn_is_not_found(world: World, kind: str, arn: str) -> None:
    response = await (await client(world)).send("GET", at(kind, arn or "%20"))
    assert (response.status, response.headers["x-amzn-ErrorType"]) == (404, "ResourceNotFoundException")


async def test_a_device_bound_to_a_region_exists_there_only(world: World) -> None:
    device = world.devices.device(SV1)
    assert device is not None
    bound = replace(device, region="eu-west-2")
    world.devices.device = lambda arn: bound  # type: ignore[method-assign]  # a device that no simulator has
    world.devices.devices = lambda: (bound,)  # type: ignore[method-assign]  # as above
    for region, status, listed in (("us-east-1", 404, 0), ("eu-west-2", 200, 1)):
        caller = await client(world, region=region)
        assert (await caller.send("GET", at("device", SV1))).status == status
        assert len((await ask(caller, "POST", "/devices", {"filters": []}))["devices"]) == listed


def test_every_state_of_a_task_is_one_of_brakets() -> None:
    assert {str(state) for state in TaskState} == {
        *("CREATED", "QUEUED", "RUNNING", "COMPLETED", "FAILED", "CANCELLING", "CANCELLED")
    }

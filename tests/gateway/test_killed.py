"""`kill -9` of a gateway in the middle of tasks: each ends once, and what was decided before stays decided."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from typing import Any

import pytest

from jupyter_qsec.adapters.results import FileResultStore
from jupyter_qsec.application.dispatch import Dispatcher
from tests.gateway.conftest import StartProcess
from tests.gateway.livegateway import GatewayProcess, Issued, LiveGateway, run_bell
from tests.gateway.signedcalls import SignedBraket

# Computes for some seconds.
LONG = json.dumps(
    {
        "braketSchemaHeader": {"name": "braket.ir.openqasm.program", "version": "1"},
        "source": "OPENQASM 3;\nqubit[20] q;\nfor int i in [0:39] { h q; }",
    }
)


def state_of(gateway: GatewayProcess, task_id: str) -> dict[str, Any]:
    task: dict[str, Any] = gateway.get(f"/api/v1/tasks/{task_id}").json()["task"]
    return task


def wait_until_ended(gateway: GatewayProcess, task_ids: list[str], seconds: float = 60) -> list[dict[str, Any]]:
    deadline = time.monotonic() + seconds
    tasks: list[dict[str, Any]] = []
    while time.monotonic() < deadline:
        tasks = [state_of(gateway, task_id) for task_id in task_ids]
        if all(task["state"] in ("COMPLETED", "FAILED", "CANCELLED") for task in tasks):
            return tasks
        time.sleep(0.05)
    raise AssertionError([task["state"] for task in tasks])


@pytest.mark.parametrize("seconds", [0.0, 0.012])
def test_killed_in_the_middle_of_tasks_it_finishes_each_once_and_leaks_no_quota(
    gateway_process: StartProcess, seconds: float
) -> None:
    gateway = gateway_process()
    lease = gateway.lease()
    with SignedBraket(gateway, lease) as braket:
        task_ids = [braket.create_bell(shots=10) for _ in range(5)]
        task_ids.append(braket.create_bell(shots=10, action=LONG))
    time.sleep(seconds)  # let it get somewhere else in the middle of something each time
    gateway.kill()
    again = gateway_process()
    tasks = wait_until_ended(again, task_ids)
    assert {task["state"] for task in tasks} == {"COMPLETED"}
    usages = again.get("/api/v1/quotas?tenant=sandbox").json()["usages"]
    found = {(usage["scope"], usage["metric"]): usage["used"] for usage in usages}
    assert found["tenant:sandbox", "tasks"] == 6
    assert found["tenant:sandbox", "shots"] == 60
    assert found["tenant:sandbox", "simulator-ms"] == sum(task["duration_ms"] for task in tasks)
    records = again.get("/api/v1/audit/records?limit=1000").json()["records"]
    completed = [r["event"]["subject"] for r in records if r["event"]["kind"] == "task.completed"]
    assert sorted(completed) == sorted(task["arn"] for task in tasks)
    kinds = [r["event"]["kind"] for r in records]
    at_the_kill = kinds[: kinds.index("gateway.started", 1)].count("task.completed")
    assert at_the_kill < 6, "it was killed in the middle of tasks"
    digests = {
        r["event"]["subject"]: r["event"]["details"]["result_sha256"]
        for r in records
        if r["event"]["kind"] == "task.completed"
    }
    again.stop()
    stored = FileResultStore(again.home / "results")
    for task in tasks:
        bucket, _, folder = task["output_s3_uri"].removeprefix("s3://").partition("/")
        kept = asyncio.run(stored.get("sandbox", bucket, f"{folder}/results.json"))
        assert kept is not None and hashlib.sha256(kept[1]).hexdigest() == digests[task["arn"]]


def test_without_recovery_its_tasks_hang(gateway_process: StartProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = gateway_process()
    with SignedBraket(gateway, gateway.lease()) as braket:
        task_id = braket.create_bell(shots=10, action=LONG)
    gateway.kill()

    async def nothing(self: Dispatcher) -> int:
        return 0

    monkeypatch.setattr(Dispatcher, "recover", nothing)
    again = LiveGateway(gateway.home).start()
    try:
        assert run_bell(again, again.lease()).state == "COMPLETED"
        task = again.get(f"/api/v1/tasks/{task_id}").json()["task"]
        assert task["state"] in ("CREATED", "QUEUED", "RUNNING"), "what came later ran, and this one does not"
    finally:
        again.stop()
    recovering = gateway_process()
    (task,) = wait_until_ended(recovering, [task_id])
    assert task["state"] == "COMPLETED"


def test_a_lease_revoked_before_a_kill_stays_revoked(gateway_process: StartProcess) -> None:
    gateway = gateway_process()
    lease: Issued = gateway.lease()
    gateway.post(f"/api/v1/leases/{lease.id}/revoke", {"reason": "leak"})
    gateway.kill()
    again = gateway_process()
    assert again.get("/credentials", lease.token).json()["code"] == "lease-revoked"

"""`kill -9` of the gateway in the middle of a task: nothing is lost, nothing runs twice, the log verifies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jupyter_qsec.client.api import ControlClient
from jupyter_qsec.client.gateways import connect
from jupyter_qsec.client.home import QsecHome
from tests.e2e.realserver import RealServer
from tests.fakes.waiting import wait_for

pytestmark = [pytest.mark.kernel, pytest.mark.xdist_group("crash")]

COMMAND = str(Path(sys.executable).parent / "jupyter-qsec")

SUBMIT = """
from braket.aws import AwsDevice
from braket.circuits import Circuit
circuit = Circuit().h(range(20))
for _ in range(14):
    for qubit in range(19):
        circuit.cnot(qubit, qubit + 1).rx(qubit, 0.3)
device = AwsDevice("arn:aws:braket:::device/quantum-simulator/amazon/sv1")
task = device.run(circuit, shots=200, poll_interval_seconds=0.2)
print(task.id)
"""
RESULT = "print(sum(task.result().measurement_counts.values()), task.state())"


def usage(client: ControlClient, tenant: str, metric: str) -> int:
    """What stands on the tenant's counter today."""
    scope = f"tenant:{tenant}"
    counted = [row["used"] for row in client.quotas(tenant=tenant) if (row["scope"], row["metric"]) == (scope, metric)]
    return int(counted[0]) if counted else 0


def verified(server: RealServer) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, "audit", "verify"],
        env=server.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def events(client: ControlClient, arn: str) -> list[str]:
    """Kinds of the task's records, in order."""
    records = client.audit_records()["records"]
    return [record["event"]["kind"] for record in records if arn in json.dumps(record["event"])]


def test_a_task_outlives_the_gateway_that_ran_it(real_server: RealServer) -> None:
    real_server.wait_for_gateway()
    home = QsecHome(real_server.qsec_home)
    kernel = real_server.client(real_server.start_session())
    with connect(home, timeout=30) as client:
        before = {metric: usage(client, "sandbox", metric) for metric in ("tasks", "shots")}
        submitted = real_server.run(kernel, SUBMIT)
        arn = submitted.text.strip()
        assert arn.startswith("arn:aws:braket:"), submitted.text

        def started() -> Any:
            task = client.task(arn.rpartition("/")[2])
            assert task["state"] != "COMPLETED", "the task was over before it could be interrupted: make it longer"
            return task["state"] == "RUNNING"

        wait_for(started, "the task to run", 30)
        first = home.running_gateway()
        assert first is not None
        os.kill(first.pid, signal.SIGKILL)

    result = real_server.run(kernel, RESULT)
    assert result.text.strip() == "200 COMPLETED", result.text

    second = wait_for(home.running_gateway, "the second gateway", 30)
    assert second.pid != first.pid and second.port == first.port
    with connect(home, timeout=30) as client:
        task = client.task(arn.rpartition("/")[2])
        assert (task["state"], task["shots"]) == ("COMPLETED", 200)
        assert len(client.tasks()) == 1
        assert usage(client, "sandbox", "tasks") == before["tasks"] + 1, "charged once, and nothing leaks"
        assert usage(client, "sandbox", "shots") == before["shots"] + 200
        kinds = events(client, arn)
    assert kinds.count("task.submitted") == 1
    assert kinds.count("task.completed") == 1, kinds
    checked = verified(real_server)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert real_server.qsec("status")["gateway"] | {"keystore": ""} == {
        "state": "running",
        "reason": "",
        "keystore": "",
    }


def test_without_its_supervisor_a_killed_gateway_stays_dead(real_server: RealServer) -> None:
    """Shows that it is the extension that brings it back: with the server stopped, nothing does."""
    real_server.wait_for_gateway()
    home = QsecHome(real_server.qsec_home)
    info = home.running_gateway()
    assert info is not None
    assert real_server.process is not None
    real_server.process.send_signal(signal.SIGSTOP)
    try:
        os.kill(info.pid, signal.SIGKILL)
        wait_for(lambda: home.running_gateway() is None, "the end of the gateway", 10)
        with pytest.raises(AssertionError, match="in vain"):
            wait_for(home.running_gateway, "a gateway that nobody starts", 1.5)
    finally:
        real_server.process.send_signal(signal.SIGCONT)
    wait_for(home.running_gateway, "the gateway once the server goes on", 30)


def test_a_killed_server_takes_its_gateway_along(real_server: RealServer) -> None:
    """Nobody is left to renew leases or to answer: a gateway without its server would be an unwatched power."""
    real_server.wait_for_gateway()
    home = QsecHome(real_server.qsec_home)
    assert home.running_gateway() is not None
    assert real_server.process is not None
    real_server.process.kill()
    wait_for(lambda: home.running_gateway() is None, "the end of the gateway", 20)

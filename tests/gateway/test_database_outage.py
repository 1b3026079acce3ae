"""PostgreSQL away for seconds while the unmodified SDK submits, polls and fetches."""

from __future__ import annotations

import gc
import os
import signal
import threading
from pathlib import Path

import pytest
from braket.aws import AwsDevice
from braket.circuits import Circuit

from tests.contract.postgres import PostgresServer
from tests.fakes.world import SV1
from tests.gateway.conftest import StartProcess
from tests.gateway.inkernel import enter_kernel

pytestmark = [
    # The SDK leaves event loops and boto3 its connections to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def bell() -> Circuit:
    return Circuit().h(0).cnot(0, 1)


def seconds_long() -> Circuit:
    circuit = Circuit()
    for layer in range(12):
        for qubit in range(21):
            circuit.ry(qubit, 0.1 * layer + qubit).cnot(qubit, (qubit + 1) % 21)
    return circuit


@pytest.mark.parametrize(
    ("how", "seconds"),
    [
        (signal.SIGINT, 2.0),
        pytest.param(signal.SIGINT, 9.0, marks=pytest.mark.long),
        pytest.param(signal.SIGQUIT, 9.0, marks=pytest.mark.long),
    ],
)
def test_a_notebook_waits_and_sees_no_error(
    gateway_process: StartProcess,
    postgres_server: PostgresServer,
    postgres_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: signal.Signals,
    seconds: float,
) -> None:
    environ = {**os.environ, "JUPYTER_QSEC_DATABASE_URL": postgres_url}
    gateway = gateway_process(home=tmp_path / "home", environ=environ)
    enter_kernel(gateway, gateway.lease(), tmp_path, monkeypatch)
    device = AwsDevice(SV1)
    device.run(bell(), shots=10).result()
    running = device.run(seconds_long(), shots=10)
    postgres_server.stop(how)
    back = threading.Timer(seconds, postgres_server.start)
    back.start()
    try:
        submitted = device.run(bell(), shots=30)
        assert back.finished.is_set(), "it was answered while there was no database"
    finally:
        back.join()
    assert sum(submitted.result().measurement_counts.values()) == 30
    assert sum(running.result().measurement_counts.values()) == 10
    tasks = gateway.get("/api/v1/tasks").json()["tasks"]
    assert sorted((task["shots"], task["state"]) for task in tasks) == [
        (10, "COMPLETED"),
        (10, "COMPLETED"),
        (30, "COMPLETED"),
    ]
    usages = gateway.get("/api/v1/quotas?tenant=sandbox").json()["usages"]
    used = {usage["metric"]: usage["used"] for usage in usages if usage["scope"] == "tenant:sandbox"}
    assert (used["tasks"], used["shots"]) == (3, 50)
    assert gateway.post("/api/v1/audit/checkpoint").status_code == 200
    assert gateway.stop() == 0
    gc.collect()

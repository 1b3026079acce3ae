"""A real gateway whose simulations run on a real Dask cluster, by TLS, and the unmodified SDK."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from braket.aws import AwsDevice
from braket.circuits import Circuit

from jupyter_qsec.application.ports import ExecutionLimits
from tests.fakes.dask_cluster import DaskCluster, certificates, simulators_of
from tests.fakes.executor_thread import SLOW
from tests.fakes.processes import gone
from tests.fakes.waiting import wait_for
from tests.gateway.conftest import StartProcess
from tests.gateway.inkernel import enter_kernel
from tests.gateway.livegateway import GatewayProcess, Issued
from tests.gateway.signedcalls import SignedBraket

SV1 = "arn:aws:braket:::device/quantum-simulator/amazon/sv1"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[DaskCluster]:
    """A scheduler alone, for a start."""
    folder = tmp_path / "dask"
    folder.mkdir()
    cluster = DaskCluster(folder, certificates(folder, "cluster"))
    try:
        cluster.start_scheduler()
        yield cluster
    finally:
        cluster.close()


def state(gateway: GatewayProcess, task_id: str) -> dict[str, Any]:
    found: dict[str, Any] = gateway.get(f"/api/v1/tasks/{task_id}").json()["task"]
    return found


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_tasks_run_on_the_cluster_wait_for_it_and_survive_the_gateway(
    gateway_process: StartProcess, cluster: DaskCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = certificates(cluster.directory, "cluster")
    environ = {
        **os.environ,
        "JUPYTER_QSEC_DASK_SCHEDULER": cluster.url,
        "JUPYTER_QSEC_DASK_TLS_CA": str(files.authority),
        "JUPYTER_QSEC_DASK_TLS_CERT": str(files.certificate),
        "JUPYTER_QSEC_DASK_TLS_KEY": str(files.key),
    }
    gateway: GatewayProcess = gateway_process(environ=environ)
    lease: Issued = gateway.lease(tenant="sandbox", label="test")
    enter_kernel(gateway, lease, tmp_path, monkeypatch)

    task = AwsDevice(SV1).run(Circuit().h(0).cnot(0, 1), shots=100, poll_interval_seconds=0.05)
    task_id = task.id.rpartition("/")[2]
    wait_for(lambda: [why["code"] for why in state(gateway, task_id)["waiting"]] == ["no-worker"], "the reason")
    assert state(gateway, task_id)["state"] == "QUEUED"
    assert gateway.get("/health", "").json() == {"status": "ok"}

    worker = cluster.start_worker()
    counts = task.result().measurement_counts
    assert set(counts) <= {"00", "11"} and sum(counts.values()) == 100
    assert psutil.Process(gateway.process.pid).children() == []
    [simulator] = simulators_of(worker.pid, ExecutionLimits())

    with SignedBraket(gateway, lease) as braket:
        slow = braket.create_bell(action=SLOW.action)
        wait_for(lambda: simulator.cpu_percent(0.05) > 5, "the simulator to compute")
        gateway.kill()
    assert gone(simulator.pid)
    gateway = gateway_process(environ=environ)
    wait_for(lambda: state(gateway, slow)["state"] == "RUNNING", "the task to run again")
    [simulator] = wait_for(lambda: simulators_of(worker.pid, ExecutionLimits()), "another simulator")
    wait_for(lambda: simulator.cpu_percent(0.05) > 5, "the simulator to compute")
    assert gateway.post(f"/api/v1/tasks/{slow}/cancel").json()["task"]["state"] in ("CANCELLING", "CANCELLED")
    wait_for(lambda: state(gateway, slow)["state"] == "CANCELLED", "the task's end", 5)
    assert gateway.stop() == 0
    log = (tmp_path / "home" / "logs" / "gateway.log").read_text()
    assert "connected to the Dask scheduler" in log
    assert "int i in" not in log + cluster.log()
    gc.collect()

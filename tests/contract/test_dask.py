"""The executor on Dask when workers, the scheduler or the gateway are lost; and who is let in."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from jupyter_qsec.adapters.providers.daskaddress import Certificates
from jupyter_qsec.adapters.providers.daskaddress import DaskCluster as ClusterAddress
from jupyter_qsec.adapters.providers.dasklog import logging_kept
from jupyter_qsec.application.ports import ExecutionResult
from jupyter_qsec.domain.errors import UnavailableError
from tests.contract.executorbenches import LIMITS, DaskBench
from tests.fakes.dask_cluster import DaskCluster, certificates, free_port, simulators_of
from tests.fakes.executor_thread import BELL, SLOW, ExecutorThread, openqasm, program, reason, task
from tests.fakes.processes import gone
from tests.fakes.waiting import wait_for

with logging_kept():
    from distributed import Client

    from jupyter_qsec.adapters.providers import dasklink
    from jupyter_qsec.adapters.providers.daskexecutor import DaskExecutor
    from jupyter_qsec.adapters.providers.dasksite import Parcel, execute_here

MARKER = "planted_7f3e9a"
MARKED = openqasm(f"qubit q;\nbit[1] {MARKER};\nfor int i in [0:999999] {{ h q; }}")


def stopped_simulators(cluster: DaskCluster) -> dict[int, psutil.Process]:
    """Each Dask worker's simulator, which computes nothing until it is told to go on."""
    found = {}
    for worker in cluster.workers:
        [simulator] = wait_for(partial(simulators_of, worker.pid, LIMITS), "a simulator")
        simulator.suspend()
        found[worker.pid] = simulator
    return found


def test_a_task_whose_worker_is_lost_runs_again_on_another(dask_bench: DaskBench) -> None:
    cluster, submitted = dask_bench.cluster, task(7)
    assert isinstance(dask_bench.execute(task(1), program(BELL)), ExecutionResult)
    simulators = stopped_simulators(cluster)
    ending = dask_bench.begin(dask_bench.executor.execute(submitted, openqasm("qubit q;\nx q;")))
    place = dask_bench.place(submitted)
    lost = simulators.pop(place)
    for simulator in simulators.values():
        simulator.resume()
    cluster.kill_worker(place)
    outcome = ending.result(20)
    assert isinstance(outcome, ExecutionResult), outcome
    assert gone(lost.pid)
    assert dask_bench.executor.capacity == 1
    cluster.start_worker()
    dask_bench.complete()


def test_gateways_on_one_cluster_choose_the_workers_that_the_others_left(dask_bench: DaskBench) -> None:
    with dask_bench.another() as other:
        simulators = stopped_simulators(dask_bench.cluster)
        submitted = [task(1), task(2)]
        first = dask_bench.begin(dask_bench.executor.execute(submitted[0], program(BELL)))
        place = dask_bench.place(submitted[0])
        second = other.begin(other.executor.execute(submitted[1], program(BELL)))
        assert other.place(submitted[1]) != place
        for simulator in simulators.values():
            simulator.resume()
        assert all(isinstance(ending.result(20), ExecutionResult) for ending in (first, second))


def test_no_program_is_let_loose_on_all_workers_in_turn(dask_bench: DaskBench) -> None:
    cluster, submitted = dask_bench.cluster, task()
    simulators = stopped_simulators(cluster)
    ending = dask_bench.begin(dask_bench.executor.execute(submitted, MARKED))
    first = dask_bench.place(submitted)
    cluster.start_worker()
    cluster.kill_worker(first)
    cluster.kill_worker(dask_bench.place(submitted, after=first))
    said = reason(ending.result(20))
    assert said == "The machine that ran this task was lost, and so was the one that ran it again."
    while len(cluster.workers) < 2:
        cluster.start_worker()
    for simulator in simulators.values():
        if simulator.is_running():
            simulator.resume()
    dask_bench.complete()


def test_a_scheduler_that_goes_away_is_waited_for(dask_bench: DaskBench) -> None:
    cluster, submitted = dask_bench.cluster, task(7)
    stopped_simulators(cluster)
    running = dask_bench.begin(dask_bench.executor.execute(submitted, openqasm("qubit q;\nx q;")))
    dask_bench.place(submitted)
    cluster.kill_scheduler()
    wait_for(lambda: dask_bench.executor.capacity == 0, "the loss to be noticed")
    assert "scheduler does not answer" in dask_bench.executor.obstacle
    waiting = dask_bench.begin(dask_bench.executor.execute(task(7), program(BELL)))
    cancelled = task()
    ending = dask_bench.begin(dask_bench.executor.execute(cancelled, program(BELL)))
    dask_bench.call(dask_bench.executor.cancel(cancelled.id))
    assert ending.result(3).cancelled
    cluster.start(2)
    dask_bench.complete()
    assert isinstance(running.result(20), ExecutionResult)
    assert isinstance(waiting.result(20), ExecutionResult)


def test_a_simulation_ends_with_a_gateway_that_was_killed(dask_bench: DaskBench) -> None:
    """Tested on the connection alone, which is all that Dask sees of it."""
    with dask_bench.another() as killed:
        submitted = task()
        killed.begin(killed.executor.execute(submitted, SLOW))
        simulator = killed.running(submitted)

        async def cut() -> None:
            member = next(iter(killed.executor._running.values())).member
            member.client.scheduler_comm.comm.abort()

        killed.call(cut())
        assert gone(simulator, seconds=3)


def test_logs_hold_neither_programs_nor_results(dask_bench: DaskBench) -> None:
    """Those of the scheduler and the workers; with a task that is cancelled, one that crashes and one that is wrong."""
    submitted = task()
    ending = dask_bench.begin(dask_bench.executor.execute(submitted, MARKED))
    dask_bench.running(submitted)
    dask_bench.call(dask_bench.executor.cancel(submitted.id))
    ending.result(3)
    dask_bench.complete()
    crashing = task()
    ending = dask_bench.begin(dask_bench.executor.execute(crashing, MARKED))
    os.kill(dask_bench.running(crashing), signal.SIGSEGV)
    reason(ending.result(10))
    said = reason(dask_bench.execute(task(), openqasm(f"qubit q;\n{MARKER} q;")))
    assert MARKER in said
    log = dask_bench.cluster.log()
    assert "make_ready" in log
    assert MARKER not in log
    assert submitted.id not in log


def test_what_dask_logs_of_a_defect_names_no_program(dask_bench: DaskBench) -> None:
    """Dask logs the arguments when a task of its own raises: here one with limits that are none."""

    async def fail() -> None:
        member = next(iter(dask_bench.executor._crew._members.values()))
        parcel = Parcel("key", member.id, None, {"head": MARKER}, MARKER.encode())  # type: ignore[arg-type]  # the defect
        with pytest.raises(TypeError):
            await member.client.submit(execute_here, parcel, key="defect", workers=[member.address], retries=0)

    dask_bench.call(fail())
    log = dask_bench.cluster.log()
    assert "Compute Failed" in log
    assert "Parcel object at" in log
    assert MARKER not in log


# -- who is let in


def started(address: ClusterAddress) -> None:
    """Start an executor there and close it again."""

    async def start() -> None:
        executor = DaskExecutor(address, LIMITS)
        try:
            await executor.start()
        finally:
            await executor.close()

    asyncio.run(start())


def test_a_scheduler_that_is_not_there_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dasklink, "_CONNECT_SECONDS", 0.3)
    with pytest.raises(UnavailableError, match=r"cannot be reached.*Start it, or correct"):
        started(ClusterAddress(f"tcp://127.0.0.1:{free_port()}"))


def test_a_scheduler_of_another_version_is_refused(dask_cluster: DaskCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dasklink, "__version__", "99.0")
    with pytest.raises(UnavailableError, match=r"this gateway 99\.0.*Install the same version"):
        started(ClusterAddress(dask_cluster.url))


def test_a_worker_of_another_version_gets_no_task(
    dask_bench: DaskBench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    accepted = dasklink.DaskLink._connect

    async def connect(link: dasklink.DaskLink) -> Client:
        client = await accepted(link)
        monkeypatch.setattr(dasklink, "__version__", "99.0")
        return client

    monkeypatch.setattr(dasklink.DaskLink, "_connect", connect)
    with ExecutorThread(DaskExecutor(ClusterAddress(dask_bench.cluster.url), LIMITS)) as other:
        wait_for(lambda: "cannot be used (it has jupyter_qsec" in caplog.text, "the refusal")
        assert other.executor.capacity == 0
        assert "no worker that can be used" in other.executor.obstacle


@pytest.fixture(scope="module")
def tls_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    """A scheduler alone."""
    folder = tmp_path_factory.mktemp("tls")
    cluster = DaskCluster(folder, certificates(folder, "cluster"))
    try:
        cluster.start_scheduler()
        yield cluster
    finally:
        cluster.close()


class TestTls:
    def test_the_clusters_own_certificates_open_it(self, tls_cluster: DaskCluster, tmp_path: Path) -> None:
        started(ClusterAddress(tls_cluster.url, certificates(tls_cluster.directory, "cluster")))

    def test_a_certificate_of_another_authority_does_not(self, tls_cluster: DaskCluster, tmp_path: Path) -> None:
        ours, others = certificates(tls_cluster.directory, "cluster"), certificates(tmp_path, "others")
        for files in (others, Certificates(ours.authority, others.certificate, others.key)):
            with pytest.raises(UnavailableError, match="cannot be reached"):
                started(ClusterAddress(tls_cluster.url, files))

    def test_a_scheduler_of_another_authority_is_not_trusted(self, tls_cluster: DaskCluster, tmp_path: Path) -> None:
        ours, others = certificates(tls_cluster.directory, "cluster"), certificates(tmp_path, "others")
        with pytest.raises(UnavailableError, match="self-signed certificate"):
            started(ClusterAddress(tls_cluster.url, Certificates(others.authority, ours.certificate, ours.key)))

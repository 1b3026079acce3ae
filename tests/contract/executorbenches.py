"""The implementations of the `Executor` port, on a loop of their own thread, and the processes behind them."""

from __future__ import annotations

from contextlib import suppress

import psutil

from jupyter_qsec.adapters.providers.daskaddress import DaskCluster as ClusterAddress
from jupyter_qsec.adapters.providers.dasklog import logging_kept
from jupyter_qsec.adapters.providers.simulator import SimulatorExecutor
from jupyter_qsec.application.ports import ExecutionLimits, ExecutionResult
from jupyter_qsec.domain.task import QuantumTask
from tests.fakes.dask_cluster import DaskCluster, ports_of, simulators_of
from tests.fakes.executor_thread import BELL, ExecutorThread, program, task
from tests.fakes.waiting import wait_for

LIMITS = ExecutionLimits(max_qubits=24, max_memory_bytes=200 << 20, max_seconds=3, max_result_bytes=256 << 10)
"""For all tests: each other set of limits would need other worker processes."""


class PoolBench(ExecutorThread):
    def __init__(self) -> None:
        super().__init__(SimulatorExecutor(1, LIMITS))

    def another(self) -> PoolBench:
        return PoolBench()

    def running(self, submitted: QuantumTask) -> int:
        """The process id of the simulator that runs a task, waiting until one does."""

        async def look() -> int:
            run = self.executor._running.get(submitted.id)
            return run.worker.pid if run and run.worker else 0

        return int(wait_for(lambda: self.call(look()), "a worker that takes the task"))


class DaskBench(ExecutorThread):
    def __init__(self, cluster: DaskCluster) -> None:
        with logging_kept():
            from jupyter_qsec.adapters.providers.daskexecutor import DaskExecutor
        self.cluster = cluster
        super().__init__(DaskExecutor(ClusterAddress(cluster.url), LIMITS))

    def __enter__(self) -> DaskBench:
        super().__enter__()
        return self.complete()

    def another(self) -> DaskBench:
        return DaskBench(self.cluster)

    def complete(self, workers: int = 2) -> DaskBench:
        """Wait until the cluster has that many workers, each with a simulator that is ready."""
        wait_for(lambda: self.executor.capacity == workers, f"{workers} Dask workers", 60)
        for outcome in [self.begin(self.executor.execute(task(1), program(BELL))) for _ in range(workers)]:
            assert isinstance(outcome.result(60), ExecutionResult)
        return self

    def place(self, submitted: QuantumTask, *, after: int = 0) -> int:
        """The process id of the Dask worker that has the task, waiting until one has; other than `after`."""

        async def look() -> str:
            run = self.executor._running.get(submitted.id)
            return run.member.address if run and run.member else ""

        def found() -> int:
            port = int(self.call(look()).rpartition(":")[2] or 0)
            pids = (worker.pid for worker in self.cluster.workers if port in ports_of(worker.pid))
            return next((pid for pid in pids if pid != after), 0)

        return wait_for(found, "a Dask worker that takes the task")

    def running(self, submitted: QuantumTask) -> int:
        worker = self.place(submitted)
        simulators: dict[int, psutil.Process] = {}

        def computing() -> int:
            for each in simulators_of(worker, LIMITS):
                with suppress(psutil.NoSuchProcess):
                    if simulators.setdefault(each.pid, each).cpu_percent(0.05) > 5:
                        return int(each.pid)
            return 0

        return wait_for(computing, "a simulator that computes")


Bench = PoolBench | DaskBench

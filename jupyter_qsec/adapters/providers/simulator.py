"""Runs tasks on embedded simulators, each in a worker process of its own: a crash, a runaway or a cancelled task costs
one process and no other task."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from jupyter_qsec.adapters.providers.frames import Frame, Kind
from jupyter_qsec.adapters.providers.workers import Worker, WorkerEndedError, worker_command, worker_environment
from jupyter_qsec.application.ports import ExecutionFailure, ExecutionLimits, ExecutionResult
from jupyter_qsec.domain.task import QuantumTask, TaskPayload
from jupyter_qsec.domain.times import rfc3339

_log = logging.getLogger(__name__)
MAX_WORKERS = 4
_BACKENDS = {
    "quantum-simulator/amazon/sv1": ("braket_sv", 1),
    "quantum-simulator/amazon/dm1": ("braket_dm", 2),
}
_RETRY_SECONDS = (0.5, 2.0, 10.0, 30.0)
GRACE_SECONDS = 0.1
"""Long for most tasks, and nothing beside the seconds in which a new worker starts."""
QUIET_SECONDS = 1.0
"""A gateway starts when JupyterLab, its server or a job do, which have more use for the processors in these moments."""
CANCELLED = ExecutionFailure("The task was cancelled.", cancelled=True)
UNKNOWN_DEVICE = ExecutionFailure("This device is not simulated here.")


def default_workers() -> int:
    """One for each processor but one, so that the gateway itself stays quick; at most four."""
    return min(MAX_WORKERS, max(1, (os.cpu_count() or 2) - 1))


def job_of(task: QuantumTask, payload: TaskPayload, limits: ExecutionLimits) -> Frame | None:
    """What a worker needs to know of a task, and not whose it is; `None` when its device is not simulated here."""
    backend = _BACKENDS.get(task.device_arn.partition("::device/")[2])
    if backend is None:
        return None
    name, bits_per_qubit = backend
    head = {
        "backend": name,
        "task_arn": task.arn,
        "device_arn": task.device_arn,
        "shots": task.shots,
        "created_at": rfc3339(task.created_at),
        "device_parameters": payload.device_parameters,
        "max_qubits": limits.max_qubits // bits_per_qubit,
        "max_result_bytes": limits.max_result_bytes,
    }
    return Frame(Kind.JOB, head, payload.action.encode())


@dataclass(slots=True, eq=False)
class _Run:
    """One execution: waiting for a worker, or running on one."""

    waiting: asyncio.Future[Worker] | None = None
    worker: Worker | None = None
    _cancelled: bool = False

    def cancelled(self) -> bool:
        return self._cancelled

    def cancel(self) -> None:
        self._cancelled = True


class SimulatorExecutor:
    """Implements the `Executor` port. Bound to the event loop that starts it."""

    def __init__(
        self,
        workers: int | None = None,
        limits: ExecutionLimits | None = None,
        *,
        threads: int | None = None,
        command: Sequence[str] | None = None,
        grace: float = GRACE_SECONDS,
        quiet: float = QUIET_SECONDS,
    ) -> None:
        """`threads` is for each worker; without it they share the processors of this machine. A cancelled execution
        that ends within `grace` seconds costs no worker. Workers start `quiet` seconds after this, or with the first
        task."""
        self._limits = limits or ExecutionLimits()
        self._grace = grace
        self._quiet = quiet
        self._later: asyncio.TimerHandle | None = None
        """Starts the workers, unless a task did."""
        self._capacity = max(1, workers if workers is not None else default_workers())
        self._threads = threads or max(1, (os.cpu_count() or 1) // self._capacity)
        self._command = list(command) if command is not None else worker_command(self._limits.max_memory_bytes)
        self._idle: list[Worker] = []
        self._waiters: deque[asyncio.Future[Worker]] = deque()
        self._running: dict[str, _Run] = {}
        self._keepers: set[asyncio.Task[None]] = set()
        self._problem = ""
        """Why the last attempt to start a worker failed; empty after one that succeeded."""
        self._closed = True

    @property
    def capacity(self) -> int:
        return self._capacity

    @property
    def common(self) -> bool:
        return False

    @property
    def busy(self) -> int:
        return sum(run.worker is not None for run in self._running.values())

    @property
    def obstacle(self) -> str:
        return ""

    async def start(self, on_room: Callable[[], None] = lambda: None) -> None:
        """Return at once; tasks wait for the first worker that is ready."""
        self._closed = False
        self._later = asyncio.get_running_loop().call_later(self._quiet, self._supply_all)

    def _supply_all(self) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None
            for _ in range(self._capacity):
                self._keep(self._supply())

    async def close(self) -> None:
        self._closed = True
        if self._later is not None:
            self._later.cancel()
            self._later = None
        keepers = list(self._keepers)
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(WorkerEndedError("the gateway is closing"))
        workers = [*self._idle, *(run.worker for run in self._running.values() if run.worker)]
        self._idle.clear()
        await asyncio.gather(*(worker.kill() for worker in workers))

    async def execute(self, task: QuantumTask, payload: TaskPayload) -> ExecutionResult | ExecutionFailure:
        job = job_of(task, payload, self._limits)
        return UNKNOWN_DEVICE if job is None else await self.run(task.id, job)

    async def run(self, task_id: str, job: Frame) -> ExecutionResult | ExecutionFailure:
        """What `execute` does, for a job that `job_of` made."""
        run = _Run()
        self._running[task_id] = run
        try:
            return await self._execute(run, job)
        finally:
            if self._running.get(task_id) is run:
                del self._running[task_id]
            if run.worker is not None:
                # Not given back below: it crashed, ran too long, or this coroutine was cancelled in the middle.
                self._keep(self._replace(run.worker))

    async def cancel(self, task_id: str) -> None:
        run = self._running.get(task_id)
        if run is None:
            return
        run.cancel()
        if run.worker is not None:
            asyncio.get_running_loop().call_later(self._grace, self._end, run)
        elif run.waiting is not None and not run.waiting.done():
            run.waiting.cancel()

    def _end(self, run: _Run) -> None:
        if run.worker is not None:
            self._keep(run.worker.kill())

    async def _execute(self, run: _Run, job: Frame) -> ExecutionResult | ExecutionFailure:
        try:
            worker = await self._take(run)
        except WorkerEndedError as problem:
            return ExecutionFailure(f"The simulator could not be started: {problem.cause}.")
        except asyncio.CancelledError:
            if run.cancelled():
                return CANCELLED
            raise
        if run.cancelled():
            self._give(worker)
            return CANCELLED
        run.worker = worker
        try:
            async with asyncio.timeout(self._limits.max_seconds):
                answer = await worker.run(job)
        except TimeoutError:
            if run.cancelled():
                return CANCELLED
            return ExecutionFailure(f"The task ran longer than the limit of {self._limits.max_seconds:g} s.")
        except WorkerEndedError as problem:
            if run.cancelled():
                return CANCELLED
            return ExecutionFailure(f"The simulator ended while it ran this task: {problem.cause}.")
        if worker.alive:
            run.worker = None
            self._give(worker)
        return CANCELLED if run.cancelled() else self._outcome(answer)

    @staticmethod
    def _outcome(answer: Frame) -> ExecutionResult | ExecutionFailure:
        if answer.kind is Kind.DONE:
            return ExecutionResult(answer.body, int(answer.head["duration_ms"]))
        return ExecutionFailure(str(answer.head.get("reason") or "The simulator gave no reason."))

    async def _take(self, run: _Run) -> Worker:
        """An idle worker; `WorkerEndedError` when there is none and none can be started."""
        if self._closed:
            raise WorkerEndedError("the gateway is closing")
        self._supply_all()
        while self._idle:
            worker = self._idle.pop()  # the one that ran last: it is warm, and has read what is likely to come again
            if worker.alive:
                return worker
            self._keep(self._replace(worker))
        if self._problem and not any(other.worker for other in self._running.values()):
            raise WorkerEndedError(self._problem)
        run.waiting = asyncio.get_running_loop().create_future()
        self._waiters.append(run.waiting)
        try:
            return await run.waiting
        except asyncio.CancelledError:
            if run.waiting.done() and not run.waiting.cancelled() and run.waiting.exception() is None:
                self._give(run.waiting.result())  # handed over in the same moment
            raise

    def _give(self, worker: Worker) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(worker)
                return
        self._idle.append(worker)

    async def _replace(self, worker: Worker) -> None:
        await worker.kill()
        if not self._closed:
            await self._supply()

    async def _supply(self) -> None:
        """Start one worker, trying again for as long as it takes."""
        attempt = 0
        environment = worker_environment(os.environ, self._threads)
        while not self._closed:
            try:
                worker = await Worker.start(self._command, environment, self._limits.max_result_bytes)
            except WorkerEndedError as problem:
                self._problem = problem.cause
                _log.error("a simulator worker did not start: %s", problem.cause)
                self._refuse_waiters(problem)
                await asyncio.sleep(_RETRY_SECONDS[min(attempt, len(_RETRY_SECONDS) - 1)])
                attempt += 1
            else:
                self._problem = ""
                self._give(worker)
                return

    def _refuse_waiters(self, problem: WorkerEndedError) -> None:
        if self._idle or any(run.worker for run in self._running.values()):
            return  # another worker will serve them
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(WorkerEndedError(problem.cause))

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._keepers.add(task)
        task.add_done_callback(self._keepers.discard)

"""Runs tasks on the workers of a Dask cluster. Only this and its sibling modules import `distributed`.

Each execution is a Dask task of one worker alone, which this module chooses: so it knows where an execution is, and
Dask never runs one twice or elsewhere by itself. What happens when a worker is lost is decided here."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from distributed import Future, KilledWorker

from jupyter_qsec.adapters.providers.daskaddress import DaskCluster
from jupyter_qsec.adapters.providers.daskcrew import Crew, Loss, Member
from jupyter_qsec.adapters.providers.dasklink import DaskLink
from jupyter_qsec.adapters.providers.dasksite import Answer, Parcel, execute_here
from jupyter_qsec.adapters.providers.frames import Frame
from jupyter_qsec.adapters.providers.simulator import CANCELLED, UNKNOWN_DEVICE, job_of
from jupyter_qsec.application.ports import ExecutionFailure, ExecutionLimits, ExecutionResult
from jupyter_qsec.domain.task import QuantumTask, TaskPayload

_log = logging.getLogger(__name__)
_ATTEMPTS = {Loss.WORKER: 2, Loss.CONNECTION: 3}
"""A program cannot end the worker it runs on, but what it costs may: no program is let loose on all workers in turn."""
_LOST = {
    Loss.WORKER: "The machine that ran this task was lost, and so was the one that ran it again.",
    Loss.CONNECTION: "The connection to the simulators was lost each time that this task ran.",
}
_FAILED = ExecutionFailure("The simulator failed.")
_CLOSING = ExecutionFailure("The simulator ended while it ran this task: the gateway is closing.")


@dataclass(slots=True, eq=False)
class _Run:
    """One execution with all its attempts."""

    work: asyncio.Task[ExecutionResult | ExecutionFailure] | None = None
    member: Member | None = None
    """Where it is now; `None` while it waits for a worker."""
    ending: ExecutionFailure | None = None
    """What it ended with when somebody else ended it."""

    def end(self, ending: ExecutionFailure) -> None:
        self.ending = self.ending or ending
        if self.work is not None:
            self.work.cancel()


class DaskExecutor:
    """Implements the `Executor` port. Bound to the event loop that starts it."""

    def __init__(self, cluster: DaskCluster, limits: ExecutionLimits | None = None) -> None:
        self._limits = limits or ExecutionLimits()
        self._crew = Crew()
        self._link = DaskLink(cluster, self._limits, self._crew)
        self._running: dict[str, _Run] = {}
        self._closed = True

    @property
    def capacity(self) -> int:
        return self._crew.capacity

    @property
    def common(self) -> bool:
        return True

    @property
    def busy(self) -> int:
        return sum(run.member is not None for run in self._running.values())

    @property
    def obstacle(self) -> str:
        if self.capacity > 0:
            return ""
        if not self._link.connected:
            return "The simulators cannot be reached at the moment: the Dask scheduler does not answer."
        return "No simulator is ready at the moment: the Dask cluster has no worker that can be used."

    async def start(self, on_room: Callable[[], None] = lambda: None) -> None:
        """`UnavailableError` when the scheduler cannot be reached. Workers join when they are ready."""
        self._crew.on_room = on_room
        await self._link.open()
        self._closed = False

    async def close(self) -> None:
        self._closed = True
        runs = list(self._running.values())
        for run in runs:
            run.end(_CLOSING)
        await asyncio.gather(*(run.work for run in runs if run.work is not None), return_exceptions=True)
        await self._link.close()

    async def execute(self, task: QuantumTask, payload: TaskPayload) -> ExecutionResult | ExecutionFailure:
        job = job_of(task, payload, self._limits)
        if job is None:
            return UNKNOWN_DEVICE
        if self._closed:
            return _CLOSING
        run = self._running[task.id] = _Run()
        run.work = asyncio.get_running_loop().create_task(self._carry_through(run, job))
        try:
            return await run.work
        except asyncio.CancelledError:
            if run.ending is None:
                raise
            return run.ending
        finally:
            if self._running.get(task.id) is run:
                del self._running[task.id]

    async def cancel(self, task_id: str) -> None:
        run = self._running.get(task_id)
        if run is not None:
            run.end(CANCELLED)

    async def _carry_through(self, run: _Run, job: Frame) -> ExecutionResult | ExecutionFailure:
        attempt = 0
        while True:
            await self._link.weigh()
            member = run.member = await self._crew.take()
            try:
                outcome = await self._attempt(member, job)
            finally:
                run.member = None
                self._crew.give(member)
            if not isinstance(outcome, Loss):
                return outcome
            attempt += 1
            _log.warning("a %s was lost while it ran a task (attempt %d)", outcome.value, attempt)
            if attempt >= _ATTEMPTS[outcome]:
                return ExecutionFailure(_LOST[outcome])

    async def _attempt(self, member: Member, job: Frame) -> ExecutionResult | ExecutionFailure | Loss:
        key = f"jupyter-qsec-{uuid.uuid4().hex}"
        parcel = Parcel(key, member.id, self._limits, job.head, job.body)
        try:
            future = member.client.submit(
                execute_here,
                parcel,
                key=key,
                workers=[member.address],
                allow_other_workers=False,
                retries=0,
                pure=False,
            )
        except Exception as problem:  # noqa: BLE001  # a client that is closing raises this, with the message in its text
            _log.error("a task could not be sent to Dask: %s", type(problem).__name__)
            self._crew.lose(member, Loss.CONNECTION)
            return Loss.CONNECTION
        answer = asyncio.get_running_loop().create_task(self._answer(future))
        try:
            ends: set[asyncio.Future[Any]] = {answer, member.lost}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                return member.lost.result()
            outcome = Loss.CONNECTION if answer.cancelled() else answer.result()
        finally:
            answer.cancel()
            future.release()  # nobody wants it any more: the worker ends what still runs
        if isinstance(outcome, Loss):
            self._crew.lose(member, outcome)
        return outcome

    async def _answer(self, future: Future) -> ExecutionResult | ExecutionFailure | Loss:
        try:
            answer = await future
        except KilledWorker:
            return Loss.WORKER
        except Exception as problem:  # noqa: BLE001  # of the other end
            if future.cancelled():
                return Loss.CONNECTION
            _log.error("Dask could not run a task: %s", type(problem).__name__)
            return _FAILED
        outcome = answer.outcome if isinstance(answer, Answer) else _FAILED
        if isinstance(outcome, ExecutionResult) and len(outcome.results_json) > self._limits.max_result_bytes:
            return _FAILED
        return Loss.WORKER if outcome is None else outcome

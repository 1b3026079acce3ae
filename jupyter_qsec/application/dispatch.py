"""Runs accepted tasks: fair turn → record → execute → store the result → settle and record the outcome.

A task that was accepted ends exactly once. Whatever the process was doing when it died, `recover` finds the task in the
store and finishes what was begun: a complete result becomes the task's outcome, anything less runs again.
"""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from jupyter_qsec.application import outcomes
from jupyter_qsec.application.ports import (
    Catalogue,
    Clock,
    Devices,
    ExecutionFailure,
    ExecutionResult,
    Executor,
    ResultStore,
    Store,
    TaskQuery,
)
from jupyter_qsec.application.taskbook import TaskBook
from jupyter_qsec.application.turns import Turns
from jupyter_qsec.domain.audit import AuditEvent
from jupyter_qsec.domain.errors import ConflictError, NotFoundError, QsecError
from jupyter_qsec.domain.task import QuantumTask, TaskPayload, TaskState

_log = logging.getLogger(__name__)

HOLD_SECONDS = 0.008
"""How long a new task stays in QUEUED, so that a client that cancels at once still can. A client that waits for the
task's end does not: then it starts at once."""
MAX_ATTEMPTS = 3
_PAYLOADS_IN_MEMORY = 32 << 20
_PAGE = 500
_BACK_OFF = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
_RESULT_ATTEMPTS = 4
_HASH_IN_LINE = 1 << 20

Answer = TypeVar("Answer")


class Dispatcher:
    def __init__(
        self,
        *,
        store: Store,
        book: TaskBook,
        executor: Executor,
        results: ResultStore,
        devices: Devices,
        catalogue: Catalogue,
        clock: Clock,
        hold: float = HOLD_SECONDS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._book = book
        self._executor = executor
        self._results = results
        self._devices = devices
        self._clock = clock
        self._hold = hold
        self._sleep = sleep
        self.turns = Turns(catalogue, executor)
        self._payloads: dict[str, TaskPayload] = {}
        self._payload_bytes = 0
        self._runs: dict[str, asyncio.Task[None]] = {}
        self._held: dict[str, asyncio.TimerHandle] = {}
        self._costs_of_held: dict[str, int] = {}
        self._closing = False

    # -- life
    async def start(self) -> None:
        """Start the executor and take up what an earlier process left."""
        await self._executor.start()
        await self.recover()

    async def close(self) -> None:
        """Stop. What runs is left as RUNNING in the store, and the next start runs it again."""
        self._closing = True
        for handle in self._held.values():
            handle.cancel()
        await self._executor.close()
        runs = list(self._runs.values())
        if runs:
            _, pending = await asyncio.wait(runs, timeout=5)
            for run in pending:
                run.cancel()
            await asyncio.gather(*pending, return_exceptions=True)

    async def recover(self) -> int:
        """Settle every task that the store holds as not ended; returns how many there were."""
        states = (TaskState.CREATED, TaskState.QUEUED, TaskState.RUNNING, TaskState.CANCELLING)
        found: list[QuantumTask] = []
        before = None
        while page := await self._store.tasks(TaskQuery(states=states, limit=_PAGE, before=before)):
            found += page
            before = (page[-1].created_at, page[-1].id)
        for task in sorted(found, key=lambda task: (task.created_at, task.id)):
            self._book.add(task)
            await self._recover_one(task)
        return len(found)

    async def _recover_one(self, task: QuantumTask) -> None:
        if task.state is TaskState.CANCELLING:
            await self._finish(task.id, outcomes.cancelled)
        elif task.state is TaskState.RUNNING:
            left = await self._result_left(task)
            if left is not None:
                await self._finish_completed(task.id, left, recovered=True)
            elif task.attempt >= MAX_ATTEMPTS:
                reason = f"The task did not survive {task.attempt} attempts to run it."
                await self._finish(task.id, lambda task, now: outcomes.failed(task, now, reason))
            else:
                again = await self._book.change(
                    task.id,
                    lambda task: task.moved(TaskState.QUEUED, started_at=None),
                    lambda task: [outcomes.event("task.requeued", task, self._clock.now(), "recovered")],
                )
                self.enqueue(again, hold=0)
        else:
            if task.state is TaskState.CREATED:
                task = await self._book.change(
                    task.id, lambda task: task.moved(TaskState.QUEUED, queued_at=self._clock.now()), lambda task: []
                )
            self.enqueue(task, hold=0)

    async def _result_left(self, task: QuantumTask) -> ExecutionResult | None:
        try:
            found = await self._results.get(task.tenant, task.output_bucket, outcomes.results_key(task))
        except (QsecError, OSError) as error:
            _log.error("the result of task %s cannot be read: %s", task.id, type(error).__name__)
            return None
        return outcomes.complete_result(task, found[1]) if found else None

    # -- queue
    def enqueue(
        self, task: QuantumTask, payload: TaskPayload | None = None, *, cost: int = 0, hold: float | None = None
    ) -> None:
        """Let a stored QUEUED task wait for its turn. `cost` is its estimated simulator time in ms."""
        self._book.add(task)
        if payload is not None:
            self._keep(task.id, payload)
        self.turns.arrive(task)
        delay = self._hold if hold is None else hold
        if delay <= 0:
            self._release(task, cost)
        else:
            self._held[task.id] = asyncio.get_running_loop().call_later(delay, self._release, task, cost)
            self._costs_of_held[task.id] = cost

    def _release(self, task: QuantumTask, cost: int) -> None:
        self._held.pop(task.id, None)
        self._costs_of_held.pop(task.id, None)
        self.turns.queue(task, cost)
        self._pump()

    def _pump(self) -> None:
        """Start whatever may run now."""
        while not self._closing:
            task_id = self.turns.next()
            if task_id is None:
                return
            # In a context of its own: a run belongs to no request, whichever made room for it.
            run = asyncio.get_running_loop().create_task(
                self._run(task_id), name=f"task {task_id}", context=contextvars.Context()
            )
            self._runs[task_id] = run

    async def _run(self, task_id: str) -> None:
        try:
            task = await self._begin(task_id)
            if task is not None:
                outcome = await self._execute(task)
                if not (self._closing and isinstance(outcome, ExecutionFailure)):
                    await self._end(task, outcome)
        except asyncio.CancelledError:
            raise
        except Exception:  # noqa: BLE001 - a defect here must cost one task, never the dispatcher
            _log.exception("task %s could not be carried through", task_id)
            reason = "The gateway failed while it ran the task."
            await self._finish(task_id, lambda task, now: outcomes.failed(task, now, reason))
        finally:
            self._drop(task_id)
            self._runs.pop(task_id, None)
            self.turns.leave(task_id)
            self._pump()

    async def _begin(self, task_id: str) -> QuantumTask | None:
        """Record RUNNING; `None` when the task was cancelled meanwhile."""

        def step(task: QuantumTask) -> QuantumTask:
            if task.state is not TaskState.QUEUED:
                return task
            return task.moved(TaskState.RUNNING, started_at=self._clock.now(), attempt=task.attempt + 1)

        def events(task: QuantumTask) -> list[AuditEvent]:
            return [outcomes.started_event(task, self._clock.now())]

        async def attempt() -> QuantumTask:
            return await self._book.change(task_id, step, events)

        task = await self._persist(attempt)
        return task if task is not None and task.state is TaskState.RUNNING else None

    async def _execute(self, task: QuantumTask) -> ExecutionResult | ExecutionFailure:
        payload = self._payloads.get(task.id) or await self._persist(lambda: self._store.payload(task.id))
        if payload is None:
            return ExecutionFailure("The program of this task is not stored any more.")
        try:
            outcome = await self._executor.execute(task, payload)
        except Exception:  # noqa: BLE001 - an executor that breaks its contract fails this task only
            _log.exception("the executor failed on task %s", task.id)
            return ExecutionFailure("The simulator failed.")
        if isinstance(outcome, ExecutionResult):
            return await self._store_result(task, outcome)
        return outcome

    async def _store_result(self, task: QuantumTask, outcome: ExecutionResult) -> ExecutionResult | ExecutionFailure:
        for pause in _BACK_OFF[:_RESULT_ATTEMPTS]:
            try:
                await self._results.put(
                    task.tenant,
                    task.output_bucket,
                    outcomes.results_key(task),
                    outcome.results_json,
                    "application/json",
                )
                return outcome
            except (QsecError, OSError) as error:
                _log.error("the result of task %s cannot be stored: %s", task.id, type(error).__name__)
                await self._sleep(pause)
        return ExecutionFailure("The result could not be stored: the gateway's disk refused it.")

    async def _end(self, task: QuantumTask, outcome: ExecutionResult | ExecutionFailure) -> None:
        if isinstance(outcome, ExecutionResult):
            await self._finish_completed(task.id, outcome)
            return

        def step(current: QuantumTask, now: datetime) -> QuantumTask:
            if current.state is TaskState.CANCELLING:
                return outcomes.cancelled(current, now)
            return outcomes.failed(current, now, outcome.reason or "The simulator failed.")

        await self._finish(task.id, step)

    async def _finish_completed(self, task_id: str, outcome: ExecutionResult, *, recovered: bool = False) -> None:
        content = outcome.results_json
        digest = _sha256(content) if len(content) < _HASH_IN_LINE else await asyncio.to_thread(_sha256, content)

        def step(task: QuantumTask, now: datetime) -> QuantumTask:
            cost = self._cost(task, outcome.duration_ms)
            return outcomes.completed(task, now, digest=digest, duration_ms=outcome.duration_ms, cost=cost)

        await self._finish(task_id, step, recovered=recovered)

    async def _finish(self, task_id: str, step: outcomes.Ending, *, recovered: bool = False) -> None:
        """Record how a task ended and settle its quota; keeps trying until it is recorded."""

        def ending(task: QuantumTask) -> QuantumTask:
            return task if task.state.terminal else step(task, self._clock.now())

        async def attempt() -> QuantumTask:
            return await self._book.change(
                task_id,
                ending,
                lambda task: [outcomes.ended_event(task, self._clock.now(), recovered=recovered)],
                settle=outcomes.used,
            )

        await self._persist(attempt)

    async def _persist(self, access: Callable[[], Awaitable[Answer]]) -> Answer | None:
        """Try until the store is there. `None` when the task has gone meanwhile, or this process ends."""
        pauses = iter(_BACK_OFF)
        pause = 0.0
        while True:
            try:
                return await access()
            except (NotFoundError, ConflictError) as error:
                _log.error("a task's state could not be changed: %s", error.message)
                return None
            except QsecError as error:
                pause = next(pauses, pause)
                _log.error("the store does not serve a task (%s), trying again in %.2f s", error.code, pause)
                if self._closing:
                    return None
                await self._sleep(pause)

    def _cost(self, task: QuantumTask, duration_ms: int) -> Decimal:
        device = self._devices.device(task.device_arn)
        if device is None:
            return task.estimate_usd
        return self._devices.estimate(device, task.shots, Decimal(duration_ms) / 1000).amount

    # -- asked by others
    async def cancel(self, task_id: str, by: str) -> QuantumTask:
        """Cancel a task that has not ended; `ConflictError` when it has. `by` is the principal, for the record."""

        def step(task: QuantumTask) -> QuantumTask:
            if task.state.terminal:
                raise ConflictError(f"The task is {task.state} and cannot be cancelled.")
            if task.state is TaskState.CANCELLING:
                return task
            if task.state is TaskState.RUNNING:
                return task.moved(TaskState.CANCELLING)
            return outcomes.cancelled(task, self._clock.now())

        def events(task: QuantumTask) -> list[AuditEvent]:
            kind = "task.cancelling" if task.state is TaskState.CANCELLING else "task.cancelled"
            return [outcomes.event(kind, task, self._clock.now(), "cancelled", by=by)]

        task = await self._book.change(task_id, step, events, settle=lambda task: () if task.state.terminal else None)
        if task.state is TaskState.CANCELLING:
            await self._executor.cancel(task_id)
        else:
            handle = self._held.pop(task_id, None)
            self._costs_of_held.pop(task_id, None)
            if handle is not None:
                handle.cancel()
            self.turns.leave(task_id)
            self._drop(task_id)
        return task

    async def wait_for_change(self, task_id: str, timeout: float) -> QuantumTask | None:
        """The task after its next change, or as it is after `timeout` seconds. Ends the hold of a new task."""
        handle, task = self._held.get(task_id), self._book.known(task_id)
        if handle is not None and task is not None:
            handle.cancel()
            self._release(task, self._costs_of_held[task_id])
        await self._book.wait(task_id, timeout)
        return await self._book.get(task_id)

    # -- payloads
    def _keep(self, task_id: str, payload: TaskPayload) -> None:
        size = len(payload.action) + len(payload.device_parameters)
        if self._payload_bytes + size <= _PAYLOADS_IN_MEMORY:
            self._payloads[task_id] = payload
            self._payload_bytes += size

    def _drop(self, task_id: str) -> None:
        payload = self._payloads.pop(task_id, None)
        if payload is not None:
            self._payload_bytes -= len(payload.action) + len(payload.device_parameters)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


__all__ = ["HOLD_SECONDS", "MAX_ATTEMPTS", "Dispatcher"]

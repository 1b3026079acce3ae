"""One task from its start to its end: execute → store the result → settle and record the outcome.

Whoever dispatches, alone or beside others, carries tasks through with a `Runner`. Where a task runs under a claim, all
that is recorded of it is recorded as the claim's holder: who lost it writes nothing more.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from jupyter_qsec.application import outcomes
from jupyter_qsec.application.ports import (
    Clock,
    Devices,
    ExecutionFailure,
    ExecutionResult,
    Executor,
    ResultStore,
    Store,
)
from jupyter_qsec.application.taskbook import TaskBook
from jupyter_qsec.domain.audit import AuditEvent
from jupyter_qsec.domain.errors import ClaimLostError, ConflictError, NotFoundError, QsecError
from jupyter_qsec.domain.quota import Charge
from jupyter_qsec.domain.task import QuantumTask, TaskPayload, TaskState

_log = logging.getLogger(__name__)

MAX_ATTEMPTS = 3
_PAYLOADS_IN_MEMORY = 32 << 20
_BACK_OFF = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
_RESULT_ATTEMPTS = 4
_HASH_IN_LINE = 1 << 20

Answer = TypeVar("Answer")


class Runner:
    def __init__(
        self,
        *,
        store: Store,
        book: TaskBook,
        executor: Executor,
        results: ResultStore,
        devices: Devices,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._book = book
        self._executor = executor
        self._results = results
        self._devices = devices
        self._clock = clock
        self._sleep = sleep
        self._payloads: dict[str, TaskPayload] = {}
        self._payload_bytes = 0
        self.closing = False
        """The process ends: an execution that was broken off is no outcome, and nothing is tried again."""

    # -- a task that runs
    def begun(self, task: QuantumTask) -> QuantumTask:
        """The waiting task as one that runs from now on."""
        return task.moved(TaskState.RUNNING, started_at=self._clock.now(), attempt=task.attempt + 1)

    def started_event(self, task: QuantumTask) -> AuditEvent:
        return outcomes.started_event(task, self._clock.now())

    async def carry(self, task: QuantumTask, *, claimed_by: str = "") -> None:
        """Execute a RUNNING task and record how it ended."""
        outcome = await self._execute(task, claimed_by)
        if not (self.closing and isinstance(outcome, ExecutionFailure)):
            await self._end(task, outcome, claimed_by)

    async def give_up(self, task_id: str, reason: str, *, claimed_by: str = "") -> None:
        """Record that a task failed."""
        await self._finish(task_id, lambda task, now: outcomes.failed(task, now, reason), claimed_by=claimed_by)

    # -- a task that somebody else has begun
    async def recover(self, task: QuantumTask, *, claimed_by: str = "") -> QuantumTask | None:
        """Finish what a dead process had begun: the task as it waits to run again, or `None` when it has ended."""
        if task.state is TaskState.CANCELLING:
            await self._finish(task.id, outcomes.cancelled, claimed_by=claimed_by)
            return None
        left = await self._result_left(task)
        if left is not None:
            await self._finish_completed(task.id, left, recovered=True, claimed_by=claimed_by)
            return None
        if task.attempt >= MAX_ATTEMPTS:
            reason = f"The task did not survive {task.attempt} attempts to run it."
            await self.give_up(task.id, reason, claimed_by=claimed_by)
            return None
        return await self._requeue(task, "recovered", task.attempt, claimed_by)

    async def give_back(self, task: QuantumTask, *, claimed_by: str) -> None:
        """Let a task wait again because this process ends in order: that attempt does not count against it."""
        if task.state is TaskState.CANCELLING:
            await self._finish(task.id, outcomes.cancelled, claimed_by=claimed_by)
        elif task.state is TaskState.RUNNING:
            await self._requeue(task, "given-back", task.attempt - 1, claimed_by)

    async def _requeue(self, task: QuantumTask, outcome: str, attempt: int, claimed_by: str) -> QuantumTask | None:
        """RUNNING → QUEUED; a task that was cancelled at this moment ends."""

        def step(task: QuantumTask) -> QuantumTask:
            if task.state is TaskState.CANCELLING:
                return outcomes.cancelled(task, self._clock.now())
            return task.moved(TaskState.QUEUED, started_at=None, attempt=attempt)

        def events(task: QuantumTask) -> list[AuditEvent]:
            if task.state.terminal:
                return [outcomes.ended_event(task, self._clock.now(), recovered=True)]
            return [outcomes.event("task.requeued", task, self._clock.now(), outcome)]

        def settle(task: QuantumTask) -> tuple[Charge, ...] | None:
            return outcomes.used(task) if task.state.terminal else None

        again = await self.persist(
            lambda: self._book.change(task.id, step, events, settle=settle, claimed_by=claimed_by)
        )
        return again if again is not None and again.state is TaskState.QUEUED else None

    async def _result_left(self, task: QuantumTask) -> ExecutionResult | None:
        try:
            found = await self._results.get(task.tenant, task.output_bucket, outcomes.results_key(task))
        except (QsecError, OSError) as error:
            _log.error("the result of task %s cannot be read: %s", task.id, type(error).__name__)
            return None
        return outcomes.complete_result(task, found[1]) if found else None

    # -- steps
    async def _execute(self, task: QuantumTask, claimed_by: str) -> ExecutionResult | ExecutionFailure:
        payload = self._payloads.get(task.id) or await self.persist(lambda: self._store.payload(task.id))
        if payload is None:
            return ExecutionFailure("The program of this task is not stored any more.")
        known = self._book.known(task.id)
        if known is not None and known.state is TaskState.CANCELLING:  # before there was an execution to cancel
            return ExecutionFailure("The task was cancelled.", cancelled=True)
        try:
            outcome = await self._executor.execute(task, payload)
        except Exception:  # noqa: BLE001 - an executor that breaks its contract fails this task only
            _log.exception("the executor failed on task %s", task.id)
            return ExecutionFailure("The simulator failed.")
        if isinstance(outcome, ExecutionResult):
            return await self._store_result(task, outcome, claimed=bool(claimed_by))
        return outcome

    async def _store_result(
        self, task: QuantumTask, outcome: ExecutionResult, *, claimed: bool
    ) -> ExecutionResult | ExecutionFailure:
        for pause in _BACK_OFF[:_RESULT_ATTEMPTS]:
            try:
                return await (self._store_first(task, outcome) if claimed else self._put(task, outcome))
            except (QsecError, OSError) as error:
                _log.error("the result of task %s cannot be stored: %s", task.id, type(error).__name__)
                await self._sleep(pause)
        return ExecutionFailure("The result could not be stored: the gateway's disk refused it.")

    async def _put(self, task: QuantumTask, outcome: ExecutionResult) -> ExecutionResult:
        place = (task.tenant, task.output_bucket, outcomes.results_key(task))
        await self._results.put(*place, outcome.results_json, "application/json")
        return outcome

    async def _store_first(self, task: QuantumTask, outcome: ExecutionResult) -> ExecutionResult:
        """Store the result unless there is one. A worker that has lost its claim without knowing may store at any
        moment: so the first result counts, whoever stored it, and none is ever replaced."""
        place = (task.tenant, task.output_bucket, outcomes.results_key(task))
        if await self._results.put_new(*place, outcome.results_json, "application/json"):
            return outcome
        return await self._result_left(task) or await self._put(task, outcome)

    async def _end(self, task: QuantumTask, outcome: ExecutionResult | ExecutionFailure, claimed_by: str) -> None:
        if isinstance(outcome, ExecutionResult):
            await self._finish_completed(task.id, outcome, claimed_by=claimed_by)
            return

        def step(current: QuantumTask, now: datetime) -> QuantumTask:
            if current.state is TaskState.CANCELLING:
                return outcomes.cancelled(current, now)
            return outcomes.failed(current, now, outcome.reason or "The simulator failed.")

        await self._finish(task.id, step, claimed_by=claimed_by)

    async def _finish_completed(
        self, task_id: str, outcome: ExecutionResult, *, claimed_by: str, recovered: bool = False
    ) -> None:
        content = outcome.results_json
        digest = _sha256(content) if len(content) < _HASH_IN_LINE else await asyncio.to_thread(_sha256, content)

        def step(task: QuantumTask, now: datetime) -> QuantumTask:
            cost = self._cost(task, outcome.duration_ms)
            return outcomes.completed(task, now, digest=digest, duration_ms=outcome.duration_ms, cost=cost)

        await self._finish(task_id, step, recovered=recovered, claimed_by=claimed_by)

    async def _finish(self, task_id: str, step: outcomes.Ending, *, claimed_by: str, recovered: bool = False) -> None:
        """Record how a task ended and settle its quota; keeps trying until it is recorded."""

        def ending(task: QuantumTask) -> QuantumTask:
            return task if task.state.terminal else step(task, self._clock.now())

        async def attempt() -> QuantumTask:
            return await self._book.change(
                task_id,
                ending,
                lambda task: [outcomes.ended_event(task, self._clock.now(), recovered=recovered)],
                settle=outcomes.used,
                claimed_by=claimed_by,
            )

        await self.persist(attempt)

    async def persist(self, access: Callable[[], Awaitable[Answer]]) -> Answer | None:
        """Try until the store is there. `None` when the task or its claim has gone meanwhile, or this process ends."""
        pauses = iter(_BACK_OFF)
        pause = 0.0
        while True:
            try:
                return await access()
            except (NotFoundError, ConflictError, ClaimLostError) as error:
                _log.error("a task's state could not be changed: %s", error.message)
                return None
            except QsecError as error:
                pause = next(pauses, pause)
                _log.error("the store does not serve a task (%s), trying again in %.2f s", error.code, pause)
                if self.closing:
                    return None
                await self._sleep(pause)

    def _cost(self, task: QuantumTask, duration_ms: int) -> Decimal:
        device = self._devices.device(task.device_arn)
        if device is None:
            return task.estimate_usd
        return self._devices.estimate(device, task.shots, Decimal(duration_ms) / 1000).amount

    # -- payloads
    def keep(self, task_id: str, payload: TaskPayload) -> None:
        size = len(payload.action) + len(payload.device_parameters)
        if self._payload_bytes + size <= _PAYLOADS_IN_MEMORY:
            self._payloads[task_id] = payload
            self._payload_bytes += size

    @property
    def kept(self) -> frozenset[str]:
        """The tasks whose payloads are in memory."""
        return frozenset(self._payloads)

    def drop(self, task_id: str) -> None:
        payload = self._payloads.pop(task_id, None)
        if payload is not None:
            self._payload_bytes -= len(payload.action) + len(payload.device_parameters)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

"""An executor whose executions end when the test says so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from jupyter_qsec.application.ports import ExecutionFailure, ExecutionResult
from jupyter_qsec.domain.task import QuantumTask, TaskPayload


def results_document(task: QuantumTask, *, duration_ms: int = 7) -> bytes:
    """A document that names its task, as the real executor writes it."""
    return json.dumps(
        {
            "taskMetadata": {"id": task.arn},
            "additionalMetadata": {"simulatorMetadata": {"executionDuration": duration_ms}},
            "measurements": [[0, 0], [1, 1]],
        }
    ).encode()


class FakeExecutor:
    """Implements the `Executor` port. Unless `manual`, an execution succeeds at once."""

    def __init__(self, capacity: int = 2, *, manual: bool = False) -> None:
        self._capacity = capacity
        self.common = False
        self.manual = manual
        self.started = False
        self.executed: list[str] = []
        self.payloads: dict[str, TaskPayload] = {}
        self.cancelled: list[str] = []
        self.raises: Exception | None = None
        self._running: dict[str, tuple[QuantumTask, asyncio.Future[ExecutionResult | ExecutionFailure]]] = {}

    async def start(self, on_room: Callable[[], None] = lambda: None) -> None:
        self.started = True
        self._on_room = on_room

    async def close(self) -> None:
        for task_id in list(self._running):
            self.end(task_id, ExecutionFailure("The gateway ends.", cancelled=True))

    @property
    def capacity(self) -> int:
        return self._capacity

    @property
    def busy(self) -> int:
        return len(self._running)

    @property
    def obstacle(self) -> str:
        return "" if self._capacity else "No simulator is there."

    def resize(self, capacity: int) -> None:
        """Workers come or go."""
        grown, self._capacity = capacity > self._capacity, capacity
        if grown:
            self._on_room()

    @property
    def running(self) -> list[str]:
        return list(self._running)

    async def execute(self, task: QuantumTask, payload: TaskPayload) -> ExecutionResult | ExecutionFailure:
        self.executed.append(task.id)
        self.payloads[task.id] = payload
        if self.raises is not None:
            raise self.raises
        if not self.manual:
            return ExecutionResult(results_document(task), 7)
        future: asyncio.Future[ExecutionResult | ExecutionFailure] = asyncio.get_running_loop().create_future()
        self._running[task.id] = (task, future)
        try:
            return await future
        finally:
            self._running.pop(task.id, None)

    async def cancel(self, task_id: str) -> None:
        self.cancelled.append(task_id)
        if task_id in self._running:
            self.end(task_id, ExecutionFailure("Cancelled.", cancelled=True))

    def end(self, task_id: str, outcome: ExecutionResult | ExecutionFailure | None = None) -> None:
        """Let an execution end; without an outcome it succeeds."""
        task, future = self._running[task_id]
        if not future.done():
            future.set_result(outcome or ExecutionResult(results_document(task), 7))

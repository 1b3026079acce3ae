"""Runs a real executor on an event loop of its own thread, so that many tests share its worker processes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from jupyter_qsec.adapters.providers.simulator import SimulatorExecutor
from jupyter_qsec.application.ports import ExecutionFailure, ExecutionResult
from jupyter_qsec.domain.task import QuantumTask, TaskPayload

T = TypeVar("T")


class ExecutorThread:
    """`with ExecutorThread(SimulatorExecutor(1)) as executor: executor.execute(task, payload)`."""

    def __init__(self, executor: SimulatorExecutor) -> None:
        self.executor = executor
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> ExecutorThread:
        self._thread.start()
        self.call(self.executor.start())
        return self

    def __exit__(self, *_: object) -> None:
        self.call(self.executor.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        return self.begin(work).result(60)

    def execute(self, task: QuantumTask, payload: TaskPayload) -> ExecutionResult | ExecutionFailure:
        return self.call(self.executor.execute(task, payload))

    def workers(self) -> list[int]:
        """Process ids of the idle workers."""

        async def look() -> list[int]:
            return [worker.pid for worker in self.executor._idle]

        return self.call(look())

"""Runs a real executor on an event loop of its own thread, so that many tests share its worker processes; and the tasks
and programs that such tests hand to it."""

from __future__ import annotations

import asyncio
import json
import threading
import uuid
from collections.abc import Coroutine
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any, Self, TypeVar

from braket.circuits import Circuit
from braket.circuits.serialization import IRType
from braket.device_schema import GateModelParameters
from braket.device_schema.simulators import GateModelSimulatorDeviceParameters

from jupyter_qsec.application.ports import ExecutionFailure, ExecutionResult
from jupyter_qsec.domain.task import QuantumTask, TaskPayload

T = TypeVar("T")


class ExecutorThread:
    """`with ExecutorThread(SimulatorExecutor(1)) as executor: executor.execute(task, payload)`."""

    def __init__(self, executor: Any) -> None:
        self.executor = executor
        """Implements the `Executor` port."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
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
        result: ExecutionResult | ExecutionFailure = self.call(self.executor.execute(task, payload))
        return result

    def workers(self) -> list[int]:
        """Process ids of the idle workers of a process pool."""

        async def look() -> list[int]:
            return [worker.pid for worker in self.executor._idle]

        return self.call(look())


DEVICE = "arn:aws:braket:::device/quantum-simulator/amazon/"


def task(shots: int = 100, device: str = "sv1") -> QuantumTask:
    return QuantumTask(
        id=str(uuid.uuid4()),
        tenant="sandbox",
        project="first",
        principal="os:ada",
        lease_id="l" * 32,
        lane="tutorial/sandbox/simulator",
        region="us-east-1",
        account="100000000001",
        device_arn=DEVICE + device,
        shots=shots,
        qubits=2,
        action_digest="",
        request_digest="",
        client_token="",
        output_bucket="bucket",
        output_prefix="tasks",
        created_at=datetime(2026, 3, 1, 12, 0, 0, 5000, tzinfo=UTC),
    )


def program(circuit: Circuit) -> TaskPayload:
    parameters = GateModelSimulatorDeviceParameters(
        paradigmParameters=GateModelParameters(qubitCount=circuit.qubit_count)
    )
    return TaskPayload(circuit.to_ir(ir_type=IRType.OPENQASM).json(), parameters.json(exclude_none=True))


def openqasm(source: str, **inputs: Any) -> TaskPayload:
    header = {"name": "braket.ir.openqasm.program", "version": "1"}
    return TaskPayload(json.dumps({"braketSchemaHeader": header, "source": source, "inputs": inputs}))


SLOW = openqasm("qubit q;\nfor int i in [0:999999] { h q; }")
BELL = Circuit().h(0).cnot(0, 1)


def reason(outcome: ExecutionResult | ExecutionFailure) -> str:
    assert isinstance(outcome, ExecutionFailure), outcome
    return outcome.reason

"""Devices, what runs tasks on them, and where the results lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from jupyter_qsec.domain.money import CostEstimate
from jupyter_qsec.domain.task import QuantumTask, TaskPayload
from jupyter_qsec.domain.tenant import DeviceKind


@dataclass(frozen=True, slots=True)
class ExecutionLimits:
    """Bounds of one execution on an embedded simulator."""

    max_qubits: int = 25
    max_memory_bytes: int = 4 << 30
    max_seconds: float = 600.0
    max_result_bytes: int = 64 << 20


@dataclass(frozen=True, slots=True)
class ExecutionResult:
    """A successful execution."""

    results_json: bytes
    """The Braket results document of the action's kind, complete but for nothing."""
    duration_ms: int


@dataclass(frozen=True, slots=True)
class ExecutionFailure:
    """The execution ended without a result; `reason` is for the task's owner and names no path or host."""

    reason: str
    cancelled: bool = False


class Executor(Protocol):
    """Runs tasks. Results depend on the payload alone; a crash of the process that runs one is a failure here."""

    async def start(self, on_room: Callable[[], None] = ...) -> None:
        """`on_room` is called whenever `capacity` has grown. `UnavailableError` when what executes is not there."""
        ...

    async def close(self) -> None:
        """End all workers; running executions end as failures."""
        ...

    @property
    def capacity(self) -> int:
        """How many executions can run at once, at this moment; may be none."""
        ...

    @property
    def common(self) -> bool:
        """Whether other processes on the same store run theirs in the same place, so that `capacity` is of all."""
        ...

    @property
    def obstacle(self) -> str:
        """Why `capacity` is 0, for owners of waiting tasks; empty when it is not."""
        ...

    @property
    def busy(self) -> int:
        """How many run now."""
        ...

    async def execute(self, task: QuantumTask, payload: TaskPayload) -> ExecutionResult | ExecutionFailure: ...

    async def cancel(self, task_id: str) -> None:
        """End that execution if it runs; its `execute` returns a cancelled failure."""
        ...


@dataclass(frozen=True, slots=True)
class Device:
    """A device as the gateway offers it."""

    arn: str
    name: str
    provider: str
    kind: DeviceKind
    status: str
    """`ONLINE`, `OFFLINE` or `RETIRED`."""
    capabilities: str
    """The Braket capabilities document as JSON text."""
    region: str
    """Empty for simulators that are offered in every region."""
    max_qubits: int
    max_shots: int


class Devices(Protocol):
    def devices(self) -> Sequence[Device]: ...

    def device(self, arn: str) -> Device | None: ...

    def estimate(self, device: Device, shots: int, seconds: Decimal) -> CostEstimate:
        """Cost of a task that runs `seconds` on a simulator, or `shots` on hardware."""
        ...


@dataclass(frozen=True, slots=True)
class StoredObject:
    key: str
    size: int
    etag: str
    """MD5 of the content in hex, as S3 gives it for single-part uploads."""
    modified_at: datetime
    content_type: str = "application/octet-stream"


class ResultStore(Protocol):
    """Objects by tenant, bucket and key. Writes are atomic and durable; a key can never leave its tenant's tree."""

    async def put(self, tenant: str, bucket: str, key: str, content: bytes, content_type: str) -> StoredObject: ...

    async def put_new(self, tenant: str, bucket: str, key: str, content: bytes, content_type: str) -> bool:
        """Store an object unless there is one of that key; whether it was stored."""
        ...

    async def get(self, tenant: str, bucket: str, key: str) -> tuple[StoredObject, bytes] | None: ...

    async def head(self, tenant: str, bucket: str, key: str) -> StoredObject | None: ...

    async def delete(self, tenant: str, bucket: str, key: str) -> None: ...

    async def list(self, tenant: str, bucket: str, prefix: str, limit: int, after: str = "") -> Sequence[StoredObject]:
        """Objects with keys greater than `after`, in key order."""
        ...

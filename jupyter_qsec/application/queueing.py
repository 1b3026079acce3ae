"""The port behind which accepted tasks wait and run, alone in this process or shared with others."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from jupyter_qsec.domain.task import QuantumTask, TaskPayload, WaitReason


class Dispatch(Protocol):
    async def start(self) -> None:
        """Start the executor and take up what waits in the store."""
        ...

    async def close(self) -> None:
        """Stop. What still runs is left so that it runs again elsewhere or at the next start."""
        ...

    def admitted(self, task: QuantumTask, *, cost: int) -> QuantumTask:
        """The task as it is to be stored: as one that runs, when it may start this moment, and then its place is kept
        until `enqueue` or `withdraw`. `cost` is its estimated simulator time in ms."""
        ...

    def withdraw(self, task: QuantumTask) -> None:
        """An admitted task was not stored: somebody else may have its place."""
        ...

    def enqueue(self, task: QuantumTask, payload: TaskPayload | None = None, *, cost: int = 0) -> None:
        """Let a stored task start, if it was admitted as one that runs, or wait for its turn."""
        ...

    async def cancel(self, task_id: str, by: str) -> QuantumTask:
        """Cancel a task that has not ended; `ConflictError` when it has. `by` is the principal, for the record."""
        ...

    async def wait_for_change(self, task: QuantumTask, timeout: float) -> QuantumTask | None:
        """The task after its next change, or as it is after `timeout` seconds."""
        ...

    async def imminent(self, task: QuantumTask) -> bool:
        """Whether the task runs, or will soon: few of its tenant's tasks are before it."""
        ...

    async def position(self, task: QuantumTask) -> int | None:
        """1 for the first of its tenant's waiting tasks; `None` when it does not wait in line."""
        ...

    async def reasons(self, task: QuantumTask) -> Sequence[WaitReason]:
        """Every reason why a task does not run yet, with its quantities; empty when it does not wait."""
        ...

    def pausing(self, tenant: str) -> AbstractContextManager[None]:
        """While a pause of the tenant is written, and once it is, none of its tasks starts."""
        ...

    async def pauses_changed(self) -> None:
        """A tenant was resumed in the store: keep to what is stored from now on."""
        ...

    @property
    def in_charge(self) -> bool:
        """Whether this is the one of the processes on one store that does what one of them should."""
        ...

    @property
    def load(self) -> tuple[int, int]:
        """How many tasks run in this process, and how many wait in its own queue: none, where the queue is shared."""
        ...

    async def counts(self, tenant: str = "") -> tuple[int, int]:
        """How many tasks run and how many wait, of one tenant or of all."""
        ...

"""The ports of what gateway processes that share one store agree on: who runs which task, and which signatures were
seen. A process that has its store for itself needs neither.

A claim is a task that one worker runs; a worker is on the list while it lives. That takes no clock: a worker counts
its beats, and whoever sees another's count stand still for long enough takes its claims over. From then on nothing that
the former holder still writes about the task is accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from jupyter_qsec.domain.audit import AuditEvent
from jupyter_qsec.domain.task import QuantumTask, TaskState

Begin = Callable[[QuantumTask], tuple[QuantumTask, Sequence[AuditEvent]]]
"""A waiting task as one that runs, and the records of that. Pure, and called on any thread."""


@dataclass(frozen=True, slots=True)
class Share:
    """What a tenant may have of the workers."""

    weight: float
    most_running: int
    """Tasks at once, over all workers."""


@dataclass(frozen=True, slots=True)
class Glance:
    """What a worker looks at often."""

    claims: Mapping[str, TaskState]
    """The tasks that it has claimed."""
    waiting: bool
    """Whether any task waits."""


@dataclass(frozen=True, slots=True)
class Line:
    """The queue at one moment."""

    waiting: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By tenant the ids of its waiting tasks, the next one first."""
    running: Mapping[str, int] = field(default_factory=dict)
    """By tenant how many run."""
    capacity: int = 0
    """How many can run at once, over all workers."""


class Claims(Protocol):
    """Errors are those of `Store`; `ClaimLostError` when the worker was struck off the list meanwhile."""

    async def enlist(self, worker: str, capacity: int) -> None:
        """Put a new worker on the list. Each takes a name that was never used."""
        ...

    async def beat(self, worker: str) -> Mapping[str, int]:
        """Count a beat of this worker; the beats of all on the list. Who has claims without being on it has -1."""
        ...

    async def strike_off(self, worker: str) -> None:
        """Take a worker from the list. What it still claims may be taken over at once."""
        ...

    async def claim(
        self, worker: str, most: int, share_of: Callable[[str], Share], begin: Begin, *, in_all: int | None = None
    ) -> Sequence[QuantumTask]:
        """Claim up to `most` waiting tasks in fair turns, store what `begin` makes of each, with its records, in one
        transaction, and return them. Tenants whose share is used up are passed over. `in_all`: so many may run over all
        workers, where they run their tasks in the same place."""
        ...

    async def take_over(self, worker: str, silent: str, beats: int) -> Sequence[QuantumTask]:
        """All claims of a silent worker, from now on those of `worker`; the silent one is struck off. Nothing, when its
        beats are not these any more."""
        ...

    async def glance(self, worker: str) -> Glance: ...

    async def line(self, tenant: str = "") -> Line:
        """The queue of one tenant, or of all."""
        ...

    async def time(self) -> datetime:
        """By the one clock that all who share the store can read."""
        ...

    async def revisions(self, task_ids: Sequence[str]) -> Mapping[str, int]:
        """The revisions of these tasks, to see whether they have changed."""
        ...


class Signatures(Protocol):
    """The record of request signatures that several processes keep together."""

    async def first_seen(self, signature: bytes, signed_at: datetime) -> float | None:
        """Note a signature: `None` for one that was never seen, else the seconds since it was first. Durable before it
        returns. `UnavailableError` when it cannot be noted."""
        ...

    async def forget(self, signed_before: datetime) -> None:
        """Drop those that were signed before."""
        ...

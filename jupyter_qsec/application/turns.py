"""Whose turn it is, and why a task does not run yet.

What is said about a wait speaks of the asker's own tenant alone: whether it is held up by one other tenant or by fifty
looks the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from jupyter_qsec.application.claims import Share
from jupyter_qsec.application.ports import Catalogue, Executor
from jupyter_qsec.domain.fairness import FairQueue
from jupyter_qsec.domain.task import QuantumTask, TaskState, WaitReason

_BATCH_WIDTH = 10
"""So many tasks the SDK's `run_batch` keeps open at once."""
_SHARE_OF_OTHERS = Share(weight=1, most_running=1)


class Turns:
    """The fair queue with its caps: tasks at once per tenant, and executions at once in all."""

    def __init__(self, catalogue: Catalogue, executor: Executor) -> None:
        self._catalogue = catalogue
        self._executor = executor
        self._fair = FairQueue()
        self._tenant_of: dict[str, str] = {}
        self._running: dict[str, str] = {}
        self._running_by_tenant: Counter[str] = Counter()
        self.paused: frozenset[str] = frozenset()
        """Tenants none of whose tasks may start."""
        self.held: set[str] = set()
        """Tenants that are being paused."""

    def queue(self, task: QuantumTask, cost: int) -> None:
        """Put a task in line; `cost` in milliseconds of simulator time."""
        self._tenant_of[task.id] = task.tenant
        weight = share_of(self._catalogue, task.tenant).weight
        self._fair.push(task.tenant, task.id, cost=max(1, cost), weight=weight)

    def next(self) -> str | None:
        """Take the task whose turn it is, or `None` when nothing may start now."""
        if len(self._running) >= self._executor.capacity:
            return None
        task_id = self._fair.pop(self._may_start)
        if task_id is not None:
            tenant = self._tenant_of[task_id]
            self._running[task_id] = tenant
            self._running_by_tenant[tenant] += 1
        return task_id

    def take(self, task: QuantumTask, cost: int) -> bool:
        """Take a new task's turn at once, when nobody is in line and it may start now."""
        if len(self._fair) or len(self._running) >= self._executor.capacity or not self._may_start(task.tenant):
            return False
        self.queue(task, cost)
        return self.next() == task.id

    def leave(self, task_id: str) -> None:
        """The task waits and runs no more."""
        self._fair.remove(task_id)
        self._tenant_of.pop(task_id, None)
        tenant = self._running.pop(task_id, None)
        if tenant is not None:
            self._running_by_tenant[tenant] -= 1

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def waiting(self) -> int:
        return len(self._tenant_of) - len(self._running)

    def imminent(self, task: QuantumTask) -> bool:
        """Whether the task runs, or will soon: few of its tenant's tasks are before it."""
        if task.state in (TaskState.RUNNING, TaskState.CANCELLING) or task.id in self._running:
            return True
        ahead = self._fair.ahead(task.id)
        return task.id in self._tenant_of if ahead is None else soon(ahead, self._cap(task.tenant))

    def position(self, task: QuantumTask) -> int | None:
        """1 for the first of its tenant's waiting tasks; `None` when it does not wait in line."""
        ahead = self._fair.ahead(task.id)
        return None if ahead is None else ahead + 1

    def reasons(self, task: QuantumTask) -> Sequence[WaitReason]:
        """Every reason why a task of ours does not run yet, with its quantities; empty when it does not wait."""
        if task.id in self._running:
            return ()
        executor, own = self._executor, self._running_by_tenant[task.tenant]
        return wait_reasons(
            task,
            self._fair.ahead(task.id),
            own=own,
            cap=self._cap(task.tenant),
            capacity=executor.capacity,
            obstacle=executor.obstacle,
        )

    def _may_start(self, tenant: str) -> bool:
        held_up = tenant in self.paused or tenant in self.held
        return not held_up and self._running_by_tenant[tenant] < self._cap(tenant)

    def _cap(self, tenant_id: str) -> int:
        return share_of(self._catalogue, tenant_id).most_running


def share_of(catalogue: Catalogue, tenant_id: str) -> Share:
    """What a tenant may have of the workers. One that has left the catalogue still gets its tasks done."""
    tenant = catalogue.tenant(tenant_id)
    return Share(tenant.weight, tenant.max_running) if tenant else _SHARE_OF_OTHERS


def soon(ahead: int, cap: int) -> bool:
    """Whether a task will run soon that has so many of its tenant's before it."""
    return ahead < max(cap, _BATCH_WIDTH)


def wait_reasons(
    task: QuantumTask, ahead: int | None, *, own: int, cap: int, capacity: int, obstacle: str
) -> tuple[WaitReason, ...]:
    """Every reason why a task does not run yet. `ahead`: how many of its tenant's wait before it, `None` when it waits
    in no line; `own`: how many of its tenant's run; `obstacle`: why nothing can run at all."""
    if task.state not in (TaskState.CREATED, TaskState.QUEUED):
        return ()
    if ahead is None:
        return (WaitReason("starting", "The task is about to start."),)
    others = "1 task" if ahead == 1 else f"{ahead} tasks"
    line = f"{others} of the tenant before it."
    reasons = []
    if own >= cap:
        text = f"Tenant {task.tenant} runs {own} of at most {cap} tasks at once. {line}"
        reasons.append(WaitReason("tenant-concurrency", text))
    if obstacle:
        reasons.append(WaitReason("no-worker", obstacle))
    elif own >= capacity:
        reasons.append(WaitReason("device-concurrency", f"All {capacity} simulator workers run this tenant's tasks."))
    if not reasons:
        runs = f"tenant {task.tenant} runs {own} of at most {cap}"
        reasons.append(WaitReason("fair-turn", f"It waits for its fair turn at a simulator worker; {runs}. {line}"))
    return tuple(reasons)

"""Whose turn it is, and why a task does not run yet.

What is said about a wait speaks of the asker's own tenant alone: whether it is held up by one other tenant or by fifty
looks the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from jupyter_qsec.application.ports import Catalogue, Executor
from jupyter_qsec.domain.fairness import FairQueue
from jupyter_qsec.domain.task import QuantumTask, TaskState, WaitReason

_BATCH_WIDTH = 10
"""So many tasks the SDK's `run_batch` keeps open at once."""
_DEFAULT_CAP = 1
"""For a tenant that has left the catalogue: what it submitted before still ends."""


class Turns:
    """The fair queue with its caps: tasks at once per tenant, and executions at once in all."""

    def __init__(self, catalogue: Catalogue, executor: Executor) -> None:
        self._catalogue = catalogue
        self._executor = executor
        self._fair = FairQueue()
        self._tenant_of: dict[str, str] = {}
        self._running: dict[str, str] = {}
        self._running_by_tenant: Counter[str] = Counter()

    def arrive(self, task: QuantumTask) -> None:
        self._tenant_of[task.id] = task.tenant

    def queue(self, task: QuantumTask, cost: int) -> None:
        """Put a task in line; `cost` in milliseconds of simulator time."""
        tenant = self._catalogue.tenant(task.tenant)
        if task.id in self._tenant_of and task.id not in self._running:
            self._fair.push(task.tenant, task.id, cost=max(1, cost), weight=tenant.weight if tenant else 1)

    def next(self) -> str | None:
        """Take the task whose turn it is, or `None` when nothing may start now."""
        if len(self._running) >= self._executor.capacity:
            return None
        task_id = self._fair.pop(lambda tenant: self._running_by_tenant[tenant] < self._cap(tenant))
        if task_id is not None:
            tenant = self._tenant_of[task_id]
            self._running[task_id] = tenant
            self._running_by_tenant[tenant] += 1
        return task_id

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
        return task.id in self._tenant_of if ahead is None else ahead < max(self._cap(task.tenant), _BATCH_WIDTH)

    def position(self, task: QuantumTask) -> int | None:
        """1 for the first of its tenant's waiting tasks; `None` when it does not wait in line."""
        ahead = self._fair.ahead(task.id)
        return None if ahead is None else ahead + 1

    def reasons(self, task: QuantumTask) -> Sequence[WaitReason]:
        """Every reason why a task of ours does not run yet, with its quantities; empty when it does not wait."""
        if task.state not in (TaskState.CREATED, TaskState.QUEUED) or task.id in self._running:
            return ()
        ahead = self._fair.ahead(task.id)
        if ahead is None:
            return (WaitReason("starting", "The task is about to start."),)
        own, cap = self._running_by_tenant[task.tenant], self._cap(task.tenant)
        others = "1 task" if ahead == 1 else f"{ahead} tasks"
        line = f"{others} of the tenant before it."
        reasons = []
        if own >= cap:
            reasons.append(
                WaitReason(
                    "tenant-concurrency", f"Tenant {task.tenant} runs {own} of at most {cap} tasks at once. {line}"
                )
            )
        if own >= self._executor.capacity:
            reasons.append(
                WaitReason(
                    "device-concurrency", f"All {self._executor.capacity} simulator workers run this tenant's tasks."
                )
            )
        if not reasons:
            runs = f"tenant {task.tenant} runs {own} of at most {cap}"
            reasons.append(WaitReason("fair-turn", f"It waits for its fair turn at a simulator worker; {runs}. {line}"))
        return tuple(reasons)

    def _cap(self, tenant_id: str) -> int:
        tenant = self._catalogue.tenant(tenant_id)
        return tenant.max_running if tenant else _DEFAULT_CAP

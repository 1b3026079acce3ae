"""The cancellation of a task, whoever runs it."""

from __future__ import annotations

from jupyter_qsec.application import outcomes
from jupyter_qsec.application.ports import Clock
from jupyter_qsec.application.taskbook import TaskBook
from jupyter_qsec.domain.audit import AuditEvent
from jupyter_qsec.domain.errors import ConflictError
from jupyter_qsec.domain.task import QuantumTask, TaskState


async def cancel(book: TaskBook, clock: Clock, task_id: str, by: str) -> QuantumTask:
    """Record that a task is cancelled: a waiting one ends, one that runs is CANCELLING until who runs it has ended it.
    `ConflictError` when it has ended. `by` is the principal, for the record."""

    def step(task: QuantumTask) -> QuantumTask:
        if task.state.terminal:
            raise ConflictError(f"The task is {task.state} and cannot be cancelled.")
        if task.state is TaskState.CANCELLING:
            return task
        if task.state is TaskState.RUNNING:
            return task.moved(TaskState.CANCELLING)
        return outcomes.cancelled(task, clock.now())

    def events(task: QuantumTask) -> list[AuditEvent]:
        kind = "task.cancelling" if task.state is TaskState.CANCELLING else "task.cancelled"
        return [outcomes.event(kind, task, clock.now(), "cancelled", by=by)]

    return await book.change(task_id, step, events, settle=lambda task: () if task.state.terminal else None)

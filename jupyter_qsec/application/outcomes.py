"""How tasks end: the final states, what they used, and their records. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

from jupyter_qsec.application.estimating import settlement
from jupyter_qsec.application.ports import ExecutionResult
from jupyter_qsec.domain.audit import AuditEvent
from jupyter_qsec.domain.quota import Charge
from jupyter_qsec.domain.task import QuantumTask, TaskState

Ending = Callable[[QuantumTask, datetime], QuantumTask]

_REASON = 1000


def results_key(task: QuantumTask) -> str:
    """Where a task's results lie in its bucket, as the Braket SDK expects it."""
    return f"{task.output_directory}/results.json"


def completed(task: QuantumTask, now: datetime, *, digest: str, duration_ms: int, cost: Decimal) -> QuantumTask:
    return task.moved(
        TaskState.COMPLETED,
        ended_at=now,
        result_digest=digest,
        duration_ms=duration_ms,
        cost_usd=cost,
        failure_reason="",
    )


def failed(task: QuantumTask, now: datetime, reason: str) -> QuantumTask:
    return task.moved(
        TaskState.FAILED,
        ended_at=now,
        failure_reason=reason[:_REASON],
        duration_ms=_elapsed_ms(task, now),
        cost_usd=Decimal(0),
    )


def cancelled(task: QuantumTask, now: datetime) -> QuantumTask:
    return task.moved(TaskState.CANCELLED, ended_at=now, duration_ms=_elapsed_ms(task, now), cost_usd=Decimal(0))


def used(task: QuantumTask) -> tuple[Charge, ...]:
    """What an ended task is charged in place of its reservation.

    A completed one: itself, its shots, its measured time. One that failed or was cancelled while running: itself and
    its time, so that a flood of broken programs is not free. One that never ran: nothing."""
    if task.state is TaskState.COMPLETED:
        return settlement(task, tasks=1, shots=task.shots, milliseconds=task.duration_ms or 0)
    if task.started_at is None:
        return ()
    return settlement(task, tasks=1, shots=0, milliseconds=task.duration_ms or 0)


def complete_result(task: QuantumTask, content: bytes) -> ExecutionResult | None:
    """The result that an earlier process left, when it is whole and this task's; `None` otherwise."""
    try:
        document = json.loads(content)
        if document["taskMetadata"]["id"] != task.arn:
            return None
        duration = document.get("additionalMetadata", {}).get("simulatorMetadata", {}).get("executionDuration", 0)
        return ExecutionResult(content, int(duration))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def event(kind: str, task: QuantumTask, at: datetime, outcome: str, **details: str | int | bool) -> AuditEvent:
    """An audit event about a task; payloads and results never enter it."""
    return AuditEvent(
        kind=kind,
        at=at,
        principal=task.principal,
        tenant=task.tenant,
        project=task.project,
        lease_id=task.lease_id,
        subject=task.arn,
        outcome=outcome,
        details=details,
    )


def started_event(task: QuantumTask, at: datetime) -> AuditEvent:
    queued_ms = 0
    if task.queued_at is not None and task.started_at is not None:
        queued_ms = max(0, int((task.started_at - task.queued_at).total_seconds() * 1000))
    return event("task.started", task, at, "", attempt=task.attempt, queued_ms=queued_ms)


def ended_event(task: QuantumTask, at: datetime, *, recovered: bool) -> AuditEvent:
    details: dict[str, str | int | bool] = {
        "device": task.device_arn,
        "shots": task.shots,
        "attempt": task.attempt,
        "duration_ms": task.duration_ms or 0,
    }
    if task.result_digest:
        details |= {"result_sha256": task.result_digest, "cost_usd": str(task.cost_usd)}
    if task.failure_reason:
        details["failure"] = task.failure_reason[:300]
    if recovered:
        details["recovered"] = True
    return event(f"task.{task.state.lower()}", task, at, task.state.lower(), **details)


def _elapsed_ms(task: QuantumTask, now: datetime) -> int:
    """Execution time by the wall clock; 0 when it never began or the clock jumped back."""
    if task.started_at is None:
        return 0
    return max(0, int((now - task.started_at).total_seconds() * 1000))

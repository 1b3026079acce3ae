"""Quantum tasks: the gateway owns their identity and state, a backend only executes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from jupyter_qsec.domain.errors import ConflictError


class TaskState(StrEnum):
    """The states of the Braket API, in its spelling."""

    CREATED = "CREATED"
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLING = "CANCELLING"
    CANCELLED = "CANCELLED"

    @property
    def terminal(self) -> bool:
        return self in (TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED)


TRANSITIONS: Mapping[TaskState, frozenset[TaskState]] = {
    TaskState.CREATED: frozenset({TaskState.QUEUED, TaskState.CANCELLED, TaskState.FAILED}),
    TaskState.QUEUED: frozenset({TaskState.RUNNING, TaskState.CANCELLED, TaskState.FAILED}),
    # RUNNING -> QUEUED is the repair after a crash: the worker died with its gateway, nothing was answered yet.
    TaskState.RUNNING: frozenset({TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLING, TaskState.QUEUED}),
    TaskState.CANCELLING: frozenset({TaskState.CANCELLED, TaskState.COMPLETED, TaskState.FAILED}),
    TaskState.COMPLETED: frozenset(),
    TaskState.FAILED: frozenset(),
    TaskState.CANCELLED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class QuantumTask:
    """Everything about a task but its payload (the circuit), which is kept apart with its own access."""

    id: str
    """UUID4 with dashes, the last part of the ARN."""
    tenant: str
    project: str
    principal: str
    lease_id: str
    lane: str
    region: str
    account: str
    device_arn: str
    shots: int
    qubits: int
    """As the bounded token scan counted them; 0 when the action declares none."""
    action_digest: str
    """SHA-256 (hex) of the action's bytes as they came."""
    request_digest: str
    """SHA-256 (hex) of what the client token stands for: a second request with the token must agree."""
    client_token: str
    output_bucket: str
    output_prefix: str
    """Key prefix as the client gave it; results lie at `PREFIX/ID/results.json`."""
    created_at: datetime
    state: TaskState = TaskState.CREATED
    queued_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    attempt: int = 0
    """How often execution began."""
    failure_reason: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    """The client's tags and ours (`qsec:*`) together."""
    estimate_usd: Decimal = Decimal(0)
    cost_usd: Decimal | None = None
    """What it would have cost at the provider, known when the task has ended."""
    duration_ms: int | None = None
    """Execution time on the simulator."""
    result_digest: str = ""
    """SHA-256 (hex) of results.json."""
    user_agent: str = ""
    revision: int = 0

    @property
    def arn(self) -> str:
        return f"arn:aws:braket:{self.region}:{self.account}:quantum-task/{self.id}"

    @property
    def output_directory(self) -> str:
        return f"{self.output_prefix}/{self.id}" if self.output_prefix else self.id

    def moved(self, state: TaskState, **changes: object) -> QuantumTask:
        """The task in another state; `ConflictError` when the life cycle has no such step."""
        if state not in TRANSITIONS[self.state]:
            raise ConflictError(f"Task {self.id} is {self.state} and cannot become {state}.")
        return replace(self, state=state, revision=self.revision + 1, **changes)  # type: ignore[arg-type]  # fields by name


@dataclass(frozen=True, slots=True)
class TaskPayload:
    """What the client sent to be executed. Restricted: never logged, never in a general answer."""

    action: str
    """The Braket IR as JSON text."""
    device_parameters: str = ""


@dataclass(frozen=True, slots=True)
class WaitReason:
    """One reason why a task does not run yet, with its quantities."""

    code: str
    """`tenant-concurrency`, `device-concurrency`, `no-worker`, `fair-turn`, `starting`, `paused`."""
    text: str

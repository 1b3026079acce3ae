"""The path of a submission: validate → estimate → authorize → reserve and record the intent → enqueue.

The caller is authenticated before. Nothing happens outside before the intent is stored, in one transaction with the
quota and the audit record; if that fails, the submission fails and nothing has changed.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from jupyter_qsec.application.callers import Caller, Fact, access, caller_event, require
from jupyter_qsec.application.estimating import Estimate, charges, estimate
from jupyter_qsec.application.outcomes import started_event
from jupyter_qsec.application.ports import (
    Clock,
    Device,
    Devices,
    Duplicate,
    ExecutionLimits,
    Policy,
    Refused,
    Store,
    Submitted,
)
from jupyter_qsec.application.queueing import Dispatch
from jupyter_qsec.application.recording import Recorder
from jupyter_qsec.application.taskids import new_task_id
from jupyter_qsec.domain.access import Action, Permit
from jupyter_qsec.domain.audit import AuditEvent
from jupyter_qsec.domain.errors import (
    ConflictError,
    DeniedError,
    InvalidRequestError,
    NotFoundError,
    QsecError,
    QuotaExceededError,
    RecordingError,
    TooLargeError,
)
from jupyter_qsec.domain.program import ProgramFacts, inspect_action
from jupyter_qsec.domain.quota import Charge, day_window
from jupyter_qsec.domain.task import QuantumTask, TaskPayload, TaskState
from jupyter_qsec.domain.tenant import Lane

OWN_TAGS = "qsec:"
"""Tags with this prefix are ours to give; a client that sends one is refused."""

_CLIENT_TOKEN = re.compile(r"[\x21-\x7e]{1,64}\Z")
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]\Z")
_PREFIX = re.compile(r"[A-Za-z0-9!_.*'()/ -]{1,1024}\Z")
_MAX_DEVICE_PARAMETERS = 48_000
_SCAN_IN_LINE = 64_000
_MAX_TAGS = 43
"""Braket allows 50 in all; seven are ours."""


@dataclass(frozen=True)
class SubmissionRequest:
    """What CreateQuantumTask carries."""

    device_arn: str
    shots: int
    action: str
    device_parameters: str
    output_bucket: str
    output_prefix: str
    client_token: str
    tags: Mapping[str, str] = field(default_factory=dict)
    region: str = "us-east-1"


class Buckets(Protocol):
    """Knows whose buckets are whose."""

    async def owns(self, caller: Caller, bucket: str) -> bool: ...


class Submissions:
    def __init__(
        self,
        *,
        store: Store,
        devices: Devices,
        policy: Policy,
        buckets: Buckets,
        dispatcher: Dispatch,
        recorder: Recorder,
        clock: Clock,
        limits: ExecutionLimits,
    ) -> None:
        self._store = store
        self._devices = devices
        self._policy = policy
        self._buckets = buckets
        self._dispatcher = dispatcher
        self._recorder = recorder
        self._clock = clock
        self._limits = limits

    async def submit(self, caller: Caller, request: SubmissionRequest) -> QuantumTask:
        """The accepted task. Raises `InvalidRequestError`, `NotFoundError` (device, bucket), `DeniedError`,
        `QuotaExceededError`, `ConflictError` (client token used for something else), `RecordingError`."""
        try:
            device, facts = await self._validate(caller, request)
            cost = estimate(self._devices, device, request.shots, facts, self._limits)
            permit = self._authorize(caller, request, cost)
            return await self._accept(caller, request, facts, cost, permit)
        except (DeniedError, QuotaExceededError) as error:
            about: dict[str, Fact] = {"device": request.device_arn[:200], "shots": request.shots}
            await self._recorder.refused(caller, "task.refused", error, details=about)
            raise

    # -- validate
    async def _validate(self, caller: Caller, request: SubmissionRequest) -> tuple[Device, ProgramFacts]:
        refuse_own_tags(request.tags)
        _check_fields(request)
        device = self._devices.device(request.device_arn)
        if device is None:
            raise NotFoundError(f"The device {request.device_arn[:200]} was not found.")
        if device.status != "ONLINE":
            raise InvalidRequestError(f"Device {device.name} is {device.status}.")
        if not 0 <= request.shots <= device.max_shots:
            raise InvalidRequestError(
                f"{request.shots} shots were asked for; {device.name} takes 0 to {device.max_shots}."
            )
        facts = await _inspect(request.action)
        most = min(device.max_qubits, self._limits.max_qubits)
        if facts.qubits > most:
            raise InvalidRequestError(f"The program uses {facts.qubits} qubits; {device.name} takes up to {most} here.")
        if request.shots == 0 and not facts.result_types:
            raise InvalidRequestError("0 shots need a result type, such as a state vector or an expectation value.")
        if not await self._buckets.owns(caller, request.output_bucket):
            raise NotFoundError(f"The bucket {request.output_bucket[:80]} was not found.")
        return device, facts

    # -- authorize
    def _authorize(self, caller: Caller, request: SubmissionRequest, cost: Estimate) -> Permit:
        facts: dict[str, Fact] = {
            "device": cost.device.arn,
            "device_kind": str(cost.device.kind),
            "region": cost.device.region or request.region,
            "shots": request.shots,
            "qubits": cost.qubits,
            "estimate_cents": cost.cents,
        }
        return require(self._policy, access(caller, Action.TASK_CREATE, facts=facts))

    # -- reserve, record the intent, enqueue
    async def _accept(
        self, caller: Caller, request: SubmissionRequest, facts: ProgramFacts, cost: Estimate, permit: Permit
    ) -> QuantumTask:
        task = self._task(caller, request, facts, cost)
        payload = TaskPayload(request.action, request.device_parameters)
        reserved = charges(
            caller.tenant,
            caller.project,
            caller.principal.id,
            day_window(task.created_at),
            tasks=1,
            shots=request.shots,
            milliseconds=cost.simulator_ms,
        )
        event = caller_event(
            caller,
            "task.submitted",
            task.created_at,
            subject=task.arn,
            outcome="allowed",
            rules=permit.rules,
            details={
                "device": task.device_arn,
                "shots": task.shots,
                "qubits": task.qubits,
                "statements": facts.statements,
                "lane": task.lane,
                "action_sha256": task.action_digest,
                "estimate_usd": str(task.estimate_usd),
                "user_agent": task.user_agent,
                "client_token": task.client_token,
            },
        )
        outcome = await self._commit(task, payload, reserved, event, cost.simulator_ms)
        if isinstance(outcome, Refused):
            raise QuotaExceededError(
                " ".join(str(breach) for breach in outcome.breaches), remedy="The counters start anew at 00:00 UTC."
            )
        if isinstance(outcome, Duplicate):
            return self._same(outcome.task, task)
        self._dispatcher.enqueue(outcome.task, payload, cost=cost.simulator_ms)
        return outcome.task

    async def _commit(
        self, task: QuantumTask, payload: TaskPayload, reserved: Sequence[Charge], event: AuditEvent, milliseconds: int
    ) -> Submitted | Duplicate | Refused:
        """Store the task; one that may start this moment is stored, and recorded, as one that runs."""
        task = self._dispatcher.admitted(task, cost=milliseconds)
        events = [event]
        if task.state is TaskState.RUNNING:
            events.append(started_event(task, task.created_at))
        outcome: Submitted | Duplicate | Refused | None = None
        try:
            outcome = await self._store.submit(task, payload, reserved, events)
        except RecordingError:
            if not await self._is_stored(task.id):
                raise
            outcome = Submitted(task)
        finally:
            if not isinstance(outcome, Submitted):
                self._dispatcher.withdraw(task)
        return outcome

    async def _is_stored(self, task_id: str) -> bool:
        """Where the outcome of a write is not known, reading tells."""
        try:
            return await self._store.task(task_id) is not None
        except QsecError:
            return False

    def _same(self, existing: QuantumTask, asked: QuantumTask) -> QuantumTask:
        if existing.request_digest != asked.request_digest or existing.principal != asked.principal:
            raise ConflictError("The client token was used before with other parameters.")
        return existing

    def _task(self, caller: Caller, request: SubmissionRequest, facts: ProgramFacts, cost: Estimate) -> QuantumTask:
        now = self._clock.now()
        lane = Lane(caller.tenant.purpose, caller.tenant.environment, cost.device.kind)
        return QuantumTask(
            id=new_task_id(now),
            tenant=caller.tenant.id,
            project=caller.project.id,
            principal=caller.principal.id,
            lease_id=caller.lease.id,
            lane=str(lane),
            region=request.region,
            account=caller.tenant.account,
            device_arn=cost.device.arn,
            shots=request.shots,
            qubits=facts.qubits,
            action_digest=facts.digest,
            request_digest=_request_digest(request, facts.digest),
            client_token=request.client_token,
            output_bucket=request.output_bucket,
            output_prefix=request.output_prefix.strip("/"),
            created_at=now,
            state=TaskState.QUEUED,
            queued_at=now,
            tags={**request.tags, **own_tags(caller, lane)},
            estimate_usd=cost.cost.amount,
            user_agent=caller.user_agent,
        )


def own_tags(caller: Caller, lane: Lane) -> dict[str, str]:
    """The tags that every task carries."""
    return {
        "qsec:tenant": caller.tenant.id,
        "qsec:project": caller.project.id,
        "qsec:principal": caller.principal.id,
        "qsec:lane": str(lane),
        "qsec:cost-centre": caller.project.cost_centre,
        "qsec:lease": caller.lease.id,
        "qsec:purpose": str(caller.tenant.purpose),
    }


def refuse_own_tags(tags: Mapping[str, str] | tuple[str, ...]) -> None:
    """`DeniedError` when a client tries to give, change or remove one of our tags, in any spelling of its prefix."""
    forged = sorted(key for key in tags if key.strip().lower().startswith(OWN_TAGS))
    if forged:
        raise DeniedError(
            f"The tag {forged[0][:80]!r} is given by the gateway and cannot be set.", reasons=("forged-tag",)
        )


def check_tags(tags: Mapping[str, str], *, most: int = _MAX_TAGS) -> None:
    """`InvalidRequestError` unless the tags keep AWS's bounds: keys of 1 to 128, values of up to 256 characters."""
    if len(tags) > most:
        raise InvalidRequestError(f"{len(tags)} tags were given; {most} are allowed.")
    for key, value in tags.items():
        if not 1 <= len(key) <= 128 or len(value) > 256 or key.lower().startswith("aws:"):
            raise InvalidRequestError(f"The tag {key[:80]!r} is not a valid tag.")


async def _inspect(action: str) -> ProgramFacts:
    """The bounded scan: in line while it takes under 8 ms, beside the event loop for long programs."""
    if len(action) <= _SCAN_IN_LINE:
        return inspect_action(action)
    return await asyncio.to_thread(inspect_action, action)


def _check_fields(request: SubmissionRequest) -> None:
    if not _CLIENT_TOKEN.match(request.client_token):
        raise InvalidRequestError("clientToken must have 1 to 64 printable characters.")
    if not _REGION.match(request.region):
        raise InvalidRequestError("The region is not an AWS region.")
    if not _PREFIX.match(request.output_prefix) or ".." in request.output_prefix.split("/"):
        raise InvalidRequestError("outputS3KeyPrefix must have 1 to 1024 characters and name no parent folder.")
    if len(request.device_parameters) > _MAX_DEVICE_PARAMETERS:
        raise TooLargeError(f"deviceParameters has more than {_MAX_DEVICE_PARAMETERS} characters.")
    check_tags(request.tags)


def _request_digest(request: SubmissionRequest, action_digest: str) -> str:
    """What a client token stands for."""
    document = [
        request.region,
        request.device_arn,
        request.shots,
        action_digest,
        request.device_parameters,
        request.output_bucket,
        request.output_prefix,
        sorted(request.tags.items()),
    ]
    return hashlib.sha256(json.dumps(document, separators=(",", ":")).encode()).hexdigest()


__all__ = ["Buckets", "SubmissionRequest", "Submissions", "check_tags", "own_tags", "refuse_own_tags"]

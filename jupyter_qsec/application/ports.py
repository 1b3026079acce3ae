"""What the use cases need from the outside world. Adapters implement these; tests bring fakes that implement them too.

Every write of `Store` takes the audit events that belong to it and commits both in one transaction, so that nothing
happens without its record: if the record cannot be written, the write fails with `RecordingError`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from jupyter_qsec.domain.access import AccessRequest, Decision
from jupyter_qsec.domain.audit import AuditEvent, AuditRecord, Checkpoint, ConsistencyProof, InclusionProof
from jupyter_qsec.domain.lease import Lease
from jupyter_qsec.domain.money import CostEstimate
from jupyter_qsec.domain.principal import Principal
from jupyter_qsec.domain.quota import Charge, QuotaBreach, QuotaUsage
from jupyter_qsec.domain.task import QuantumTask, TaskPayload, TaskState
from jupyter_qsec.domain.tenant import DeviceKind, Pause, Tenant


class Clock(Protocol):
    def now(self) -> datetime:
        """The time as an aware UTC datetime."""
        ...


class Policy(Protocol):
    def decide(self, request: AccessRequest) -> Decision:
        """Decide by the loaded policies. Never raises: an error inside the engine is a `Deny`."""
        ...

    def probe(self) -> bool:
        """Whether the engine decides anything now: it is asked anew, whatever it remembers."""
        ...


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody whom an identity source vouches for at this moment."""

    principal: Principal
    tenant: str
    """Where its leases go when nobody says; may be empty."""
    project: str
    may_write: bool
    """Whether the token may change anything; one that may not still reads."""


class Identities(Protocol):
    """An identity source outside, such as a JupyterHub."""

    async def identify(self, token: str) -> Identity:
        """Who holds this token now; an answer is at most two seconds old. `UnauthenticatedError` for an unknown token,
        `DeniedError` for a known one that may do nothing here, `UnavailableError` when the source cannot be asked."""
        ...


class Catalogue(Protocol):
    """The tenants as configured."""

    def tenants(self) -> Sequence[Tenant]:
        """At least one. The first is the one that leases are for when nobody says."""
        ...

    def tenant(self, tenant_id: str) -> Tenant | None: ...


@dataclass(frozen=True, slots=True)
class Submitted:
    """The task is stored, its quota reserved, its record written."""

    task: QuantumTask


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The tenant used this client token before; `task` is the one it created. Nothing was written."""

    task: QuantumTask


@dataclass(frozen=True, slots=True)
class Refused:
    """At least one quota had no room. Nothing was written."""

    breaches: tuple[QuotaBreach, ...]


@dataclass(frozen=True, slots=True)
class TaskQuery:
    """A filter over tasks, newest first. `tenant` empty means all tenants (administrators only)."""

    tenant: str = ""
    principal: str = ""
    lease_id: str = ""
    states: tuple[TaskState, ...] = ()
    device_arn: str = ""
    created_after: datetime | None = None
    created_before: datetime | None = None
    limit: int = 100
    before: tuple[datetime, str] | None = None
    """Continue after this (created_at, id) of the last task seen."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A secret that was found: where and what kind, never the secret."""

    id: str
    found_at: datetime
    tenant: str
    lease_id: str
    path: str
    cell: str
    place: str
    """`source`, `output`, `stream`, `metadata`, `attachment`, `file`."""
    line: int
    kind: str
    preview: str
    """Masked: at most the first four characters."""
    fingerprint: str
    """Keyed: cannot be tried against guesses without the key."""
    action: str
    """`redacted`, `blocked`, `warned`, `refused`."""


@dataclass(frozen=True, slots=True)
class StoreFigures:
    """What the store holds at one moment, in numbers."""

    tasks: Mapping[tuple[str, TaskState], int]
    """Tasks that have not ended, by tenant and state."""
    leases: Mapping[str, int]
    """Active leases by tenant."""
    oldest_leases: Mapping[str, datetime]
    """When the oldest active lease of each of these tenants was issued."""
    audit_size: int
    """Records of the audit log."""
    signed_size: int
    """How many of them the newest published checkpoint vouches for."""
    unsigned_since: datetime | None
    """The time of the first record that no published checkpoint vouches for."""


class CheckpointSigner(Protocol):
    """Signs the heads of the audit log. The origin names the log and is part of what is signed."""

    @property
    def origin(self) -> str: ...

    @property
    def verifier_key(self) -> str:
        """The public key as text (vkey of c2sp.org/signed-note)."""
        ...

    def sign(self, text: str) -> Sequence[str]:
        """The signature lines of a note with this text."""
        ...

    def verify(self, note: str) -> bool:
        """Whether the note is a checkpoint of this log signed by this key."""
        ...


class Store(Protocol):
    """State, quota counters and the audit log behind one transaction. All methods raise `UnavailableError` when the
    database cannot be reached and `RecordingError` when a commit fails; after `RecordingError` the outcome may be
    unknown, and reading tells."""

    async def open(self) -> None:
        """Migrate, check the log's head against the newest checkpoint, start the writer."""
        ...

    async def close(self) -> None: ...

    # -- leases
    async def put_lease(self, lease: Lease, events: Sequence[AuditEvent]) -> None:
        """Insert (`revision` 0) or replace the row whose revision is one less; `ConflictError` otherwise."""
        ...

    async def lease(self, lease_id: str) -> Lease | None: ...

    async def leases(self, *, tenant: str = "", unrevoked_only: bool = False, limit: int = 500) -> Sequence[Lease]:
        """Newest first."""
        ...

    # -- tasks
    async def submit(
        self, task: QuantumTask, payload: TaskPayload, charges: Sequence[Charge], events: Sequence[AuditEvent]
    ) -> Submitted | Duplicate | Refused:
        """Reserve every charge, insert task and payload, append the events: all or nothing. Safe under concurrent
        submission by many processes; `(tenant, client_token)` is unique."""
        ...

    async def put_task(
        self,
        task: QuantumTask,
        events: Sequence[AuditEvent],
        *,
        settle: Sequence[Charge] | None = None,
        claimed_by: str = "",
    ) -> None:
        """Replace the row whose revision is one less, else `ConflictError`. `settle` replaces the task's reservation
        by what it really used (an empty sequence gives everything back); it is applied at most once a task.
        `claimed_by` is the worker that writes as the holder of the task's claim: `ClaimLostError` when it is not."""
        ...

    async def task(self, task_id: str) -> QuantumTask | None: ...

    async def payload(self, task_id: str) -> TaskPayload | None: ...

    async def tasks(self, query: TaskQuery) -> Sequence[QuantumTask]: ...

    # -- pauses
    async def pause(self, pause: Pause, events: Sequence[AuditEvent]) -> None:
        """Let no task of a tenant start from now on. `ConflictError` when it is paused already."""
        ...

    async def resume(self, tenant: str, events: Sequence[AuditEvent]) -> None:
        """`ConflictError` when it is not paused."""
        ...

    async def pauses(self) -> Mapping[str, Pause]:
        """Those that stand, by tenant."""
        ...

    # -- quota
    async def usage(self, scopes: Sequence[str], window: str) -> Sequence[QuotaUsage]: ...

    # -- findings
    async def add_findings(self, findings: Sequence[Finding], events: Sequence[AuditEvent]) -> None: ...

    async def findings(self, *, tenant: str = "", lease_id: str = "", limit: int = 200) -> Sequence[Finding]: ...

    # -- audit
    async def record(self, events: Sequence[AuditEvent]) -> None:
        """Append events that belong to no other write (refusals, reads, failed logins)."""
        ...

    async def audit_records(self, start: int, limit: int) -> Sequence[AuditRecord]:
        """Records `start … start+limit-1`, in order; the first record has index 0."""
        ...

    async def audit_size(self) -> int:
        """How many records the log has."""
        ...

    async def checkpoint(self) -> Checkpoint:
        """Sign the present head, publish it, return it."""
        ...

    async def newest_checkpoint(self) -> Checkpoint | None:
        """The newest published checkpoint, after holding the log against all published ones; signs nothing.
        `StateDirectoryError` when the log is not what was signed."""
        ...

    async def inclusion_proof(self, index: int, size: int) -> InclusionProof: ...

    async def consistency_proof(self, old_size: int, new_size: int) -> ConsistencyProof: ...

    # -- watching
    async def probe(self) -> None:
        """Write something of no consequence, durably, on the way of all writes. `RecordingError`, `UnavailableError`
        when that fails."""
        ...

    async def figures(self, now: datetime) -> StoreFigures: ...


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


class KeyStore(Protocol):
    """Holds the gateway's root keys (OS keyring, or a 0600 key file that the user chose)."""

    @property
    def description(self) -> str:
        """Where keys lie, for `doctor` and the panel."""
        ...

    def key(self, name: str) -> bytes:
        """The 32-byte key of that name, created on first use. `StateDirectoryError` when it cannot be had."""
        ...

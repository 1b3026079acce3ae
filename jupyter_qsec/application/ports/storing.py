"""State, quota counters and the audit log behind one transaction.

Every write of `Store` takes the audit events that belong to it and commits both in one transaction, so that nothing
happens without its record: if the record cannot be written, the write fails with `RecordingError`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from jupyter_qsec.domain.audit import AuditEvent, AuditRecord, Checkpoint, ConsistencyProof, InclusionProof
from jupyter_qsec.domain.lease import Holder, Lease
from jupyter_qsec.domain.quota import Charge, QuotaBreach, QuotaUsage
from jupyter_qsec.domain.rootsecret import RootSecret
from jupyter_qsec.domain.task import QuantumTask, TaskPayload, TaskState
from jupyter_qsec.domain.tenant import Pause


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

    async def leases(
        self,
        *,
        tenant: str = "",
        principal: str = "",
        unrevoked_only: bool = False,
        expires_after: datetime | None = None,
        limit: int = 500,
    ) -> Sequence[Lease]:
        """Newest first."""
        ...

    async def holders(self, now: datetime) -> Sequence[Holder]:
        """Who holds active leases, each once."""
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

    # -- root secrets
    async def add_root_secret(self, made: RootSecret, events: Sequence[AuditEvent]) -> None:
        """`ConflictError` when that generation exists."""
        ...

    async def root_secrets(self) -> Sequence[RootSecret]:
        """All generations of all names."""
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

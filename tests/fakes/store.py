"""A store in memory that implements the whole `Store` port; the contract tests hold it against the real one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from jupyter_qsec.application.ports import (
    CheckpointSigner,
    Duplicate,
    Finding,
    Refused,
    StoreFigures,
    Submitted,
    TaskQuery,
)
from jupyter_qsec.domain import merkle
from jupyter_qsec.domain.audit import (
    AuditEvent,
    AuditRecord,
    Checkpoint,
    ConsistencyProof,
    InclusionProof,
    canonical_leaf,
)
from jupyter_qsec.domain.errors import ConflictError, InvalidRequestError, QsecError, UnavailableError
from jupyter_qsec.domain.lease import Holder, Lease
from jupyter_qsec.domain.notes import checkpoint_text, format_note, parse_checkpoint
from jupyter_qsec.domain.quota import Charge, Metric, QuotaBreach, QuotaUsage
from jupyter_qsec.domain.rootsecret import RootSecret
from jupyter_qsec.domain.task import QuantumTask, TaskPayload
from jupyter_qsec.domain.tenant import Pause
from tests.fakes.claims import FakeClaims, FakeSignatures
from tests.fakes.keys import FakeSigner

_Key = tuple[str, Metric, str]


class FakeStore:
    """Implements the `Store` port. `events` lists what was recorded; an error put into `fail_with` is raised by every
    write until it is taken out, and such a write changes nothing."""

    def __init__(self, *, signer: CheckpointSigner | None = None) -> None:
        self.claims = FakeClaims(self)
        self.signatures = FakeSignatures()
        self.fail_with: QsecError | None = None
        self._signer = signer or FakeSigner()
        self._open = False
        self._leases: dict[str, Lease] = {}
        self.paused: dict[str, Pause] = {}
        self._root_secrets: dict[tuple[str, int], RootSecret] = {}
        self._tasks: dict[str, QuantumTask] = {}
        self._payloads: dict[str, TaskPayload] = {}
        self._reserved: dict[str, list[Charge]] = {}
        self._settled: set[str] = set()
        self._used: dict[_Key, int] = {}
        self._findings: dict[str, Finding] = {}
        self._leaves: list[bytes] = []
        self._hashes: list[bytes] = []
        self._node = merkle.nodes_from_leaves(self._hashes)
        self._published: Checkpoint | None = None

    @property
    def events(self) -> list[AuditEvent]:
        return [record.event for record in self._records(0, len(self._leaves))]

    async def open(self) -> None:
        self._open = True

    async def close(self) -> None:
        self._open = False

    # -- leases
    async def put_lease(self, lease: Lease, events: Sequence[AuditEvent]) -> None:
        leaves = self._writing(events)
        self._require_next(self._leases.get(lease.id), lease.revision, lease.id)
        self._leases[lease.id] = lease
        self._append(leaves)

    async def lease(self, lease_id: str) -> Lease | None:
        return self._leases.get(lease_id)

    async def leases(
        self,
        *,
        tenant: str = "",
        principal: str = "",
        unrevoked_only: bool = False,
        expires_after: datetime | None = None,
        limit: int = 500,
    ) -> Sequence[Lease]:
        found = [
            lease
            for lease in self._leases.values()
            if tenant in ("", lease.tenant) and principal in ("", lease.principal)
            if not (unrevoked_only and lease.revoked_at)
            if expires_after is None or lease.expires_at > expires_after
        ]
        return sorted(found, key=lambda lease: (lease.issued_at, lease.id), reverse=True)[: max(limit, 0)]

    async def holders(self, now: datetime) -> Sequence[Holder]:
        found: list[Holder] = []
        for lease in self._active(now):
            holder = Holder(lease.principal, lease.claims)
            if holder not in found:
                found.append(holder)
        return found

    # -- tasks
    async def submit(
        self, task: QuantumTask, payload: TaskPayload, charges: Sequence[Charge], events: Sequence[AuditEvent]
    ) -> Submitted | Duplicate | Refused:
        leaves = self._writing(events)
        self._require_amounts(charges)
        token = (task.tenant, task.client_token)
        for other in self._tasks.values():
            if task.client_token and (other.tenant, other.client_token) == token:
                return Duplicate(other)
        if task.id in self._tasks:
            raise ConflictError("There is such a task.")
        breaches = self._breaches(charges)
        if breaches:
            return Refused(breaches)
        self._charge(charges)
        self._tasks[task.id] = replace(task, tags=dict(task.tags))
        self._payloads[task.id] = payload
        self._reserved[task.id] = list(charges)
        self.claims.arrive(task, max([0, *(c.amount for c in charges if c.metric is Metric.SIMULATOR_MS)]))
        self._append(leaves)
        return Submitted(task)

    async def put_task(
        self,
        task: QuantumTask,
        events: Sequence[AuditEvent],
        *,
        settle: Sequence[Charge] | None = None,
        claimed_by: str = "",
    ) -> None:
        leaves = self._writing(events)
        self._require_amounts(settle or ())
        current = self._tasks.get(task.id)
        if current is None or current.tenant != task.tenant:
            raise ConflictError("There is no such task.")
        self.claims.require_holder(task.id, claimed_by)
        self._require_next(current, task.revision, task.id)
        self._tasks[task.id] = replace(task, tags=dict(task.tags))
        self.claims.changed(task, claimed_by)
        if settle is not None and task.id not in self._settled:
            self._settled.add(task.id)
            self._charge(self._reserved[task.id], sign=-1)
            self._charge(settle)
        self._append(leaves)

    def stored(self, task_id: str) -> QuantumTask:
        return self._tasks[task_id]

    async def task(self, task_id: str) -> QuantumTask | None:
        return self._tasks.get(task_id)

    async def payload(self, task_id: str) -> TaskPayload | None:
        return self._payloads.get(task_id)

    async def tasks(self, query: TaskQuery) -> Sequence[QuantumTask]:
        found = [task for task in self._tasks.values() if _matches(task, query)]
        return sorted(found, key=lambda task: (task.created_at, task.id), reverse=True)[: max(query.limit, 0)]

    # -- root secrets
    async def add_root_secret(self, made: RootSecret, events: Sequence[AuditEvent]) -> None:
        leaves = self._writing(events)
        if (made.name, made.generation) in self._root_secrets:
            raise ConflictError("That generation exists already.")
        self._root_secrets[made.name, made.generation] = made
        self._append(leaves)

    async def root_secrets(self) -> Sequence[RootSecret]:
        return list(self._root_secrets.values())

    # -- pauses
    async def pause(self, pause: Pause, events: Sequence[AuditEvent]) -> None:
        leaves = self._writing(events)
        if pause.tenant in self.paused:
            raise ConflictError("The tenant is paused already.")
        self.paused[pause.tenant] = pause
        self._append(leaves)

    async def resume(self, tenant: str, events: Sequence[AuditEvent]) -> None:
        leaves = self._writing(events)
        if tenant not in self.paused:
            raise ConflictError("The tenant is not paused.")
        del self.paused[tenant]
        self._append(leaves)

    async def pauses(self) -> Mapping[str, Pause]:
        return dict(self.paused)

    # -- quota
    async def usage(self, scopes: Sequence[str], window: str) -> Sequence[QuotaUsage]:
        return [
            QuotaUsage(scope, metric, in_window, used)
            for (scope, metric, in_window), used in sorted(self._used.items())
            if scope in scopes and in_window == window
        ]

    # -- findings
    async def add_findings(self, findings: Sequence[Finding], events: Sequence[AuditEvent]) -> None:
        leaves = self._writing(events)
        ids = [finding.id for finding in findings]
        if len(set(ids)) != len(ids) or any(identity in self._findings for identity in ids):
            raise ConflictError("There is such a finding.")
        self._findings |= {finding.id: finding for finding in findings}
        self._append(leaves)

    async def findings(self, *, tenant: str = "", lease_id: str = "", limit: int = 200) -> Sequence[Finding]:
        found = [
            finding
            for finding in self._findings.values()
            if (not tenant or finding.tenant == tenant) and (not lease_id or finding.lease_id == lease_id)
        ]
        return sorted(found, key=lambda finding: (finding.found_at, finding.id), reverse=True)[: max(limit, 0)]

    # -- audit
    async def record(self, events: Sequence[AuditEvent]) -> None:
        self._append(self._writing(events))

    async def audit_records(self, start: int, limit: int) -> Sequence[AuditRecord]:
        return self._records(max(start, 0), limit)

    async def audit_size(self) -> int:
        return len(self._leaves)

    async def checkpoint(self) -> Checkpoint:
        size = len(self._leaves)
        if self._published is None or self._published.size != size:
            text = checkpoint_text(self._signer.origin, size, merkle.root_of(size, self._node))
            self._published = parse_checkpoint(format_note(text, self._signer.sign(text)))
        return self._published

    async def newest_checkpoint(self) -> Checkpoint | None:
        return self._published

    async def inclusion_proof(self, index: int, size: int) -> InclusionProof:
        if not 0 <= index < size <= len(self._leaves):
            raise InvalidRequestError("There is no such record.")
        path = merkle.inclusion_path(index, size, self._node)
        return InclusionProof(index, size, self._hashes[index], path)

    async def consistency_proof(self, old_size: int, new_size: int) -> ConsistencyProof:
        if not 0 <= old_size <= new_size <= len(self._leaves):
            raise InvalidRequestError("The log never had these sizes.")
        return ConsistencyProof(old_size, new_size, merkle.consistency_path(old_size, new_size, self._node))

    # -- watching
    async def probe(self) -> None:
        self._writing(())

    async def figures(self, now: datetime) -> StoreFigures:
        active = self._active(now)
        signed = self._published.size if self._published is not None else 0
        return StoreFigures(
            tasks=Counter((task.tenant, task.state) for task in self._tasks.values() if not task.state.terminal),
            leases=Counter(lease.tenant for lease in active),
            oldest_leases={
                tenant: min(lease.issued_at for lease in active if lease.tenant == tenant)
                for tenant in {lease.tenant for lease in active}
            },
            audit_size=len(self._leaves),
            signed_size=signed,
            unsigned_since=self._records(signed, 1)[0].event.at if signed < len(self._leaves) else None,
        )

    # -- inside
    def _active(self, now: datetime) -> list[Lease]:
        return [lease for lease in self._leases.values() if lease.revoked_at is None and lease.expires_at > now]

    def _writing(self, events: Sequence[AuditEvent]) -> list[bytes]:
        leaves = [canonical_leaf(event) for event in events]
        if not self._open:
            raise UnavailableError("The store is closed.")
        if self.fail_with is not None:
            raise self.fail_with
        return leaves

    def _append(self, leaves: list[bytes]) -> None:
        self._leaves += leaves
        self._hashes += [merkle.leaf_hash(leaf) for leaf in leaves]

    def _records(self, start: int, limit: int) -> list[AuditRecord]:
        end = min(start + max(limit, 0), len(self._leaves))
        return [AuditRecord(index, self._leaves[index], self._hashes[index]) for index in range(start, end)]

    @staticmethod
    def _require_next(current: Lease | QuantumTask | None, revision: int, identity: str) -> None:
        expected = 0 if current is None else current.revision + 1
        if revision != expected:
            raise ConflictError(f"{identity} was changed meanwhile, or does not exist.")

    @staticmethod
    def _require_amounts(charges: Sequence[Charge]) -> None:
        if any(not 0 <= value <= 1 << 53 for charge in charges for value in (charge.amount, charge.limit or 0)):
            raise InvalidRequestError("A charge is out of range.")

    def _breaches(self, charges: Sequence[Charge]) -> tuple[QuotaBreach, ...]:
        wanted: dict[_Key, int] = {}
        limits: dict[_Key, int] = {}
        for charge in charges:
            key = (charge.scope, charge.metric, charge.window)
            wanted[key] = wanted.get(key, 0) + charge.amount
            if charge.limit is not None:
                limits[key] = min(charge.limit, limits.get(key, charge.limit))
        return tuple(
            QuotaBreach(*key, self._used.get(key, 0), wanted[key], limit)
            for key, limit in sorted(limits.items())
            if self._used.get(key, 0) + wanted[key] > limit
        )

    def _charge(self, charges: Sequence[Charge], sign: int = 1) -> None:
        for charge in charges:
            key = (charge.scope, charge.metric, charge.window)
            self._used[key] = self._used.get(key, 0) + sign * charge.amount


def _matches(task: QuantumTask, query: TaskQuery) -> bool:
    equal = ("tenant", "principal", "lease_id", "device_arn")
    return (
        all(not getattr(query, name) or getattr(query, name) == getattr(task, name) for name in equal)
        and (not query.states or task.state in query.states)
        and (query.created_after is None or task.created_at > query.created_after)
        and (query.created_before is None or task.created_at < query.created_before)
        and (query.before is None or (task.created_at, task.id) < query.before)
    )

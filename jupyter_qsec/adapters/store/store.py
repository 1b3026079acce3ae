"""The store: leases, tasks, quota, findings and the audit log in one database."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Select, and_, or_, select

from jupyter_qsec.adapters.store import auditlog, operations, rows, tables
from jupyter_qsec.adapters.store.checkpoints import PublishedCheckpoints
from jupyter_qsec.adapters.store.claiming import QueueUnfinished, SqlClaims
from jupyter_qsec.adapters.store.database import Database, Trouble, migrate
from jupyter_qsec.adapters.store.figures import read_figures, read_holders
from jupyter_qsec.adapters.store.observing import Observer
from jupyter_qsec.adapters.store.patience import PATIENCE_SECONDS, Outage
from jupyter_qsec.adapters.store.session import Session
from jupyter_qsec.adapters.store.signatures import SqlSignatures
from jupyter_qsec.adapters.store.statements import Statements
from jupyter_qsec.adapters.store.transactions import read_session, write_session
from jupyter_qsec.adapters.store.writer import Writer
from jupyter_qsec.application.ports import (
    CheckpointSigner,
    Clock,
    Duplicate,
    Finding,
    Refused,
    StoreFigures,
    Submitted,
    TaskQuery,
)
from jupyter_qsec.domain import merkle
from jupyter_qsec.domain.audit import AuditEvent, AuditRecord, Checkpoint, ConsistencyProof, InclusionProof
from jupyter_qsec.domain.errors import InvalidRequestError, StateDirectoryError, UnavailableError
from jupyter_qsec.domain.lease import Holder, Lease
from jupyter_qsec.domain.quota import Charge, Metric, QuotaUsage
from jupyter_qsec.domain.rootsecret import RootSecret
from jupyter_qsec.domain.task import QuantumTask, TaskPayload
from jupyter_qsec.domain.tenant import Pause

MAX_LIMIT = 10_000
"""Bound of any list; larger limits are cut to it."""

Answer = TypeVar("Answer")


class SqlStore:
    """Implements the `Store` port."""

    def __init__(
        self,
        database: Database,
        *,
        signer: CheckpointSigner,
        clock: Clock,
        checkpoint_dir: Path,
        witness: Path | None = None,
        patience: float = PATIENCE_SECONDS,
        shared: bool = False,
        observer: Observer | None = None,
    ) -> None:
        """`checkpoint_dir` gets the published checkpoints and the public key, `witness` is a further file for them,
        best on another machine's disk. `patience` is how many seconds a database that went away is waited for.
        `shared`: other processes serve the tasks of this database as well, so that `claims` decides who runs which.
        `observer` is told of every group that is written."""
        self._database = database
        self._patience = patience
        self._closing = threading.Event()
        self._engine = database.engine()
        self._statements = Statements(database.dialect)
        self._checkpoints = PublishedCheckpoints(checkpoint_dir, signer, witness)
        outage = Outage(self._closing, patience)
        now = lambda: rows.micros(clock.now())  # noqa: E731
        self._writer = Writer(database, self._statements, now, outage, observer)
        self._adder = Writer(
            database, self._statements, now, Outage(self._closing, patience), begin=database.begin_adding
        )
        self._shared = shared
        self.claims = SqlClaims(self._writer, self._read)
        self.signatures = SqlSignatures(self._adder)
        self._readers = ThreadPoolExecutor(max_workers=3, thread_name_prefix="qsec-store-reader")

    async def open(self) -> None:
        """Migrate, check the log against its newest checkpoints, start the writer. `StateDirectoryError` when the
        file is open to others or no database, may only be read or was started with other keys, or when the log is
        damaged, shorter than a published checkpoint or another than the one that was signed. There is no override."""
        await asyncio.get_running_loop().run_in_executor(self._readers, self._open)
        if self._shared:
            await self._writer.commit(QueueUnfinished())

    def _open(self) -> None:
        try:
            self._patiently(self._check)
        except self._database.errors as error:
            self._engine.dispose()
            raise StateDirectoryError(f"The state database cannot be read ({self._database.reason(error)}).") from error
        except BaseException:
            self._engine.dispose()  # a store that did not open keeps no file open
            raise
        self._writer.start()
        if self._shared:
            self._adder.start()

    def _check(self) -> None:
        self._database.prepare()
        migrate(self._database, self._engine)
        # Writing before anything is served: a database that may only be read is refused now.
        with write_session(self._database, self._engine, self._statements) as session:
            auditlog.sign_with(session, self._checkpoints.verifier_key)
        self._checkpoints.open()
        published = self._checkpoints.newest()  # before the head: others may append and publish meanwhile
        with self._reading() as session:
            head = auditlog.read_head(session)
            auditlog.check_head(session, head)
            for checkpoint in published:
                _require_extends(session, head, checkpoint)

    def _patiently(self, work: Callable[[], Answer]) -> Answer:
        """Do `work` again while the database is away."""
        outage = Outage(self._closing, self._patience)
        while True:
            try:
                return work()
            except Exception as error:
                if self._database.trouble(error) is not Trouble.PASSING or not outage.wait():
                    raise

    def _reading(self, *, snapshot: bool = True) -> AbstractContextManager[Session]:
        return read_session(self._database, self._engine, self._statements, snapshot=snapshot)

    async def close(self) -> None:
        """Commit what waits and close the database."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._closing.set()
        self._writer.stop()
        self._adder.stop()
        self._readers.shutdown()
        self._engine.dispose()

    # -- leases

    async def put_lease(self, lease: Lease, events: Sequence[AuditEvent]) -> None:
        await self._writer.commit(operations.PutLease(lease, events))

    async def lease(self, lease_id: str) -> Lease | None:
        found = await self._read(
            lambda session: session.mappings(session.statements.lease, {"id": lease_id}), snapshot=False
        )
        return rows.lease_from(found[0]) if found else None

    async def leases(
        self,
        *,
        tenant: str = "",
        principal: str = "",
        unrevoked_only: bool = False,
        expires_after: datetime | None = None,
        limit: int = 500,
    ) -> Sequence[Lease]:
        table = tables.leases
        query = select(table).order_by(table.c.issued_at.desc(), table.c.id.desc())
        if tenant:
            query = query.where(table.c.tenant == tenant)
        if principal:
            query = query.where(table.c.principal == principal)
        if unrevoked_only:
            query = query.where(table.c.revoked_at.is_(None))
        if expires_after is not None:
            query = query.where(table.c.expires_at > rows.micros(expires_after))
        return [rows.lease_from(row) for row in await self._select(query, limit)]

    async def holders(self, now: datetime) -> Sequence[Holder]:
        return await self._read(lambda session: read_holders(session, now), snapshot=False)

    # -- tasks

    async def submit(
        self, task: QuantumTask, payload: TaskPayload, charges: Sequence[Charge], events: Sequence[AuditEvent]
    ) -> Submitted | Duplicate | Refused:
        outcome: Submitted | Duplicate | Refused = await self._writer.commit(
            operations.Submit(task, payload, charges, events, shared=self._shared)
        )
        return outcome

    async def put_task(
        self,
        task: QuantumTask,
        events: Sequence[AuditEvent],
        *,
        settle: Sequence[Charge] | None = None,
        claimed_by: str = "",
    ) -> None:
        await self._writer.commit(operations.PutTask(task, events, settle, shared=self._shared, claimed_by=claimed_by))

    async def task(self, task_id: str) -> QuantumTask | None:
        found = await self._read(
            lambda session: session.mappings(session.statements.task, {"id": task_id}), snapshot=False
        )
        return rows.task_from(found[0]) if found else None

    async def payload(self, task_id: str) -> TaskPayload | None:
        found = await self._read(
            lambda session: session.execute(session.statements.payload, {"id": task_id}), snapshot=False
        )
        return TaskPayload(*found[0]) if found else None

    async def tasks(self, query: TaskQuery) -> Sequence[QuantumTask]:
        return [rows.task_from(row) for row in await self._select(_task_query(query), query.limit)]

    # -- pauses

    async def pause(self, pause: Pause, events: Sequence[AuditEvent]) -> None:
        await self._writer.commit(operations.PutPause(pause, events))

    async def resume(self, tenant: str, events: Sequence[AuditEvent]) -> None:
        await self._writer.commit(operations.DropPause(tenant, events))

    async def pauses(self) -> Mapping[str, Pause]:
        found = await self._select(select(tables.tenant_pauses), MAX_LIMIT)
        return {row["tenant"]: rows.pause_from(row) for row in found}

    # -- root secrets

    async def add_root_secret(self, made: RootSecret, events: Sequence[AuditEvent]) -> None:
        await self._writer.commit(operations.AddRootSecret(made, events))

    async def root_secrets(self) -> Sequence[RootSecret]:
        return [rows.root_secret_from(row) for row in await self._select(select(tables.root_secrets), MAX_LIMIT)]

    # -- quota

    async def usage(self, scopes: Sequence[str], window: str) -> Sequence[QuotaUsage]:
        table = tables.counters
        query = (
            select(table.c.scope, table.c.metric, table.c.used)
            .where(table.c.scope.in_(list(scopes)[:MAX_LIMIT]), table.c.window == window)
            .order_by(table.c.scope, table.c.metric)
        )
        found = await self._select(query, MAX_LIMIT)
        return [QuotaUsage(row["scope"], Metric(row["metric"]), window, row["used"]) for row in found]

    # -- findings

    async def add_findings(self, findings: Sequence[Finding], events: Sequence[AuditEvent]) -> None:
        await self._writer.commit(operations.AddFindings(findings, events))

    async def findings(self, *, tenant: str = "", lease_id: str = "", limit: int = 200) -> Sequence[Finding]:
        table = tables.findings
        query = select(table).order_by(table.c.found_at.desc(), table.c.id.desc())
        if tenant:
            query = query.where(table.c.tenant == tenant)
        if lease_id:
            query = query.where(table.c.lease_id == lease_id)
        return [rows.finding_from(row) for row in await self._select(query, limit)]

    # -- audit

    async def record(self, events: Sequence[AuditEvent]) -> None:
        await self._writer.commit(operations.Record(events))

    async def audit_records(self, start: int, limit: int) -> Sequence[AuditRecord]:
        bounds = {"start": max(start, 0), "end": max(start, 0) + _bounded(limit)}
        found = await self._read(lambda session: session.execute(session.statements.records, bounds))
        return [AuditRecord(index=index, leaf=bytes(leaf), leaf_hash=bytes(hashed)) for index, leaf, hashed in found]

    async def audit_size(self) -> int:
        """How many records the log has."""
        return (await self._read(auditlog.read_head)).size

    async def checkpoint(self) -> Checkpoint:
        """Sign the present head, publish it, return it; an unchanged head keeps its checkpoint. `RecordingError` when
        it cannot be written, `StateDirectoryError` when the log no longer extends what was published: a fork is never
        signed."""
        return await self._read(self._publish)

    async def newest_checkpoint(self) -> Checkpoint | None:
        return await self._read(self._verified)

    def _verified(self, session: Session) -> Checkpoint | None:
        published = self._checkpoints.newest()  # before the head, as below
        head = auditlog.read_head(session)
        auditlog.check_head(session, head)
        for checkpoint in published:
            _require_extends(session, head, checkpoint)
        return max(published, key=lambda checkpoint: checkpoint.size, default=None)

    def _publish(self, session: Session) -> Checkpoint:
        published = self._checkpoints.newest()  # before the head: others may append and publish meanwhile
        head = auditlog.read_head(session)
        for checkpoint in published:
            _require_extends(session, head, checkpoint)
        return self._checkpoints.publish(head.size, head.root)

    async def inclusion_proof(self, index: int, size: int) -> InclusionProof:
        """`InvalidRequestError` unless 0 <= index < size <= the log's size."""

        def prove(session: Session) -> InclusionProof:
            if not 0 <= index < size <= auditlog.read_head(session).size:
                raise InvalidRequestError(f"There is no record {index} in a log of {size}.")
            source = auditlog.node_source(session)
            return InclusionProof(index, size, source(0, index), merkle.inclusion_path(index, size, source))

        return await self._read(prove)

    async def consistency_proof(self, old_size: int, new_size: int) -> ConsistencyProof:
        """`InvalidRequestError` unless 0 <= old_size <= new_size <= the log's size."""

        def prove(session: Session) -> ConsistencyProof:
            if not 0 <= old_size <= new_size <= auditlog.read_head(session).size:
                raise InvalidRequestError(f"The log never grew from {old_size} to {new_size} records.")
            path = merkle.consistency_path(old_size, new_size, auditlog.node_source(session))
            return ConsistencyProof(old_size, new_size, path)

        return await self._read(prove)

    # -- watching

    async def probe(self) -> None:
        await self._writer.commit(operations.Probe())

    async def figures(self, now: datetime) -> StoreFigures:
        return await self._read(lambda session: read_figures(session, self._checkpoints.newest(), now))

    # -- reading

    async def _select(self, query: Select[Any], limit: int) -> list[Mapping[str, Any]]:
        bounded = query.limit(_bounded(limit))

        def fetch() -> list[Mapping[str, Any]]:
            with self._engine.connect() as connection:
                return [dict(row) for row in connection.execute(bounded).mappings()]

        return await self._in_reader(fetch)

    async def _read(self, question: Callable[[Session], Answer], *, snapshot: bool = True) -> Answer:
        """`snapshot=False`: for a question of one statement."""

        def ask() -> Answer:
            with self._reading(snapshot=snapshot) as session:
                return question(session)

        return await self._in_reader(ask)

    async def _in_reader(self, ask: Callable[[], Answer]) -> Answer:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._readers, self._patiently, ask)
        except RuntimeError as error:  # the pool was shut down
            raise UnavailableError("The store is closed.") from error
        except self._database.errors as error:
            raise UnavailableError(
                f"The state database cannot be read now ({self._database.reason(error)})."
            ) from error


def _bounded(limit: int) -> int:
    return max(0, min(limit, MAX_LIMIT))


def _task_query(query: TaskQuery) -> Select[Any]:
    table = tables.tasks
    statement = select(table).order_by(table.c.created_at.desc(), table.c.id.desc())
    for name in ("tenant", "principal", "lease_id", "device_arn"):
        if value := getattr(query, name):
            statement = statement.where(table.c[name] == value)
    if query.states:
        statement = statement.where(table.c.state.in_([state.value for state in query.states]))
    if query.created_after is not None:
        statement = statement.where(table.c.created_at > rows.micros(query.created_after))
    if query.created_before is not None:
        statement = statement.where(table.c.created_at < rows.micros(query.created_before))
    if query.before is not None:
        moment, task_id = rows.micros(query.before[0]), query.before[1]
        earlier = and_(table.c.created_at == moment, table.c.id < task_id)
        statement = statement.where(or_(table.c.created_at < moment, earlier))
    return statement


def _require_extends(session: Session, head: auditlog.Head, checkpoint: Checkpoint) -> None:
    """The log holds everything that the checkpoint signed, unchanged."""
    if head.size < checkpoint.size:
        raise auditlog.damaged(f"it has {head.size} records, but a published checkpoint signed {checkpoint.size}")
    root = merkle.root_of(checkpoint.size, auditlog.node_source(session))
    if not merkle.same_hash(root, checkpoint.root):
        raise auditlog.damaged(f"its first {checkpoint.size} records are not those that a published checkpoint signed")

"""Statements of the shared queue, of the workers that serve it, and of the signatures that they have seen."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from sqlalchemy import BigInteger, Executable, and_, bindparam, cast, delete, extract, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect

from jupyter_qsec.adapters.store import tables
from jupyter_qsec.adapters.store.compiled import Statement

TOGETHER = 32
"""Tasks whose revisions one statement reads."""

_queue = tables.task_queue
_workers = tables.gateway_workers
_flows = tables.fair_flows


class _Compiling:
    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._insert = postgresql.insert if dialect.name == "postgresql" else sqlite.insert

    def _compile(self, statement: Executable) -> Statement:
        return Statement(statement, self._dialect)

    def _now(self) -> Any:
        """Microseconds since 1970 by the database's clock: one clock for all processes."""
        if self._dialect.name == "postgresql":
            return cast(extract("epoch", func.clock_timestamp()) * 1_000_000, BigInteger)
        return cast((func.julianday("now") - 2440587.5) * 86_400_000_000, BigInteger)


class ClaimStatements(_Compiling):
    """Queue, workers and fair shares, for one dialect."""

    # -- the queue
    @cached_property
    def heads(self) -> Statement:
        """The first waiting task of each tenant. Tenants are found by jumps through the index, so that the length of
        the queue costs nothing. A row that another claim holds is left out."""
        waits = _queue.c.claimed_by == ""
        first = select(func.min(_queue.c.tenant).label("tenant")).where(waits)
        tenants = first.cte("tenants", recursive=True)
        following = select(func.min(_queue.c.tenant)).where(waits, _queue.c.tenant > tenants.c.tenant)
        tenants = tenants.union_all(select(following.scalar_subquery()).where(tenants.c.tenant.is_not(None)))
        inner = _queue.alias()
        oldest = (
            select(inner.c.task_id)
            .where(inner.c.claimed_by == "", inner.c.tenant == tenants.c.tenant)
            .order_by(inner.c.queued_at, inner.c.task_id)
            .limit(1)
            .correlate(tenants)
        )
        head = _queue.alias("head")
        return self._compile(
            select(head.c.tenant, head.c.task_id, head.c.queued_at, head.c.cost, head.c.arrived)
            .select_from(tenants.join(head, head.c.task_id == oldest.scalar_subquery()))
            .with_for_update(skip_locked=True, of=head)
        )

    @cached_property
    def running(self) -> Statement:
        """How many tasks of each tenant run, over all workers."""
        return self._compile(
            select(_queue.c.tenant, func.count()).where(_queue.c.claimed_by != "").group_by(_queue.c.tenant)
        )

    @cached_property
    def paused(self) -> Statement:
        return self._compile(select(tables.tenant_pauses.c.tenant))

    @cached_property
    def waits(self) -> Statement:
        return self._compile(select(_queue.c.task_id).where(_queue.c.claimed_by == "").limit(1))

    @cached_property
    def take(self) -> Statement:
        """Claims a waiting task; no row when it does not wait any more."""
        return self._compile(
            update(_queue)
            .where(_queue.c.task_id == bindparam("claimed_task"), _queue.c.claimed_by == "")
            .values(claimed_by=bindparam("worker"))
            .returning(_queue.c.task_id)
        )

    @cached_property
    def put_back(self) -> Statement:
        """Lets a claimed task wait again; no row unless `holder` has claimed it."""
        return self._compile(
            update(_queue)
            .where(_queue.c.task_id == bindparam("claimed_task"), _queue.c.claimed_by == bindparam("holder"))
            .values(claimed_by="")
            .returning(_queue.c.task_id)
        )

    @cached_property
    def held(self) -> Statement:
        """No row unless `holder` has claimed the task."""
        return self._compile(
            select(_queue.c.task_id).where(
                _queue.c.task_id == bindparam("claimed_task"), _queue.c.claimed_by == bindparam("holder")
            )
        )

    @cached_property
    def leave(self) -> Statement:
        return self._compile(delete(_queue).where(_queue.c.task_id == bindparam("claimed_task")))

    @cached_property
    def leave_as_holder(self) -> Statement:
        """No row unless `holder` has claimed the task."""
        return self._compile(
            delete(_queue)
            .where(_queue.c.task_id == bindparam("claimed_task"), _queue.c.claimed_by == bindparam("holder"))
            .returning(_queue.c.task_id)
        )

    @cached_property
    def pass_on(self) -> Statement:
        """Gives all claims of one worker to another."""
        return self._compile(
            update(_queue)
            .where(_queue.c.claimed_by == bindparam("silent"))
            .values(claimed_by=bindparam("worker"))
            .returning(_queue.c.task_id)
        )

    @cached_property
    def claims(self) -> Statement:
        """Id and state of each task that a worker has claimed."""
        task = tables.tasks
        return self._compile(
            select(task.c.id, task.c.state)
            .select_from(_queue.join(task, task.c.id == _queue.c.task_id))
            .where(_queue.c.claimed_by == bindparam("worker"))
        )

    @cached_property
    def revisions(self) -> Statement:
        """Id and revision of `task_0` and so on, as many as `TOGETHER`; a task may be named more than once."""
        names: list[Any] = [bindparam(f"task_{number}") for number in range(TOGETHER)]
        return self._compile(select(tables.tasks.c.id, tables.tasks.c.revision).where(tables.tasks.c.id.in_(names)))

    @cached_property
    def unfinished(self) -> Statement:
        """Tasks that have not ended and are not in the queue, such as those of a gateway that did not share."""
        task = tables.tasks
        states = ("CREATED", "QUEUED", "RUNNING", "CANCELLING")
        queued = select(_queue.c.task_id).where(_queue.c.task_id == task.c.id).exists()
        return self._compile(
            select(task.c.id, task.c.tenant, task.c.state, task.c.created_at, task.c.queued_at).where(
                or_(*[task.c.state == state for state in states]), ~queued
            )
        )

    # -- fair shares
    @cached_property
    def flows(self) -> Statement:
        return self._compile(select(_flows.c.tenant, _flows.c.finish))

    @cached_property
    def virtual_time(self) -> Statement:
        return self._compile(select(_flows.c.finish).where(_flows.c.tenant == ""))

    @cached_property
    def move_flow(self) -> Statement:
        fresh = self._insert(_flows).values(tenant=bindparam("tenant"), finish=bindparam("finish"))
        return self._compile(
            fresh.on_conflict_do_update(index_elements=["tenant"], set_={"finish": fresh.excluded.finish})
        )

    # -- workers
    @cached_property
    def enlist(self) -> Statement:
        return self._compile(insert(_workers).values(id=bindparam("worker"), beats=0, capacity=bindparam("capacity")))

    @cached_property
    def beat(self) -> Statement:
        """No row: the worker is not on the list."""
        return self._compile(
            update(_workers)
            .where(_workers.c.id == bindparam("worker"))
            .values(beats=_workers.c.beats + 1)
            .returning(_workers.c.beats)
        )

    @cached_property
    def on_list(self) -> Statement:
        return self._compile(select(_workers.c.beats).where(_workers.c.id == bindparam("worker")))

    @cached_property
    def roll(self) -> Statement:
        return self._compile(select(_workers.c.id, _workers.c.beats))

    @cached_property
    def lost(self) -> Statement:
        """Who has claims without being on the list."""
        known = select(_workers.c.id).where(_workers.c.id == _queue.c.claimed_by).exists()
        return self._compile(select(_queue.c.claimed_by).where(_queue.c.claimed_by != "", ~known).distinct())

    @cached_property
    def strike_off(self) -> Statement:
        return self._compile(delete(_workers).where(_workers.c.id == bindparam("worker")))

    @cached_property
    def capacity(self) -> Statement:
        return self._compile(select(func.coalesce(func.sum(_workers.c.capacity), 0).cast(BigInteger)))

    @cached_property
    def time(self) -> Statement:
        return self._compile(select(self._now()))

    # -- a picture of the queue
    @cached_property
    def line(self) -> Statement:
        """The waiting tasks of one tenant, or of all for an empty name, first come first."""
        chosen = or_(_queue.c.tenant == bindparam("tenant"), bindparam("every") == 1)
        return self._compile(
            select(_queue.c.tenant, _queue.c.task_id)
            .where(and_(_queue.c.claimed_by == "", chosen))
            .order_by(_queue.c.queued_at, _queue.c.task_id)
        )


class SignatureStatements(_Compiling):
    """The record of signatures, for one dialect."""

    @cached_property
    def note(self) -> Statement:
        """No row when the signature is there already."""
        table = tables.seen_signatures
        values: dict[str, Any] = {name: bindparam(name) for name in ("signature", "request", "signed_at")}
        fresh = self._insert(table).values(**values, seen_at=self._now())
        return self._compile(fresh.on_conflict_do_nothing(index_elements=["signature"]).returning(table.c.request))

    @cached_property
    def noted(self) -> Statement:
        """Which request brought it, and how many microseconds ago."""
        table = tables.seen_signatures
        return self._compile(
            select(table.c.request, self._now() - table.c.seen_at).where(table.c.signature == bindparam("signature"))
        )

    @cached_property
    def forget(self) -> Statement:
        table = tables.seen_signatures
        return self._compile(delete(table).where(table.c.signed_at < bindparam("limit")))

"""Statements of the write path, compiled once.

They are written with SQLAlchemy, so that each database gets its own dialect, and run on the driver's cursor, because
the unit of work of the writer is dozens of tiny statements and SQLAlchemy's execution costs ten times the statement.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from sqlalchemy import Executable, Integer, Table, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect

from jupyter_qsec.adapters.store import tables
from jupyter_qsec.adapters.store.claimstatements import ClaimStatements, SignatureStatements
from jupyter_qsec.adapters.store.compiled import RowsInsert, Statement
from jupyter_qsec.domain.task import TaskState

_ACTIVE = (
    tables.leases.c.issued_at > bindparam("since"),
    tables.leases.c.expires_at > bindparam("now"),
    tables.leases.c.revoked_at.is_(None),
)
"""Which leases are active at `now`; none of them was issued before `since`."""


class Statements:
    """All statements for one dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._insert = postgresql.insert if dialect.name == "postgresql" else sqlite.insert
        self._reserve: dict[int, Statement] = {}
        self._rows: dict[tuple[str, int], RowsInsert] = {}
        self.claims = ClaimStatements(dialect)
        self.signatures = SignatureStatements(dialect)

    def _compile(self, statement: Executable, columns: list[str] | None = None) -> Statement:
        return Statement(statement, self._dialect, columns)

    def rows_insert(self, table: Table, count: int) -> RowsInsert:
        """Inserts `count` rows; rows that would break a uniqueness are left out, which the row count shows."""
        key = (table.name, count)
        if key not in self._rows:
            self._rows[key] = RowsInsert(table, count, self._dialect, self._insert)
        return self._rows[key]

    def _insert_into(self, table: Any) -> Statement:
        return self._compile(insert(table), [column.name for column in table.columns])

    def _replace(self, table: Any, *guards: str) -> Statement:
        """Update the row `id` whose revision is `old_revision` and whose `guards` are unchanged."""
        columns = [column.name for column in table.columns if column.name not in ("id", *guards)]
        statement = (
            update(table)
            .where(table.c.id == bindparam("row_id"), table.c.revision == bindparam("old_revision"))
            .where(*[table.c[name] == bindparam(f"same_{name}") for name in guards])
            .values({name: bindparam(f"new_{name}") for name in columns})
            .returning(table.c.id)
        )
        return self._compile(statement)

    @cached_property
    def insert_pause(self) -> Statement:
        """No row when the tenant is paused already."""
        table = tables.tenant_pauses
        fresh = self._insert(table).on_conflict_do_nothing(index_elements=["tenant"]).returning(table.c.tenant)
        return self._compile(fresh, [column.name for column in table.columns])

    @cached_property
    def insert_root_secret(self) -> Statement:
        """No row when that generation exists."""
        table = tables.root_secrets
        fresh = self._insert(table).on_conflict_do_nothing().returning(table.c.name)
        return self._compile(fresh, [column.name for column in table.columns])

    @cached_property
    def delete_pause(self) -> Statement:
        """No row when the tenant is not paused."""
        table = tables.tenant_pauses
        return self._compile(
            delete(table).where(table.c.tenant == bindparam("paused_tenant")).returning(table.c.tenant)
        )

    @cached_property
    def insert_lease(self) -> Statement:
        return self._insert_into(tables.leases)

    @cached_property
    def replace_lease(self) -> Statement:
        return self._replace(tables.leases)

    @cached_property
    def insert_task(self) -> Statement:
        """Returns the id, or no row when the tenant used the client token before."""
        statement = (
            self._insert(tables.tasks)
            .on_conflict_do_nothing(index_elements=["tenant", "client_token"])
            .returning(tables.tasks.c.id)
        )
        return self._compile(statement, [column.name for column in tables.tasks.columns])

    @cached_property
    def replace_task(self) -> Statement:
        # A task never changes its tenant: a row of another tenant is a conflict, not an update.
        return self._replace(tables.tasks, "tenant")

    @cached_property
    def insert_payload(self) -> Statement:
        return self._insert_into(tables.payloads)

    @cached_property
    def insert_reservation(self) -> Statement:
        return self._insert_into(tables.reservations)

    @cached_property
    def settle_reservation(self) -> Statement:
        """Marks the reservation as settled and returns what was reserved; no row when it was settled before."""
        table = tables.reservations
        statement = (
            update(table)
            .where(table.c.task_id == bindparam("settled_task"), table.c.settled == 0)
            .values(settled=1, actual=bindparam("new_actual"))
            .returning(table.c.charges)
        )
        return self._compile(statement)

    def reserve(self, count: int) -> Statement:
        """Adds to `count` counters at once and returns only those that stay within their limit."""
        if count not in self._reserve:
            table = tables.counters
            names = [column.name for column in table.columns]
            fresh = self._insert(table).values(
                [{name: bindparam(f"{name}_{number}") for name in names} for number in range(count)]
            )
            total = table.c.used + fresh.excluded.used
            statement = fresh.on_conflict_do_update(
                index_elements=["scope", "metric", "window"],
                set_={"used": total, "ceiling": fresh.excluded.ceiling},
                where=fresh.excluded.ceiling.is_(None) | (total <= fresh.excluded.ceiling),
            ).returning(table.c.used)
            self._reserve[count] = self._compile(statement)
        return self._reserve[count]

    @cached_property
    def adjust(self) -> Statement:
        """Adds `amount`, which may be negative, whatever the limit: what was used was used. No row: no such counter."""
        table = tables.counters
        keys = [table.c[name] == bindparam(name) for name in ("scope", "metric", "window")]
        used = table.c.used + bindparam("amount")
        return self._compile(update(table).where(*keys).values(used=used).returning(table.c.used))

    @cached_property
    def insert_counter(self) -> Statement:
        table = tables.counters
        values: dict[str, Any] = {name: bindparam(name) for name in ("scope", "metric", "window")}
        return self._compile(insert(table).values(**values, used=bindparam("amount")))

    @cached_property
    def counter(self) -> Statement:
        table = tables.counters
        keys = [table.c[name] == bindparam(name) for name in ("scope", "metric", "window")]
        return self._compile(select(table.c.used).where(*keys))

    @cached_property
    def task(self) -> Statement:
        return self._compile(select(tables.tasks).where(tables.tasks.c.id == bindparam("id")))

    @cached_property
    def task_of_client_token(self) -> Statement:
        table = tables.tasks
        return self._compile(
            select(table).where(
                table.c.tenant == bindparam("tenant"), table.c.client_token == bindparam("client_token")
            )
        )

    @cached_property
    def lease(self) -> Statement:
        return self._compile(select(tables.leases).where(tables.leases.c.id == bindparam("id")))

    @cached_property
    def live_tasks(self) -> Statement:
        """How many tasks have not ended, by tenant and state."""
        table = tables.tasks
        live = or_(*[table.c.state == state.value for state in TaskState if not state.terminal])
        columns = (table.c.tenant, table.c.state)
        return self._compile(select(*columns, func.count()).where(live).group_by(*columns))

    @cached_property
    def active_leases(self) -> Statement:
        """How many leases are active, and the oldest of them, by tenant."""
        table = tables.leases
        columns = (table.c.tenant, func.count(), func.min(table.c.issued_at))
        return self._compile(select(*columns).where(*_ACTIVE).group_by(table.c.tenant))

    @cached_property
    def lease_holders(self) -> Statement:
        table = tables.leases
        return self._compile(select(table.c.principal, table.c.claims).where(*_ACTIVE).distinct())

    @cached_property
    def payload(self) -> Statement:
        table = tables.payloads
        return self._compile(
            select(table.c.action, table.c.device_parameters).where(table.c.task_id == bindparam("id"))
        )

    @cached_property
    def insert_finding(self) -> Statement:
        return self._insert_into(tables.findings)

    @cached_property
    def head(self) -> Statement:
        """On PostgreSQL the row is locked until the transaction ends; on SQLite the whole database is."""
        table = tables.audit_head
        statement = select(table.c.size, table.c.root, table.c.nodes, table.c.chain).where(table.c.id == 1)
        return self._compile(statement.with_for_update())

    @cached_property
    def read_head(self) -> Statement:
        table = tables.audit_head
        return self._compile(select(table.c.size, table.c.root, table.c.nodes, table.c.chain).where(table.c.id == 1))

    @cached_property
    def audit_key(self) -> Statement:
        return self._compile(select(tables.audit_key.c.verifier_key))

    @cached_property
    def update_head(self) -> Statement:
        table = tables.audit_head
        names = ("size", "root", "nodes", "chain", "appended_at")
        statement = (
            update(table)
            .where(table.c.id == 1, table.c.size == bindparam("old_size"))
            .values({name: bindparam(f"new_{name}") for name in names})
            .returning(table.c.id)
        )
        return self._compile(statement)

    @cached_property
    def mark_group(self) -> Statement:
        """Notes which group a writer commits."""
        table = tables.write_groups
        fresh = self._insert(table).values(writer=bindparam("writer"), number=bindparam("number"))
        marked = fresh.on_conflict_do_update(index_elements=["writer"], set_={"number": fresh.excluded.number})
        return self._compile(marked)

    @cached_property
    def marked_group(self) -> Statement:
        table = tables.write_groups
        return self._compile(select(table.c.number).where(table.c.writer == bindparam("writer")))

    @cached_property
    def forget_writer(self) -> Statement:
        table = tables.write_groups
        return self._compile(delete(table).where(table.c.writer == bindparam("writer")))

    @cached_property
    def records(self) -> Statement:
        table = tables.audit_records
        return self._compile(
            select(table.c.idx, table.c.leaf, table.c.leaf_hash)
            .where(table.c.idx >= bindparam("start"), table.c.idx < bindparam("end"))
            .order_by(table.c.idx)
        )

    @cached_property
    def log_page(self) -> Statement:
        """The next `count` records behind the index `after`, as they are stored."""
        table = tables.audit_records
        return self._compile(
            select(table.c.idx, table.c.leaf, table.c.leaf_hash, table.c.chain)
            .where(table.c.idx > bindparam("after"))
            .order_by(table.c.idx)
            .limit(bindparam("count", type_=Integer))
        )

    @cached_property
    def leaf_hashes(self) -> Statement:
        table = tables.audit_records
        return self._compile(
            select(table.c.leaf_hash)
            .where(table.c.idx >= bindparam("start"), table.c.idx < bindparam("end"))
            .order_by(table.c.idx)
        )

    @cached_property
    def node_hashes(self) -> Statement:
        table = tables.audit_nodes
        return self._compile(
            select(table.c.hash)
            .where(
                table.c.height == bindparam("height"),
                table.c.idx >= bindparam("start"),
                table.c.idx < bindparam("end"),
            )
            .order_by(table.c.idx)
        )

    @cached_property
    def last_index(self) -> Statement:
        table = tables.audit_records
        return self._compile(select(table.c.idx).order_by(table.c.idx.desc()).limit(1))

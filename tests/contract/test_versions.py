"""Version 0005 of the schema and the present one on one database: what a gateway of the older one sends goes on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from jupyter_qsec.adapters.store import Database, PostgresDatabase, SqliteDatabase, SqlStore, database
from jupyter_qsec.adapters.store.rows import lease_row
from jupyter_qsec.domain.lease import Lease
from tests.contract.builders import event, lease
from tests.contract.conftest import SIGNER
from tests.contract.test_migrations import move
from tests.fakes.clock import FakeClock

COLUMNS = (
    "id, principal, tenant, project, issued_at, expires_at, max_expires_at, ttl, label, holder, parent, confinement, "
    "revoked_at, revoked_because, token_digest, revision"
)
# As the gateway before leases had claims sends them, which names every column that it knows.
INSERT = text(f"INSERT INTO leases ({COLUMNS}) VALUES (:{COLUMNS.replace(', ', ', :')})")
SELECT = text(f"SELECT {COLUMNS} FROM leases WHERE id = :id")
UPDATE = text(
    f"UPDATE leases SET {', '.join(f'{name} = :{name}' for name in COLUMNS.split(', ')[1:])} "
    "WHERE id = :id AND revision = :revision - 1 RETURNING id"
)


def known(made: Lease) -> dict[str, Any]:
    """The lease as that version knows it."""
    row = lease_row(made)
    del row["claims"]
    return row


def renewed(made: Lease) -> Lease:
    return replace(made, expires_at=made.expires_at + timedelta(minutes=5), revision=made.revision + 1)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, home: Path) -> Database:
    if request.param == "sqlite":
        return SqliteDatabase(home / "state.db")
    return PostgresDatabase(request.getfixturevalue("empty_postgres_url"))


@pytest.fixture
def older(empty: Database) -> Iterator[Connection]:
    """The connection of an older gateway that was there first. Each of its statements is a transaction."""
    empty.prepare()
    engine = empty.engine()
    database.migrate(empty, engine)
    move(empty, engine, "0005")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(INSERT, known(lease("before")))
        yield connection
    engine.dispose()


def newer(made: Database, home: Path) -> SqlStore:
    return SqlStore(made, signer=SIGNER, clock=FakeClock(), checkpoint_dir=home / "checkpoints")


async def test_leases_of_the_older_one_are_read_with_no_claims(empty: Database, older: Connection, home: Path) -> None:
    store = newer(empty, home)
    await store.open()  # migrates
    older.execute(INSERT, known(lease("after")))
    assert [await store.lease(name) for name in ("before", "after")] == [
        lease(name, claims={}) for name in ("before", "after")
    ]
    await store.close()


async def test_each_renews_what_the_other_issued_and_no_claim_is_lost(
    empty: Database, older: Connection, home: Path
) -> None:
    store = newer(empty, home)
    await store.open()
    await store.put_lease(lease("newers"), [event("lease.issued")])
    assert older.execute(UPDATE, known(renewed(lease("newers")))).fetchall() == [("newers",)]
    assert await store.lease("newers") == renewed(lease("newers")), "with the claims that it was issued with"

    await store.put_lease(renewed(lease("before", claims={})), [event("lease.renewed")])
    [row] = older.execute(SELECT, {"id": "before"}).mappings()
    assert dict(row) == known(renewed(lease("before")))
    assert older.execute(UPDATE, known(renewed(lease("before")))).fetchall() == [], "the newer one was first"
    await store.close()

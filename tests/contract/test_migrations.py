"""The schema's migrations, with data, in both directions, on both databases."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, text

from jupyter_qsec.adapters.store import Database, PostgresDatabase, SqliteDatabase, SqlStore, database, tables
from jupyter_qsec.application.claims import Line
from jupyter_qsec.domain.errors import StateDirectoryError
from jupyter_qsec.domain.task import TaskState
from tests.contract.builders import PAYLOAD, charge, event, finding, lease, task
from tests.contract.conftest import SIGNER
from tests.contract.postgres import PostgresServer
from tests.fakes.clock import FakeClock

VERSIONS = Path(database.__file__).parent / "migrations" / "versions"
OWN = sorted(table.name for table in tables.metadata.sorted_tables)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, home: Path) -> Database:
    """A database without any table."""
    if request.param == "sqlite":
        return SqliteDatabase(home / "state.db")
    return PostgresDatabase(request.getfixturevalue("empty_postgres_url"))


@pytest.fixture
def engine(empty: Database) -> Iterator[Engine]:
    empty.prepare()
    made = empty.engine()
    yield made
    made.dispose()


ADDED = {
    "0001": ["write_groups"],
    "0002": ["fair_flows", "gateway_workers", "seen_signatures", "task_queue"],
    "0003": ["tenant_pauses"],
    "0004": ["audit_key"],
    "0005": ["leases.claims"],
    "0006": ["root_secrets"],
}
"""The tables and columns that each version lacks of the next one."""


def store(made: Database, home: Path, *, shared: bool = False) -> SqlStore:
    return SqlStore(made, signer=SIGNER, clock=FakeClock(), checkpoint_dir=home / "checkpoints", shared=shared)


LEASE = lease(claims={})
"""As versions before claims can hold it."""


async def fill(made: Database, home: Path) -> None:
    filled = store(made, home)
    await filled.open()
    await filled.put_lease(LEASE, [event("lease.issued")])
    await filled.submit(task(), PAYLOAD, [charge()], [event("task.submitted")])
    await filled.add_findings([finding()], [event("finding")])
    await filled.close()


def move(made: Database, engine: Engine, to: str) -> None:
    with engine.connect() as connection, connection.begin():
        made.begin_migrating(connection)
        config = database.migrations(connection)
        if to == "head":
            command.upgrade(config, to)
        else:
            command.downgrade(config, to)


def content(engine: Engine, without: Collection[str] = ()) -> dict[str, list[Any]]:
    """All rows by table, but for these tables and columns."""
    with engine.connect() as connection:
        found = inspect(connection)
        columns = {
            name: [f'"{each["name"]}"' for each in found.get_columns(name) if f"{name}.{each['name']}" not in without]
            for name in sorted(found.get_table_names())
            if name not in {"alembic_version", *without}
        }
        return {
            name: sorted(tuple(row) for row in connection.execute(text(f'SELECT {", ".join(own)} FROM "{name}"')))
            for name, own in columns.items()
        }


def test_they_build_the_tables_that_the_code_uses(empty: Database, engine: Engine) -> None:
    database.migrate(empty, engine)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []


def test_the_version_that_is_opened_without_migrating_is_the_newest() -> None:
    scripts = ScriptDirectory(str(Path(database.__file__).parent / "migrations"))
    assert scripts.get_current_head() == database.SCHEMA_VERSION


async def test_down_to_nothing_and_up_again(empty: Database, engine: Engine, home: Path) -> None:
    await fill(empty, home)
    assert sorted(content(engine)) == OWN
    move(empty, engine, "base")
    assert content(engine) == {}
    move(empty, engine, "head")
    assert sorted(content(engine)) == OWN
    fresh = store(empty, home)
    await fresh.open()
    assert await fresh.audit_size() == 0
    await fresh.close()


@pytest.mark.parametrize("version", list(ADDED))
async def test_down_to_a_version_and_up_again_keeps_what_was_stored(
    empty: Database, engine: Engine, home: Path, version: str
) -> None:
    await fill(empty, home)
    lost = [name for older, names in ADDED.items() if older >= version for name in names]
    before, kept = content(engine), content(engine, without=lost)
    move(empty, engine, version)
    assert content(engine) == kept
    again = store(empty, home)
    await again.open()  # brings it up
    assert await again.lease("l1") == LEASE
    assert await again.task("t1") == task()
    assert await again.findings() == [finding()]
    assert await again.audit_size() == 3
    await again.close()
    assert content(engine) == before


async def test_tasks_of_a_version_that_did_not_share_are_queued(empty: Database, engine: Engine, home: Path) -> None:
    await fill(empty, home)
    filled = store(empty, home)
    await filled.open()
    queued = task("t2", state=TaskState.QUEUED)
    for made in (queued, task("t3", state=TaskState.QUEUED)):
        await filled.submit(made, PAYLOAD, [], [])
    await filled.put_task(queued.moved(TaskState.RUNNING), [])
    await filled.close()
    move(empty, engine, "0002")
    again = store(empty, home, shared=True)
    await again.open()
    await again.claims.enlist("w1", 4)
    assert await again.claims.line() == Line({"sandbox": ["t1", "t3"]}, {"sandbox": 1}, 4)
    assert await again.claims.beat("w1") == {"unknown": -1, "w1": 1}
    assert [found.id for found in await again.claims.take_over("w1", "unknown", -1)] == ["t2"]
    await again.close()


@pytest.mark.parametrize("migration", sorted(VERSIONS.glob("v[0-9]*.py")), ids=lambda path: path.stem)
def test_a_migration_only_adds(migration: Path) -> None:
    """While the first process of a new version migrates, those of the version before go on with what they know."""
    upgrade = next(node for node in ast.parse(migration.read_text()).body if getattr(node, "name", "") == "upgrade")
    done = {
        node.attr
        for node in ast.walk(upgrade)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "op"
    }
    assert done <= {"create_table", "create_index", "add_column"}
    if "add_column" in done:  # they insert rows without it
        assert ast.unparse(upgrade).count("server_default=") == ast.unparse(upgrade).count("add_column(")


async def test_a_later_version_is_refused_and_left_untouched(empty: Database, engine: Engine, home: Path) -> None:
    await fill(empty, home)
    with engine.connect() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        connection.commit()
    before = content(engine)
    with pytest.raises(StateDirectoryError, match="has schema 9999, which this version does not know"):
        await store(empty, home).open()
    assert content(engine) == before


async def test_a_file_that_may_only_be_read_says_so(home: Path) -> None:
    with pytest.raises(StateDirectoryError, match="readonly database"):
        await store(SqliteDatabase(home / "state.db", {"query_only": 1}), home).open()


async def test_a_server_that_may_only_be_read_says_so(
    postgres_server: PostgresServer, empty_postgres_url: str, home: Path
) -> None:
    name = empty_postgres_url.partition("@/")[2].partition("?")[0]
    postgres_server.run(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with pytest.raises(StateDirectoryError, match="read-only transaction"):
        await store(PostgresDatabase(empty_postgres_url), home).open()

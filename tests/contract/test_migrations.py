"""The schema's migrations, with data, in both directions, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, text

from jupyter_qsec.adapters.store import Database, PostgresDatabase, SqliteDatabase, SqlStore, database, tables
from jupyter_qsec.domain.errors import StateDirectoryError
from tests.contract.builders import PAYLOAD, charge, event, finding, lease, task
from tests.contract.conftest import SIGNER
from tests.contract.postgres import PostgresServer
from tests.fakes.clock import FakeClock

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


def store(made: Database, home: Path) -> SqlStore:
    return SqlStore(made, signer=SIGNER, clock=FakeClock(), checkpoint_dir=home / "checkpoints")


async def fill(made: Database, home: Path) -> None:
    filled = store(made, home)
    await filled.open()
    await filled.put_lease(lease(), [event("lease.issued")])
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


def content(engine: Engine) -> dict[str, list[Any]]:
    with engine.connect() as connection:
        names = [name for name in inspect(connection).get_table_names() if name != "alembic_version"]
        return {
            name: sorted(tuple(row) for row in connection.execute(text(f'SELECT * FROM "{name}"')))
            for name in sorted(names)
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


async def test_one_version_down_and_up_keeps_what_was_stored(empty: Database, engine: Engine, home: Path) -> None:
    await fill(empty, home)
    before = content(engine)
    move(empty, engine, "0001")
    assert content(engine) == {name: rows for name, rows in before.items() if name != "write_groups"}
    again = store(empty, home)
    await again.open()  # brings it up
    assert await again.lease("l1") == lease()
    assert await again.task("t1") == task()
    assert await again.findings() == [finding()]
    assert await again.audit_size() == 3
    await again.close()
    assert content(engine) == before


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

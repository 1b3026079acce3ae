"""`python -m jupyter_qsec.gateway migrate` on real databases: empty, old, newer, away, and in two processes at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import text

from jupyter_qsec.adapters.store import PostgresDatabase, bring_up, database
from jupyter_qsec.adapters.store.database import SCHEMA_VERSION
from jupyter_qsec.domain.errors import StateDirectoryError
from tests.contract.postgres import PostgresServer


def started(**environ: str) -> subprocess.Popen[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER_QSEC_")}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "jupyter_qsec.gateway", "migrate"],
        env={**inherited, **environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def migrated(url: str, **environ: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    process = started(JUPYTER_QSEC_DATABASE_URL=url, **environ)
    out, err = process.communicate(timeout=60)
    return process.returncode, out.strip(), err.strip()


def run(url: str, statement: str) -> None:
    engine = PostgresDatabase(url).engine()
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


def test_an_empty_database_is_brought_up_and_a_second_time_is_none(empty_postgres_url: str) -> None:
    assert migrated(empty_postgres_url) == (0, f"The state database went from schema none to {SCHEMA_VERSION}.", "")
    assert migrated(empty_postgres_url) == (0, f"The state database already has schema {SCHEMA_VERSION}.", "")


def test_an_old_one_says_where_it_came_from(postgres_url: str) -> None:
    made = PostgresDatabase(postgres_url)
    engine = made.engine()
    with engine.connect() as connection, connection.begin():
        made.begin_migrating(connection)
        command.downgrade(database.migrations(connection), "0002")
    engine.dispose()
    assert migrated(postgres_url)[:2] == (0, f"The state database went from schema 0002 to {SCHEMA_VERSION}.")


def test_two_at_once_do_it_once(empty_postgres_url: str) -> None:
    both = [started(JUPYTER_QSEC_DATABASE_URL=empty_postgres_url) for _ in range(2)]
    said = sorted(process.communicate(timeout=60)[0].strip() for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert said[1] == f"The state database went from schema none to {SCHEMA_VERSION}."
    assert said[0] == f"The state database already has schema {SCHEMA_VERSION}."


def test_a_newer_one_is_refused_and_left_as_it_is(postgres_url: str) -> None:
    run(postgres_url, "UPDATE alembic_version SET version_num = '9999'")
    code, out, err = migrated(postgres_url)
    assert (code, out) == (3, "")
    assert "has schema 9999, which this version does not know" in err
    assert "\n" not in err
    assert migrated(postgres_url)[0] == 3


def test_a_server_that_is_away_is_waited_for_and_then_named(tmp_path: Path) -> None:
    with pytest.raises(StateDirectoryError, match="cannot be reached"):
        bring_up(PostgresDatabase(f"postgresql://qsec:hidden@/none?host={tmp_path}"), patience=0.1)


def test_an_account_that_may_not_make_tables_is_told_so(
    postgres_server: PostgresServer, empty_postgres_url: str
) -> None:
    name = empty_postgres_url.partition("@/")[2].partition("?")[0]
    postgres_server.run(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    code, out, err = migrated(empty_postgres_url)
    assert (code, out) == (3, "")
    assert "read-only transaction" in err


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "JUPYTER_QSEC_DATABASE_URL"),
        ("sqlite:///state.db", "Use postgresql"),
        ("postgresql://qsec:hidden@db.example.org/qsec?sslmode=disable", "Use sslmode=verify-full"),
    ],
)
def test_what_names_no_good_database_is_refused_without_its_password(url: str, says: str) -> None:
    code, out, err = migrated(url)
    assert (code, out) == (2, "")
    assert says in err
    assert "\n" not in err and "hidden" not in err


def test_the_password_comes_from_its_file(empty_postgres_url: str, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("unused where all are trusted\n")
    file = str(tmp_path / "password")
    assert migrated(empty_postgres_url, JUPYTER_QSEC_DATABASE_PASSWORD_FILE=file)[0] == 0
    assert migrated(empty_postgres_url, JUPYTER_QSEC_DATABASE_PASSWORD_FILE=f"{file}.not")[0] == 2

"""PostgreSQL for any test: one server for each test process, a fresh database for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from jupyter_qsec.adapters.store import PostgresDatabase
from jupyter_qsec.adapters.store.database import migrate
from tests.contract.postgres import TEMPLATE, PostgresServer, binaries


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for all tests of a process, with a template that is migrated already."""
    programs = binaries()
    if programs is None:
        if os.environ.get("QSEC_SKIP_POSTGRES") == "1":
            pytest.skip("no PostgreSQL found, and QSEC_SKIP_POSTGRES=1")
        pytest.fail("These tests need PostgreSQL (Debian: postgresql). Install it, or set QSEC_SKIP_POSTGRES=1.", False)
    server = PostgresServer(programs)
    try:
        server.start()
        server.run(f"CREATE DATABASE {TEMPLATE}")
        database = PostgresDatabase(server.url(TEMPLATE))
        engine = database.engine()
        migrate(database, engine)
        engine.dispose()
        yield server
    finally:
        server.delete()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A fresh, migrated database."""
    name = postgres_server.new_database()
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture
def empty_postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    name = postgres_server.new_database("template0")
    yield postgres_server.url(name)
    postgres_server.drop_database(name)

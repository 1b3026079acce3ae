"""Transactions outside the writer's thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine

from jupyter_qsec.adapters.store.database import Database, Trouble
from jupyter_qsec.adapters.store.session import Session
from jupyter_qsec.adapters.store.statements import Statements


@contextmanager
def read_session(
    database: Database, engine: Engine, statements: Statements, *, snapshot: bool = True
) -> Iterator[Session]:
    """A session in one read transaction: all it reads is of one moment. Without a `snapshot` that is true of each
    statement alone, and the database is asked once instead of three times."""
    with _connected(database, engine, statements) as session:
        if snapshot:
            database.begin_reading(session)
        yield session


@contextmanager
def write_session(database: Database, engine: Engine, statements: Statements) -> Iterator[Session]:
    """A session in one transaction that no other writer's overlaps; committed at the end."""
    with _connected(database, engine, statements) as session:
        database.begin_writing(session)
        yield session
        session.run("COMMIT")


@contextmanager
def _connected(database: Database, engine: Engine, statements: Statements) -> Iterator[Session]:
    pooled = engine.raw_connection()
    try:
        yield Session(database.cursor(pooled), statements)
    except Exception as error:
        if database.trouble(error) is Trouble.PASSING:
            pooled.invalidate()  # the next attempt gets a new connection
        raise
    finally:
        pooled.close()  # rolls back

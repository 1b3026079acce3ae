"""Read transactions."""

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
    pooled = engine.raw_connection()
    try:
        session = Session(database.cursor(pooled), statements)
        if snapshot:
            database.begin_reading(session)
        yield session
    except Exception as error:
        if database.trouble(error) is Trouble.PASSING:
            pooled.invalidate()  # the next attempt gets a new connection
        raise
    finally:
        pooled.close()  # rolls back

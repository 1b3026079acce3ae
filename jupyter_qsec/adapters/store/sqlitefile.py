"""The database as one SQLite file in the state directory, set up for durability."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool, QueuePool

from jupyter_qsec.adapters.privatefiles import open_private
from jupyter_qsec.adapters.store.auditlog import Head
from jupyter_qsec.adapters.store.database import Database, Trouble, driver_error
from jupyter_qsec.domain.errors import StateDirectoryError

if TYPE_CHECKING:
    from jupyter_qsec.adapters.store.session import Session

_PRAGMAS: Mapping[str, int | str] = {
    "busy_timeout": 10_000,  # ms
    "foreign_keys": 1,
    "trusted_schema": 0,
    "journal_mode": "WAL",
    "synchronous": "FULL",  # a commit returns when it is on the disk
    "fullfsync": 1,  # macOS: reach the platter, not the drive's cache
    "checkpoint_fullfsync": 1,
    "cache_size": -16_384,  # KiB
}


class SqliteDatabase(Database):
    marks_groups = False  # a commit that was not heard of happened in this process, and failed

    errors = (sqlite3.Error, SQLAlchemyError)

    def __init__(self, path: Path, pragmas: Mapping[str, int | str] | None = None) -> None:
        """`path` is made with mode 0600 in a directory that exists; `pragmas` are set on each connection after the
        store's own."""
        self._path = path
        self._pragmas = {} if pragmas is None else pragmas
        self.dialect = sqlite.dialect(paramstyle="qmark")

    def prepare(self) -> None:
        """Create the file with mode 0600, or check that the existing one is ours and closed to others; SQLite gives its
        side files the same mode. `StateDirectoryError` otherwise."""
        try:
            os.close(open_private(self._path, os.O_RDWR | os.O_CREAT))
        except FileNotFoundError as error:
            raise StateDirectoryError(f"The directory of {self._path} does not exist.") from error

    def engine(self, *, pooled: bool = True) -> Engine:
        url = URL.create("sqlite", database=str(self._path))
        pool = QueuePool if pooled else NullPool
        arguments = {"cached_statements": 256, "check_same_thread": False}
        engine = create_engine(url, poolclass=pool, connect_args=arguments, hide_parameters=True)

        def on_connect(connection: Any, _record: object) -> None:
            connection.isolation_level = None
            for name, value in {**_PRAGMAS, **self._pragmas}.items():
                connection.execute(f"PRAGMA {name}={value}")

        event.listen(engine, "connect", on_connect)
        return engine

    def cursor(self, pooled: Any) -> Any:
        return pooled.cursor()

    def begin_writing(self, session: Session) -> Head | None:
        session.run("BEGIN IMMEDIATE")
        return None

    def begin_adding(self, session: Session) -> None:
        session.run("BEGIN IMMEDIATE")

    def begin_reading(self, session: Session) -> None:
        session.run("BEGIN")

    def begin_migrating(self, connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # SQLite has one lock

    def trouble(self, error: BaseException) -> Trouble:
        error = driver_error(error)
        if isinstance(error, sqlite3.IntegrityError):
            return Trouble.CONFLICT
        if isinstance(error, sqlite3.DataError | OverflowError | UnicodeError):
            return Trouble.VALUE
        return Trouble.OTHER

"""Opens the database file, sets SQLite up for durability, and migrates the schema."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool, QueuePool

from jupyter_qsec.adapters.privatefiles import open_private
from jupyter_qsec.domain.errors import StateDirectoryError

SCHEMA_VERSION = "0001"
"""Newest migration; a database at this version is opened without loading the migration tool."""

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


def prepare_file(path: Path) -> None:
    """Create the file with mode 0600, or check that the existing one is ours and closed to others; SQLite gives its
    side files the same mode. `StateDirectoryError` otherwise."""
    try:
        os.close(open_private(path, os.O_RDWR | os.O_CREAT))
    except FileNotFoundError as error:
        raise StateDirectoryError(f"The directory of {path} does not exist.") from error


def make_engine(path: Path, pragmas: Mapping[str, int | str], *, pooled: bool = True) -> Engine:
    """An engine whose connections commit nothing by themselves; `pragmas` are set after ours, on each connection.

    Unpooled, each connection is a new one: what the writer wants after a failure.
    """
    url = URL.create("sqlite", database=str(path))
    pool = QueuePool if pooled else NullPool
    engine = create_engine(url, poolclass=pool, connect_args={"cached_statements": 256, "check_same_thread": False})

    def on_connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        for name, value in {**_PRAGMAS, **pragmas}.items():
            connection.execute(f"PRAGMA {name}={value}")

    event.listen(engine, "connect", on_connect)
    return engine


def migrate(engine: Engine) -> None:
    """Bring the schema to `SCHEMA_VERSION`, in one transaction and safe when processes start together."""
    try:
        with engine.connect() as connection:
            if _version(connection) == SCHEMA_VERSION:
                return
        with engine.connect() as connection, connection.begin():
            # SQLite has one lock; the driver is in autocommit mode, so that SQLAlchemy's begin() sent nothing.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            version = _version(connection)
            if version != SCHEMA_VERSION:
                _upgrade(connection, version)
    except SQLAlchemyError as error:
        raise StateDirectoryError(
            f"The state database cannot be opened ({_reason(error)}).",
            remedy="Restore it from a backup, or move it away to start with an empty one.",
        ) from error


def _version(connection: Connection) -> str:
    if not inspect(connection).has_table("alembic_version"):
        return ""
    rows = connection.exec_driver_sql("SELECT version_num FROM alembic_version").fetchall()
    return str(rows[0][0]) if rows else ""


def _upgrade(connection: Connection, version: str) -> None:
    # Alembic takes a while to load and most starts need no migration.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if version and version not in known:
        raise StateDirectoryError(
            f"The state database has schema {version}, which this version does not know.",
            remedy="Install the version of jupyter_qsec that wrote it, or a newer one.",
        )
    command.upgrade(config, "head")


def _reason(error: SQLAlchemyError) -> str:
    return str(getattr(error, "orig", None) or type(error).__name__)

"""What the store needs of a database, whichever it is: engines, transactions, what an error means, the schema."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, inspect
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import SQLAlchemyError

from jupyter_qsec.adapters.store.auditlog import Head
from jupyter_qsec.domain.errors import StateDirectoryError

if TYPE_CHECKING:
    from alembic.config import Config

    from jupyter_qsec.adapters.store.session import Session

SCHEMA_VERSION = "0007"
"""Newest migration; a database at this version is opened without loading the migration tool."""


class Trouble(Enum):
    """What an error of the driver means."""

    CONFLICT = auto()
    """A uniqueness or a reference would be broken: concerns one operation."""
    VALUE = auto()
    """A value that the database cannot hold: concerns one operation."""
    PASSING = auto()
    """The connection was lost, or the transaction was sacrificed for another: the same may succeed in a moment."""
    OTHER = auto()


class Database(ABC):
    """One database. Its engines commit nothing by themselves."""

    dialect: Dialect
    """Compiles the statements that run on `cursor`."""
    marks_groups: bool
    """Whether a commit may succeed unheard, so that each group leaves its number behind."""

    errors: tuple[type[Exception], ...]
    """What its driver and SQLAlchemy raise."""

    @abstractmethod
    def engine(self, *, pooled: bool = True) -> Engine:
        """Unpooled, each connection is a new one: what the writer wants after a failure."""

    @abstractmethod
    def cursor(self, pooled: Any) -> Any:
        """A cursor on a connection of one of the engines."""

    @abstractmethod
    def begin_writing(self, session: Session) -> Head | None:
        """Begin a transaction that no other writer's overlaps; gives the audit log's head if it was read for that."""

    @abstractmethod
    def begin_adding(self, session: Session) -> None:
        """Begin a transaction that only adds rows which no other writer changes; it may overlap with others'."""

    @abstractmethod
    def begin_reading(self, session: Session) -> None:
        """Begin a transaction in which all that is read is of one moment."""

    @abstractmethod
    def begin_migrating(self, connection: Connection) -> None:
        """Begin a transaction that no other migration's overlaps."""

    @abstractmethod
    def trouble(self, error: BaseException) -> Trouble: ...

    def prepare(self) -> None:
        """What has to be so before the first connection."""
        return

    def reason(self, error: BaseException) -> str:
        """The error in words that carry no secret."""
        return str(_driver_error(error) or type(error).__name__)


def _driver_error(error: BaseException) -> BaseException | None:
    """The driver's own error below SQLAlchemy's, if there is one."""
    return getattr(error, "orig", None) if isinstance(error, SQLAlchemyError) else error


def driver_error(error: BaseException) -> BaseException:
    return _driver_error(error) or error


def migrate(database: Database, engine: Engine) -> str:
    """Bring the schema to `SCHEMA_VERSION`, in one transaction and safe when processes start together; the version
    that was found, empty for a database without tables."""
    try:
        with engine.connect() as connection:
            if _version(connection) == SCHEMA_VERSION:
                return SCHEMA_VERSION
        with engine.connect() as connection, connection.begin():
            # The driver is in autocommit mode, so that SQLAlchemy's begin() sent nothing.
            database.begin_migrating(connection)
            version = _version(connection)
            if version != SCHEMA_VERSION:
                _upgrade(connection, version)
            return version
    except SQLAlchemyError as error:
        if database.trouble(error) is Trouble.PASSING:
            raise
        raise StateDirectoryError(
            f"The state database cannot be opened ({database.reason(error)}).",
            remedy="Restore it from a backup, or move it away to start with an empty one.",
        ) from error


def migrations(connection: Connection) -> Config:
    """Alembic's configuration for the migrations of this package, on an open connection."""
    # Alembic takes a while to load and most starts need no migration.
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _version(connection: Connection) -> str:
    if not inspect(connection).has_table("alembic_version"):
        return ""
    rows = connection.exec_driver_sql("SELECT version_num FROM alembic_version").fetchall()
    return str(rows[0][0]) if rows else ""


def _upgrade(connection: Connection, version: str) -> None:
    from alembic import command
    from alembic.script import ScriptDirectory

    config = migrations(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if version and version not in known:
        raise StateDirectoryError(
            f"The state database has schema {version}, which this version does not know.",
            remedy="Install the version of jupyter_qsec that wrote it, or a newer one.",
        )
    command.upgrade(config, "head")

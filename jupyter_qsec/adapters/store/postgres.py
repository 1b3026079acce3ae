"""The database on a PostgreSQL server, reached with pg8000."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.dialects.postgresql.pg8000 import PGDialect_pg8000
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool, QueuePool

from jupyter_qsec.adapters.store.auditlog import Head, find_head
from jupyter_qsec.adapters.store.database import Database, Trouble, driver_error
from jupyter_qsec.domain.addresses import is_loopback
from jupyter_qsec.domain.errors import InvalidRequestError

if TYPE_CHECKING:
    from jupyter_qsec.adapters.store.session import Session

_MIGRATION_LOCK = 0x7173_6563  # "qsec"
_SOCKET_SECONDS = 10
_PORT = 5432
_SERVER_SETTINGS = {
    "synchronous_commit": "on",  # a commit returns when it is on the disk, whatever the server's default
    "idle_in_transaction_session_timeout": "15s",  # what a vanished gateway holds is given back
    "lock_timeout": "10s",
}
_PASSING_CODES = frozenset(
    {
        "40001",  # serialization failure
        "40P01",  # deadlock
        "55P03",  # a lock was not available in time
        "57P01",  # the server is shut down
        "57P02",  # another backend crashed
        "57P03",  # the server is starting
        "53300",  # too many connections
        "25P03",  # idle in transaction for too long
    }
)


class PostgresDatabase(Database):
    marks_groups = True

    def __init__(self, url: str) -> None:
        """`url` is `postgresql://user:password@host:port/database`, with `?host=/directory` for a Unix socket,
        `?sslrootcert=/file` for a certificate authority of one's own. Beyond loopback the server has to prove by its
        certificate who it is. `InvalidRequestError` for anything else; no error ever holds the password."""
        parsed = _parsed(url)
        try:
            from pg8000.exceptions import Error
        except ModuleNotFoundError as error:
            raise InvalidRequestError(
                f"PostgreSQL needs {error.name}, which is not installed.", remedy="pip install 'jupyter_qsec[hub]'"
            ) from None
        self.errors = (Error, OSError, SQLAlchemyError)
        self._password = str(parsed.password or "")
        self._url, self._arguments = _connection(parsed)
        self.dialect = PGDialect_pg8000(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]  # SQLAlchemy's

    def engine(self, *, pooled: bool = True) -> Engine:
        return create_engine(
            self._url,
            poolclass=QueuePool if pooled else NullPool,
            creator=self._connect,
            isolation_level="AUTOCOMMIT",
            hide_parameters=True,
        )

    def _connect(self) -> Any:
        """A driver connection over a socket that is opened here: pg8000 leaves its own one open when a server that is
        starting or stopping turns it away."""
        from pg8000 import dbapi

        named = {"password": ""} | dict(self.dialect.create_connect_args(self._url)[1])  # pg8000 stumbles over None
        path = self._arguments.get("unix_sock")
        opened = _unix_socket(path) if path else _tcp_socket(named["host"], named.get("port") or _PORT)
        arguments = {name: value for name, value in self._arguments.items() if name != "unix_sock"}
        try:
            return dbapi.connect(**named, **arguments, sock=opened)
        except BaseException:
            opened.close()
            raise

    def cursor(self, pooled: Any) -> Any:
        return _PreparedCursor(pooled.driver_connection, pooled.info)

    def begin_writing(self, session: Session) -> Head | None:
        session.run("BEGIN")
        return find_head(session, lock=True)  # locks its row: writers of all processes take turns

    def begin_adding(self, session: Session) -> None:
        session.run("BEGIN")

    def begin_reading(self, session: Session) -> None:
        session.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def begin_migrating(self, connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")

    def trouble(self, error: BaseException) -> Trouble:
        error = driver_error(error)
        if isinstance(error, UnicodeError | OverflowError):
            return Trouble.VALUE
        if isinstance(error, OSError):
            # A server that does not prove who it is will not do so in a moment.
            return Trouble.OTHER if isinstance(error, ssl.SSLCertVerificationError) else Trouble.PASSING
        code = _code(error)
        if code.startswith("23"):
            return Trouble.CONFLICT
        if code.startswith("22"):
            return Trouble.VALUE
        if code.startswith("08") or code in _PASSING_CODES or (not code and _is_interface_error(error)):
            return Trouble.PASSING
        return Trouble.OTHER

    def reason(self, error: BaseException) -> str:
        error = driver_error(error)
        fields = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
        text = str(fields.get("M") or super().reason(error))  # the server's detail may quote what was to be stored
        return text.replace(self._password, "***") if self._password else text


def with_password(url: str, password: str) -> str:
    """The URL with a password that was kept elsewhere. `InvalidRequestError` for what is no URL of PostgreSQL."""
    return _parsed(url).set(password=password).render_as_string(hide_password=False)


def _unix_socket(path: str) -> socket.socket:
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        opened.settimeout(_SOCKET_SECONDS)
        opened.connect(path)
    except BaseException:
        opened.close()
        raise
    return opened


def _tcp_socket(host: str, port: int) -> socket.socket:
    opened = socket.create_connection((host, port), _SOCKET_SECONDS)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return opened


class _PreparedCursor:
    """Runs each statement as a prepared one, in one round trip: pg8000's own cursor takes three, scans the text for
    parameters each time, and finds out that a text cannot be encoded when half of it is sent."""

    def __init__(self, connection: Any, info: dict[str, Any]) -> None:
        """`info` lives as long as the connection."""
        from pg8000.converters import make_params

        self._make_params = make_params
        self._connection = connection
        self._prepared: dict[str, Any] = info.setdefault("qsec_prepared", {})
        self._context: Any = None

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        if not parameters:
            self._context = self._connection.execute_simple(sql)
            return
        values = self._make_params(self._connection.py_types, parameters)
        prepared = self._prepared.get(sql)
        if prepared is None:
            prepared = self._prepared[sql] = self._connection.prepare_statement(sql, ())
        name, columns, converters = prepared
        self._context = self._connection.execute_named(name, values, columns, converters, sql)

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        for parameters in rows:
            self.execute(sql, parameters)

    @property
    def description(self) -> list[tuple[str]]:
        return [(column["name"],) for column in self._context.columns or ()]

    @property
    def rowcount(self) -> int:
        return int(self._context.row_count)

    def fetchall(self) -> list[Any]:
        return list(self._context.rows or ())


def _code(error: BaseException) -> str:
    """The SQLSTATE that the server sent, or nothing."""
    fields = error.args[0] if error.args else None
    return str(fields.get("C", "")) if isinstance(fields, dict) else ""


def _is_interface_error(error: BaseException) -> bool:
    """pg8000 says this of a network that failed, and of little else once a connection was made."""
    return type(error).__module__.startswith("pg8000") and type(error).__name__ == "InterfaceError"


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise InvalidRequestError(
            "The database URL cannot be read.", remedy="It has the form postgresql://user:password@host:5432/database."
        ) from None
    if parsed.drivername not in ("postgresql", "postgresql+pg8000"):
        raise InvalidRequestError(f"There is no support for {parsed.drivername} databases.", remedy="Use postgresql.")
    if not parsed.username or not parsed.database:
        raise InvalidRequestError("The database URL must name a user and a database.")
    unknown = sorted(set(parsed.query) - {"host", "sslmode", "sslrootcert"})
    if unknown:
        raise InvalidRequestError(f"The database URL has unknown options: {', '.join(unknown)}.")
    return parsed


def _connection(parsed: URL) -> tuple[URL, dict[str, Any]]:
    """The URL without options, and what the driver needs besides."""
    options = {name: value if isinstance(value, str) else value[-1] for name, value in parsed.query.items()}
    arguments: dict[str, Any] = {"startup_params": _SERVER_SETTINGS}
    url = parsed.set(drivername="postgresql+pg8000", query={})
    host = parsed.host or options.get("host", "localhost")
    mode = options.get("sslmode", "")
    if host.startswith("/"):
        arguments |= {"unix_sock": f"{host}/.s.PGSQL.{parsed.port or _PORT}", "ssl_context": False}
        return url.set(host=None, port=None), arguments
    if mode not in ("", "verify-full") and not (mode == "disable" and is_loopback(host)):
        raise InvalidRequestError(
            f"sslmode={mode} does not prove who the database server is.", remedy="Use sslmode=verify-full."
        )
    if mode != "verify-full" and is_loopback(host):
        arguments["ssl_context"] = False
    else:
        arguments["ssl_context"] = _verifying(options.get("sslrootcert"))
    return url.set(host=host), arguments


def _verifying(authority: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=authority)
    except (OSError, ssl.SSLError):
        raise InvalidRequestError(f"The certificates in {authority} cannot be read.") from None

"""What is asked of a database before anything is served from it: to be of this version, and whose log it holds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Engine, inspect

from jupyter_qsec.adapters.store.database import SCHEMA_VERSION, Database, Trouble, migrate
from jupyter_qsec.adapters.store.patience import PATIENCE_SECONDS, Outage
from jupyter_qsec.domain.errors import StateDirectoryError

Answer = TypeVar("Answer")


def bring_up(database: Database, patience: float = PATIENCE_SECONDS) -> tuple[str, str]:
    """The schema's version before, empty when there was none, and after. A server that is away is waited for.

    `StateDirectoryError` when the database cannot be reached or written, or is newer than this version knows."""
    return _patiently(database, patience, lambda engine: migrate(database, engine)), SCHEMA_VERSION


def known_signer(database: Database, patience: float) -> str:
    """The public key that signs the audit log of this database; empty for one without a log. `StateDirectoryError` when
    it cannot be read, also after `patience` seconds in which it was away."""
    database.prepare()
    return _patiently(database, patience, _signer)


def _signer(engine: Engine) -> str:
    with engine.connect() as connection:
        if not inspect(connection).has_table("audit_key"):
            return ""
        rows = connection.exec_driver_sql("SELECT verifier_key FROM audit_key").fetchall()
        return str(rows[0][0]) if rows else ""


def _patiently(database: Database, patience: float, ask: Callable[[Engine], Answer]) -> Answer:
    outage = Outage(threading.Event(), patience)
    engine = database.engine(pooled=False)
    try:
        while True:
            try:
                return ask(engine)
            except database.errors as error:
                if database.trouble(error) is not Trouble.PASSING or not outage.wait():
                    raise StateDirectoryError(
                        f"The state database cannot be reached ({database.reason(error)})."
                    ) from error
    finally:
        engine.dispose()

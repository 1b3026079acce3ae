"""Whose log a database holds, before anything else is done with it."""

from __future__ import annotations

import threading

from sqlalchemy import Engine, inspect

from jupyter_qsec.adapters.store.database import Database, Trouble
from jupyter_qsec.adapters.store.patience import Outage
from jupyter_qsec.domain.errors import StateDirectoryError


def known_signer(database: Database, patience: float) -> str:
    """The public key that signs the audit log of this database; empty for one without a log. `StateDirectoryError` when
    it cannot be read, also after `patience` seconds in which it was away."""
    database.prepare()
    engine = database.engine(pooled=False)
    outage = Outage(threading.Event(), patience)
    try:
        while True:
            try:
                return _signer(engine)
            except database.errors as error:
                if database.trouble(error) is not Trouble.PASSING or not outage.wait():
                    raise StateDirectoryError(
                        f"The state database cannot be read ({database.reason(error)})."
                    ) from error
    finally:
        engine.dispose()


def _signer(engine: Engine) -> str:
    with engine.connect() as connection:
        if not inspect(connection).has_table("audit_key"):
            return ""
        rows = connection.exec_driver_sql("SELECT verifier_key FROM audit_key").fetchall()
        return str(rows[0][0]) if rows else ""

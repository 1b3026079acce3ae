"""Migrates a database that nothing is served from here."""

from __future__ import annotations

import threading

from jupyter_qsec.adapters.store.database import SCHEMA_VERSION, Database, Trouble, migrate
from jupyter_qsec.adapters.store.patience import PATIENCE_SECONDS, Outage
from jupyter_qsec.domain.errors import StateDirectoryError


def bring_up(database: Database, patience: float = PATIENCE_SECONDS) -> tuple[str, str]:
    """The schema's version before, empty when there was none, and after. A server that is away is waited for.

    `StateDirectoryError` when the database cannot be reached or written, or is newer than this version knows."""
    outage = Outage(threading.Event(), patience)
    engine = database.engine(pooled=False)
    try:
        while True:
            try:
                return migrate(database, engine), SCHEMA_VERSION
            except database.errors as error:
                if database.trouble(error) is not Trouble.PASSING or not outage.wait():
                    raise StateDirectoryError(
                        f"The state database cannot be reached ({database.reason(error)})."
                    ) from error
    finally:
        engine.dispose()

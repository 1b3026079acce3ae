"""State, quota counters and the audit log behind one transaction."""

from jupyter_qsec.adapters.store.database import Database
from jupyter_qsec.adapters.store.logreading import stored_log
from jupyter_qsec.adapters.store.migrating import bring_up
from jupyter_qsec.adapters.store.patience import PATIENCE_SECONDS
from jupyter_qsec.adapters.store.postgres import PostgresDatabase, with_password
from jupyter_qsec.adapters.store.sqlitefile import SqliteDatabase
from jupyter_qsec.adapters.store.store import SqlStore

__all__ = [
    "PATIENCE_SECONDS",
    "Database",
    "PostgresDatabase",
    "SqlStore",
    "SqliteDatabase",
    "bring_up",
    "stored_log",
    "with_password",
]

"""State, quota counters and the audit log behind one transaction."""

from jupyter_qsec.adapters.store.store import SqlStore

__all__ = ["SqlStore"]

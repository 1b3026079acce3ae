"""The audit log exactly as a database holds it, for an export: read in pages, checked by nobody."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jupyter_qsec.adapters.store.database import Database
from jupyter_qsec.adapters.store.session import Session
from jupyter_qsec.adapters.store.statements import Statements
from jupyter_qsec.adapters.store.transactions import read_session
from jupyter_qsec.domain.errors import StateDirectoryError

_PAGE = 1_000


class StoredLog:
    def __init__(self, session: Session) -> None:
        self._session = session

    def records(self) -> Iterator[Any]:
        """Index, leaf, leaf hash and running hash of each record, by index; gaps stay gaps."""
        after = -(1 << 63)  # whatever indices a tampered table holds
        while page := self._session.execute(self._session.statements.log_page, {"after": after, "count": _PAGE}):
            yield from page
            after = page[-1][0]

    def head(self) -> Any:
        """Size, root and running hash; `None` when there is no head."""
        found = self._session.execute(self._session.statements.read_head, {})
        return (found[0][0], found[0][1], found[0][3]) if found else None


@contextmanager
def stored_log(database: Database) -> Iterator[StoredLog]:
    """Records and head of one moment. `StateDirectoryError` when they cannot be read."""
    try:
        with read_session(database, database.engine(pooled=False), Statements(database.dialect)) as session:
            yield StoredLog(session)
    except database.errors as error:
        raise StateDirectoryError(f"the database does not answer as it should ({database.reason(error)})") from error

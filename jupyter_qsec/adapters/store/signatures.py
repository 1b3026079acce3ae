"""The signatures that all gateway processes have seen, in the database.

They are written in groups of their own, beside the writers' lock: nothing else is changed with them, and a poll need
not wait for a submission.
"""

from __future__ import annotations

import secrets
from datetime import datetime

from jupyter_qsec.adapters.store import rows
from jupyter_qsec.adapters.store.operations import Operation
from jupyter_qsec.adapters.store.session import Session
from jupyter_qsec.adapters.store.writer import Writer

_MICROSECONDS = 1_000_000


class SqlSignatures:
    """Implements the `Signatures` port."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def first_seen(self, signature: bytes, signed_at: datetime) -> float | None:
        age: float | None = await self._writer.commit(_Note(signature, signed_at))
        return age

    async def forget(self, signed_before: datetime) -> None:
        await self._writer.commit(_Forget(signed_before))


class _Note(Operation):
    def __init__(self, signature: bytes, signed_at: datetime) -> None:
        super().__init__([])
        self.order = signature  # one order for all processes: no two groups wait for each other
        # When a group is written again because nobody heard whether it was, its own rows are not a repetition.
        self._request = secrets.token_hex(16)
        self._values = {"signature": signature, "request": self._request, "signed_at": rows.micros(signed_at)}

    def apply(self, session: Session) -> float | None:
        statements = session.statements.signatures
        if session.execute(statements.note, self._values):
            return None
        ((request, age),) = session.execute(statements.noted, self._values)
        return None if request == self._request else age / _MICROSECONDS


class _Forget(Operation):
    def __init__(self, signed_before: datetime) -> None:
        super().__init__([])
        self._values = {"limit": rows.micros(signed_before)}

    def apply(self, session: Session) -> None:
        session.execute(session.statements.signatures.forget, self._values)

"""The one thread that writes: it takes everything that waits, commits it as one group, and only then answers."""

from __future__ import annotations

import asyncio
import logging
import queue
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from jupyter_qsec.adapters.store import auditlog
from jupyter_qsec.adapters.store.auditlog import Head
from jupyter_qsec.adapters.store.database import Database, Trouble
from jupyter_qsec.adapters.store.observing import Observer
from jupyter_qsec.adapters.store.operations import Operation, Submit, submit_together
from jupyter_qsec.adapters.store.patience import Outage
from jupyter_qsec.adapters.store.session import Session
from jupyter_qsec.adapters.store.statements import Statements
from jupyter_qsec.domain.errors import (
    ConflictError,
    InvalidRequestError,
    QsecError,
    RecordingError,
    UnavailableError,
)

MAX_BATCH = 256
MAX_WAITING = 8_192
"""Writes that may wait; more are refused with `UnavailableError`, so that a stuck disk cannot fill the memory."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Waiting:
    operation: Operation
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


_Result = tuple[Any, QsecError | None]
_Outcome = tuple[_Waiting, Any, BaseException | None]


@dataclass(slots=True)
class _Attempt:
    """How far a group came."""

    begun: bool = False
    committing: bool = False
    """COMMIT was sent and not answered: whether it happened has to be looked up."""
    outcomes: list[_Outcome] = field(default_factory=list)


class Writer:
    """Group commit. Start once, stop once."""

    def __init__(
        self,
        database: Database,
        statements: Statements,
        now_micros: Callable[[], int],
        outage: Outage,
        observer: Observer | None = None,
        *,
        begin: Callable[[Session], Head | None] | None = None,
    ) -> None:
        """`begin` begins its transactions; without it no other writer's overlaps with them."""
        self._database = database
        self._begin_transaction = begin or database.begin_writing
        self._observer = observer
        self._engine = database.engine(pooled=False)
        self._statements = statements
        self._now_micros = now_micros
        self._outage = outage
        self._mark: dict[str, Any] = {"writer": secrets.token_hex(16), "number": 0}
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._open = False
        self._gate = threading.Lock()  # nothing may be queued behind the end mark
        self._thread = threading.Thread(target=self._run, name="qsec-store-writer", daemon=True)
        self._pooled: Any = None
        self._session: Session | None = None
        self._head: Head | None = None
        """The audit log's head as the transaction under way has read it."""

    def start(self) -> None:
        self._open = True
        self._thread.start()

    def stop(self) -> None:
        """Refuse new writes, commit what waits, end the thread. Blocks; call it from a worker thread."""
        with self._gate:
            if not self._open:
                return
            self._open = False
            self._waiting.put(None)
        self._thread.join()

    async def commit(self, operation: Operation) -> Any:
        """The operation's result once it is durable. `QsecError` as the operation raises it, `RecordingError` when
        the group could not be committed, `UnavailableError` when nothing was tried."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        with self._gate:
            if not self._open:
                raise UnavailableError("The store is closed.")
            if self._waiting.qsize() >= MAX_WAITING:
                raise UnavailableError("Too many writes are waiting for the disk.", remedy="Try again in a moment.")
            self._waiting.put(_Waiting(operation, future, loop))
        return await future

    def _run(self) -> None:
        ended = False
        while not ended:
            batch, ended = self._take()
            if batch:
                _answer(self._commit_group(batch))
        self._forget_mark()
        self._drop_connection()

    def _take(self) -> tuple[list[_Waiting], bool]:
        """Wait for a write, then take all that wait behind it, up to a bound."""
        batch: list[_Waiting] = []
        item = self._waiting.get()
        while item is not None:
            batch.append(item)
            if len(batch) >= MAX_BATCH:
                return batch, False
            try:
                item = self._waiting.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, True

    def _commit_group(self, batch: list[_Waiting]) -> list[_Outcome]:
        self._mark["number"] += 1
        batch.sort(key=lambda waiting: waiting.operation.order)
        attempt = _Attempt()
        started = time.perf_counter()
        while True:
            try:
                self._transact(batch, attempt)
                self._outage.over()
                self._observe(attempt.outcomes, time.perf_counter() - started)
                return attempt.outcomes
            except Exception as error:  # noqa: BLE001  # whatever it is, each caller must hear of it and the thread go on
                self._drop_connection()
                passing = self._database.trouble(error) is Trouble.PASSING
                if not passing or not self._outage.wait():
                    failure = self._failure(attempt, passing, self._database.reason(error), len(batch))
                    if self._observer is not None:
                        self._observer.failed(len(batch))
                    return [(waiting, None, failure) for waiting in batch]

    def _observe(self, outcomes: list[_Outcome], seconds: float) -> None:
        if self._observer is None:
            return
        done = [w.operation for w, result, error in outcomes if error is None and w.operation.recorded(result)]
        events = [event for operation in done for event in operation.events]
        try:
            self._observer.committed(events, len(outcomes), seconds)
        except Exception:  # noqa: BLE001  # the group is durable: its callers must not hear of anything else
            _log.exception("an observer failed")

    def _failure(self, attempt: _Attempt, passing: bool, reason: str, count: int) -> QsecError:
        """A group that fails for any reason fails closed for all that is in it."""
        _log.error("a group of %d writes could not be recorded: %s", count, reason)
        if attempt.committing and self._database.marks_groups:
            return RecordingError(
                f"The state database went away while it recorded this ({reason}): whether it did is not known.",
                remedy="Look, when the database is back, before you repeat it.",
            )
        if attempt.begun and not passing:
            return RecordingError(
                f"The state database could not record this ({reason}).",
                remedy="Free disk space or repair the disk; see the gateway's log.",
            )
        return UnavailableError(
            f"The state database cannot be written now ({reason}).", remedy="Nothing was changed; try again."
        )

    def _begin(self) -> Session:
        if self._session is None:
            self._pooled = self._engine.raw_connection()
            self._session = Session(self._database.cursor(self._pooled), self._statements)
        self._head = self._begin_transaction(self._session)
        return self._session

    def _transact(self, batch: list[_Waiting], attempt: _Attempt) -> None:
        """Commit the group, or find that an earlier attempt did. Under the writers' lock both are certain: an earlier
        attempt that the server still works on has ended by then."""
        attempt.begun = False
        session = self._begin()
        attempt.begun = True
        if attempt.committing and self._is_marked(session):
            session.run("ROLLBACK")
            return
        attempt.committing = False
        results = self._together(session, batch)
        if results is None:
            results = [self._apply(session, waiting.operation) for waiting in batch]
        leaves: list[bytes] = []
        for waiting, (result, error) in zip(batch, results, strict=True):
            if error is None and waiting.operation.recorded(result):
                leaves.extend(waiting.operation.leaves)
        if leaves:
            auditlog.append(session, leaves, self._now_micros(), self._head)
        if self._database.marks_groups:
            session.execute(session.statements.mark_group, self._mark)
        attempt.outcomes = [(waiting, *outcome) for waiting, outcome in zip(batch, results, strict=True)]
        attempt.committing = True
        session.run("COMMIT")

    def _is_marked(self, session: Session) -> bool:
        found = session.execute(session.statements.marked_group, self._mark)
        return bool(found) and found[0][0] == self._mark["number"]

    def _forget_mark(self) -> None:
        """Leave nothing behind; what a killed writer left is a row that nobody reads."""
        if self._session is not None and self._database.marks_groups and self._mark["number"]:
            try:
                self._session.execute(self._statements.forget_writer, self._mark)
            except Exception as error:  # noqa: BLE001  # it is of no consequence
                _log.debug("the mark of a writer stays: %s", self._database.reason(error))

    def _together(self, session: Session, batch: list[_Waiting]) -> list[_Result] | None:
        """Apply the whole group at once, submissions in common statements. `None`, with nothing changed, when anything
        in it is refused: then each operation has to be applied for itself.

        What waits together was asked for at the same time, so the order within the group is free.
        """
        submissions = [waiting.operation for waiting in batch if isinstance(waiting.operation, Submit)]
        try:
            submitted = submit_together(session, submissions) if submissions else []
            if submitted is not None:
                answers = iter(submitted)
                results = [
                    next(answers) if isinstance(waiting.operation, Submit) else waiting.operation.apply(session)
                    for waiting in batch
                ]
                return [(result, None) for result in results]
        except Exception as error:
            if self._refusal(error) is None:
                raise
            _log.debug("a group of %d writes is applied one by one: %s", len(batch), self._database.reason(error))
        session.run("ROLLBACK")
        self._head = self._begin_transaction(session)
        return None

    def _refusal(self, error: Exception) -> QsecError | None:
        """What concerns one operation and not the database, as its caller gets it."""
        if isinstance(error, QsecError):
            return error
        trouble = self._database.trouble(error)
        if trouble is Trouble.CONFLICT:
            return ConflictError("An object with this identity exists already.")
        if trouble is Trouble.VALUE:
            return InvalidRequestError("A value cannot be stored (out of range, or not valid text).")
        return None

    def _apply(self, session: Session, operation: Operation) -> _Result:
        """Apply one operation in its savepoint; what is wrong with it alone is its own error."""
        session.run("SAVEPOINT operation")
        result, failure = None, None
        try:
            result = operation.apply(session)
        except Exception as error:
            failure = self._refusal(error)
            if failure is None:
                raise
        if failure is not None:
            session.run("ROLLBACK TO SAVEPOINT operation")
        session.run("RELEASE SAVEPOINT operation")
        return result, failure

    def _drop_connection(self) -> None:
        """Forget the connection: closing it rolls back, and the next group begins from what the database holds."""
        pooled, self._pooled, self._session = self._pooled, None, None
        if pooled is not None:
            try:
                pooled.invalidate()
            except Exception as error:  # noqa: BLE001  # a connection that cannot even be closed must not stop the writer
                _log.warning("a database connection could not be closed: %s", error)


def _answer(outcomes: list[_Outcome]) -> None:
    """Hand the outcomes over, with one wake-up for each event loop."""
    loops: dict[asyncio.AbstractEventLoop, list[_Outcome]] = {}
    for outcome in outcomes:
        loops.setdefault(outcome[0].loop, []).append(outcome)
    for loop, own in loops.items():
        try:
            loop.call_soon_threadsafe(_resolve, own)
        except RuntimeError:  # the loop is closed: nobody waits any more
            _log.debug("the callers of %d writes are gone", len(own))


def _resolve(outcomes: list[_Outcome]) -> None:
    for waiting, result, error in outcomes:
        if waiting.future.done():  # the caller was cancelled meanwhile
            continue
        if error is None:
            waiting.future.set_result(result)
        else:
            waiting.future.set_exception(error)

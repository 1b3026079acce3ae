"""The writes, each as a value that is made on the caller's side and applied in the writer's transaction.

When an operation raises, nothing of it stays and its neighbours are not touched: its group is then applied anew, each
operation within a savepoint of its own.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from jupyter_qsec.adapters.store import rows, tables
from jupyter_qsec.adapters.store.compiled import Statement
from jupyter_qsec.adapters.store.session import Session
from jupyter_qsec.application.ports import Duplicate, Finding, Refused, Submitted
from jupyter_qsec.domain.audit import AuditEvent, canonical_leaf
from jupyter_qsec.domain.errors import ClaimLostError, ConflictError
from jupyter_qsec.domain.lease import Lease
from jupyter_qsec.domain.quota import Charge, QuotaBreach
from jupyter_qsec.domain.rootsecret import RootSecret
from jupyter_qsec.domain.task import QuantumTask, TaskPayload, TaskState
from jupyter_qsec.domain.tenant import Pause

_COUNTERS = 32
"""Counters moved by one statement: more are moved by several, so that few statements are compiled."""


class Operation(ABC):
    """One write with the records that belong to it."""

    order = b""
    """Operations of one group are applied by this order, among equals as they came."""

    def __init__(self, events: Sequence[AuditEvent]) -> None:
        self.events = events
        self.leaves = [canonical_leaf(event) for event in events]

    @abstractmethod
    def apply(self, session: Session) -> Any:
        """Do it and return the result. A `QsecError` undoes it; so does a result for which `recorded` is false."""

    def recorded(self, result: Any) -> bool:
        """Whether this result stands for something that happened, so that its records are appended."""
        return True


class PutLease(Operation):
    def __init__(self, lease: Lease, events: Sequence[AuditEvent]) -> None:
        super().__init__(events)
        self._row = rows.lease_row(lease)

    def apply(self, session: Session) -> None:
        if self._row["revision"] == 0:
            session.execute(session.statements.insert_lease, self._row)
        else:
            replace(session, session.statements.replace_lease, "lease", self._row)


class Submit(Operation):
    def __init__(
        self,
        task: QuantumTask,
        payload: TaskPayload,
        charges: Sequence[Charge],
        events: Sequence[AuditEvent],
        *,
        shared: bool = False,
    ) -> None:
        """`shared`: the task waits in the store's queue."""
        super().__init__(events)
        self.task = task
        self.row = rows.task_row(task)
        self.payload = {
            "task_id": task.id,
            "action": payload.action,
            "device_parameters": payload.device_parameters,
        }
        self.charges = rows.merged_charges(charges)
        self.reservation = {
            "task_id": task.id,
            "charges": rows.charges_json(self.charges),
            "actual": None,
            "settled": 0,
        }
        self.queued = rows.queue_row(task, self.charges) if shared else None

    def recorded(self, result: Any) -> bool:
        return isinstance(result, Submitted)

    def apply(self, session: Session) -> Submitted | Duplicate | Refused:
        statements = session.statements
        if not session.execute(statements.insert_task, self.row):
            earlier = session.mappings(statements.task_of_client_token, self.row)
            return Duplicate(rows.task_from(earlier[0]))
        if not reserve(session, self.charges):
            # The counters that had room were moved: the savepoint undoes that, and what is read here is without them.
            session.run("ROLLBACK TO SAVEPOINT operation")
            return Refused(self._breaches(session))
        session.execute(statements.insert_payload, self.payload)
        session.execute(statements.insert_reservation, self.reservation)
        queue_up(session, [self])
        return Submitted(self.task)

    def _breaches(self, session: Session) -> tuple[QuotaBreach, ...]:
        breaches = []
        for charge in self.charges:
            scope, metric, window = rows.charge_key(charge)
            found = session.execute(session.statements.counter, {"scope": scope, "metric": metric, "window": window})
            used = found[0][0] if found else 0
            if charge.limit is not None and used + charge.amount > charge.limit:
                breaches.append(QuotaBreach(*rows.key_parts(charge), used, charge.amount, charge.limit))
        return tuple(breaches)


def reserve(session: Session, charges: Sequence[Charge]) -> bool:
    """Add to each counter, each named once; false, with some of them moved, when one has no room."""
    if any(charge.limit is not None and charge.amount > charge.limit for charge in charges):
        return False  # a counter that does not exist yet is inserted without comparison
    return all(_reserve(session, charges[i : i + _COUNTERS]) for i in range(0, len(charges), _COUNTERS))


def _reserve(session: Session, charges: Sequence[Charge]) -> bool:
    values: dict[str, Any] = {}
    for number, charge in enumerate(charges):
        scope, metric, window = rows.charge_key(charge)
        values |= {f"scope_{number}": scope, f"metric_{number}": metric, f"window_{number}": window}
        values |= {f"used_{number}": charge.amount, f"ceiling_{number}": charge.limit}
    return len(session.execute(session.statements.reserve(len(charges)), values)) == len(charges)


def submit_together(session: Session, group: Sequence[Submit]) -> list[Submitted] | None:
    """Apply all at once when all of them succeed; `None` when one would not, and then the caller must undo it.

    When the sum of all charges fits under the smallest limit of each counter, so does each submission in its turn.
    """
    charges = [charge for submission in group for charge in submission.charges]
    done = (
        session.insert_rows(tables.tasks, [submission.row for submission in group])
        and reserve(session, rows.merged_charges(charges))
        and session.insert_rows(tables.payloads, [submission.payload for submission in group])
        and queue_up(session, group)
        and session.insert_rows(tables.reservations, [submission.reservation for submission in group])
    )
    return [Submitted(submission.task) for submission in group] if done else None


def queue_up(session: Session, group: Sequence[Submit]) -> bool:
    """Let submitted tasks wait in the shared queue, from the present virtual time on."""
    queued = [submission.queued for submission in group if submission.queued is not None]
    if not queued:
        return True
    found = session.execute(session.statements.claims.virtual_time, {})
    now = found[0][0] if found else 0
    return session.insert_rows(tables.task_queue, [row | {"arrived": now} for row in queued])


class PutTask(Operation):
    def __init__(
        self,
        task: QuantumTask,
        events: Sequence[AuditEvent],
        settle: Sequence[Charge] | None,
        *,
        shared: bool = False,
        claimed_by: str = "",
    ) -> None:
        super().__init__(events)
        self._row = rows.task_row(task)
        self._task = task
        self._settle = None if settle is None else rows.merged_charges(settle)
        self._shared = shared
        self._claimed_by = claimed_by

    def apply(self, session: Session) -> None:
        if self._row["revision"] == 0:
            raise ConflictError(f"Task {self._row['id']} can only be created by submitting it.")
        if self._shared:
            self._keep_queue(session)
        replace(session, session.statements.replace_task, "task", self._row, "tenant")
        if self._settle is not None:
            self._apply_settlement(session, self._settle)

    def _keep_queue(self, session: Session) -> None:
        """A task that ends leaves the queue, one that is queued again waits there, and both are its holder's to do."""
        statements, holder = session.statements.claims, self._claimed_by
        if self._task.state.terminal:
            statement = statements.leave_as_holder if holder else statements.leave
        elif not holder:
            return
        else:
            statement = statements.put_back if self._task.state is TaskState.QUEUED else statements.held
        found = session.execute(statement, {"claimed_task": self._task.id, "holder": holder})
        if holder and not found:
            raise ClaimLostError(f"Task {self._task.id} is not claimed by this worker any more.")

    def _apply_settlement(self, session: Session, actual: Sequence[Charge]) -> None:
        values = {"settled_task": self._row["id"], "new_actual": rows.charges_json(actual)}
        reserved = session.execute(session.statements.settle_reservation, values)
        if not reserved:
            return  # settled before: at most once a task
        change = {key: -amount for key, amount in rows.charges_from_json(reserved[0][0]).items()}
        for charge in actual:
            key = rows.charge_key(charge)
            change[key] = change.get(key, 0) + charge.amount
        for (scope, metric, window), amount in sorted(change.items()):
            if amount:
                values = {"scope": scope, "metric": metric, "window": window, "amount": amount}
                if not session.execute(session.statements.adjust, values):
                    session.execute(session.statements.insert_counter, values)


class PutPause(Operation):
    def __init__(self, pause: Pause, events: Sequence[AuditEvent]) -> None:
        super().__init__(events)
        self._row = rows.pause_row(pause)

    def apply(self, session: Session) -> None:
        if not session.execute(session.statements.insert_pause, self._row):
            raise ConflictError(f"Tenant {self._row['tenant']} is paused already.")


class DropPause(Operation):
    def __init__(self, tenant: str, events: Sequence[AuditEvent]) -> None:
        super().__init__(events)
        self._tenant = tenant

    def apply(self, session: Session) -> None:
        if not session.execute(session.statements.delete_pause, {"paused_tenant": self._tenant}):
            raise ConflictError(f"Tenant {self._tenant} is not paused.")


class AddRootSecret(Operation):
    def __init__(self, made: RootSecret, events: Sequence[AuditEvent]) -> None:
        super().__init__(events)
        self._row = rows.root_secret_row(made)

    def apply(self, session: Session) -> None:
        if not session.execute(session.statements.insert_root_secret, self._row):
            raise ConflictError(f"Generation {self._row['generation']} of {self._row['name']} exists already.")


class AddFindings(Operation):
    def __init__(self, findings: Sequence[Finding], events: Sequence[AuditEvent]) -> None:
        super().__init__(events)
        self._rows = [rows.finding_row(finding) for finding in findings]

    def apply(self, session: Session) -> None:
        if self._rows:
            session.execute_many(session.statements.insert_finding, self._rows)


class Record(Operation):
    """Events that belong to no other write."""

    def apply(self, session: Session) -> None:
        return None


class Probe(Operation):
    """Changes a row that means nothing, so that the database has to write."""

    def __init__(self) -> None:
        super().__init__(())

    def apply(self, session: Session) -> None:
        session.execute(session.statements.mark_group, {"writer": "probe", "number": time.time_ns()})


def replace(session: Session, statement: Statement, what: str, row: rows.Row, *guards: str) -> None:
    """Replace the row whose revision is one less and whose `guards` are the same."""
    values = {f"new_{name}": value for name, value in row.items()}
    values |= {f"same_{name}": row[name] for name in guards}
    values |= {"row_id": row["id"], "old_revision": row["revision"] - 1}
    if not session.execute(statement, values):
        raise ConflictError(f"The {what} {row['id']} was changed meanwhile, or does not exist.")

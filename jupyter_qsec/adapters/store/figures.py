"""What the store holds, in few words and numbers: few rows are read however much has been stored."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from jupyter_qsec.adapters.store import auditlog, rows
from jupyter_qsec.adapters.store.session import Session
from jupyter_qsec.application.leaserequests import MAX_TTL
from jupyter_qsec.application.ports import StoreFigures
from jupyter_qsec.domain.audit import Checkpoint, event_from_leaf
from jupyter_qsec.domain.lease import Holder
from jupyter_qsec.domain.task import TaskState


def read_figures(session: Session, published: Sequence[Checkpoint], now: datetime) -> StoreFigures:
    """`published` are the newest checkpoints of all places where they are published: the one that is behind counts."""
    statements = session.statements
    leases = session.execute(statements.active_leases, _active_at(now))
    size = auditlog.read_head(session).size
    signed = min((checkpoint.size for checkpoint in published), default=0)
    unsigned = session.execute(statements.records, {"start": signed, "end": signed + 1})
    return StoreFigures(
        tasks={
            (tenant, TaskState(state)): count for tenant, state, count in session.execute(statements.live_tasks, {})
        },
        leases={tenant: count for tenant, count, _ in leases},
        oldest_leases={tenant: rows.moment(oldest) for tenant, _, oldest in leases},
        audit_size=size,
        signed_size=min(signed, size),
        unsigned_since=event_from_leaf(bytes(unsigned[0][1])).at if unsigned else None,
    )


def read_holders(session: Session, now: datetime) -> list[Holder]:
    found = session.execute(session.statements.lease_holders, _active_at(now))
    return [Holder(principal, rows.claims(claims)) for principal, claims in found]


def _active_at(now: datetime) -> dict[str, int]:
    """What the statements about active leases need to know."""
    return {"now": rows.micros(now), "since": rows.micros(now - MAX_TTL)}

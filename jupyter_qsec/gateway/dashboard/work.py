"""Tasks and leases: what is shown of them, and what buttons do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode

from jupyter_qsec.application.ports import TaskQuery
from jupyter_qsec.domain.access import Action
from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.domain.lease import Lease, LeaseState
from jupyter_qsec.domain.task import QuantumTask, TaskState, WaitReason
from jupyter_qsec.gateway.dashboard.handlers import Page
from jupyter_qsec.gateway.dashboard.visit import Visit

_PAGE = 50
_MOST_LEASES = 200
_STATES = {
    "waiting": (TaskState.CREATED, TaskState.QUEUED),
    "running": (TaskState.RUNNING, TaskState.CANCELLING),
    "completed": (TaskState.COMPLETED,),
    "failed": (TaskState.FAILED,),
    "cancelled": (TaskState.CANCELLED,),
}
_BEFORE = re.compile(r"([0-9T:.+-]{20,40})_([0-9a-f-]{36})\Z")


@dataclass(frozen=True, slots=True)
class TaskRow:
    task: QuantumTask
    device: str
    waiting: Sequence[WaitReason]
    cancellable: bool
    took: timedelta | None
    """How long it ran, or has been running."""


@dataclass(frozen=True, slots=True)
class LeaseRow:
    lease: Lease
    state: LeaseState
    revocable: bool


async def tasks(visit: Visit) -> Page:
    tenant, principal = visit.tenant_choice(), visit.text("principal")
    state = visit.choice("state", tuple(_STATES))
    query = TaskQuery(
        tenant=tenant,
        principal=principal,
        states=_STATES.get(state, ()),
        limit=_PAGE + 1,
        before=_position(visit.text("before")),
    )
    found = await visit.gateway.tasks.search(visit.operator, query)
    filters = {"tenant": tenant, "principal": principal, "state": state}
    older = ""
    if len(found) > _PAGE:
        last = found[_PAGE - 1]
        position = f"{last.created_at.isoformat()}_{last.id}"
        older = urlencode({**{name: value for name, value in filters.items() if value}, "before": position})
    return Page(
        "tasks.html",
        {
            "section": "tasks",
            "rows": [await _row(visit, task) for task in found[:_PAGE]],
            "filters": filters,
            "states": tuple(_STATES),
            "older": older,
            "paged": bool(query.before),
            "done": visit.done,
        },
    )


async def task(visit: Visit) -> Page:
    found = await visit.gateway.tasks.get(visit.operator, visit.path["id"])
    return Page("task.html", {"section": "tasks", "row": await _row(visit, found), "done": visit.done})


async def cancel(visit: Visit) -> str:
    found = await visit.gateway.tasks.cancel(visit.operator, visit.path["id"])
    return f"tasks/{found.id}?done={'cancelled' if found.state.terminal else 'cancelling'}"


async def leases(visit: Visit) -> Page:
    tenant = visit.tenant_choice()
    visit.require_some(visit.sees_leases, "leases")
    state = visit.choice("state", (*LeaseState, "all")) or LeaseState.ACTIVE
    chosen = None if state == "all" else LeaseState(state)
    # Tenant by tenant, so that what one may not see takes no place in the list.
    names = (tenant,) if tenant else visit.principal.tenants
    pages = [await visit.gateway.leasing.leases(visit.principal, tenant=name, state=chosen) for name in names]
    found = sorted((lease for page in pages for lease in page), key=lambda lease: lease.issued_at, reverse=True)
    now = visit.gateway.clock.now()
    rows = [LeaseRow(lease, lease.state(now), _revocable(visit, lease, now)) for lease in found[:_MOST_LEASES]]
    return Page(
        "leases.html",
        {
            "section": "leases",
            "rows": rows,
            "more": len(found) > _MOST_LEASES,
            "filters": {"tenant": tenant, "state": state},
            "states": (*LeaseState, "all"),
            "done": visit.done,
        },
    )


async def revoke(visit: Visit) -> str:
    lease_id, reason = visit.path["id"], visit.text("reason")
    lease = await visit.gateway.leasing.lease(visit.principal, lease_id)
    await visit.gateway.leasing.revoke(visit.principal, lease.id, reason or "revoked on the dashboard")
    return "leases?done=revoked"


async def pause(visit: Visit) -> str:
    await visit.gateway.pausing.pause(visit.principal, visit.path["id"], visit.text("reason"))
    return "?done=paused"


async def resume(visit: Visit) -> str:
    await visit.gateway.pausing.resume(visit.principal, visit.path["id"])
    return "?done=resumed"


async def _row(visit: Visit, task: QuantumTask) -> TaskRow:
    device = visit.gateway.devices.device(task.device_arn)
    ended = task.ended_at or (None if task.state.terminal else visit.gateway.clock.now())
    return TaskRow(
        task,
        device.name if device else task.device_arn.rpartition("/")[2],
        await visit.gateway.tasks.waiting(task),
        not task.state.terminal
        and task.state is not TaskState.CANCELLING
        and visit.may_change(Action.TASK_CANCEL, task.tenant, task.principal),
        ended - task.started_at if task.started_at and ended else None,
    )


def _revocable(visit: Visit, lease: Lease, now: datetime) -> bool:
    active = lease.state(now) is LeaseState.ACTIVE
    return active and visit.may_change(Action.LEASE_REVOKE, lease.tenant, lease.principal)


def _position(text: str) -> tuple[datetime, str] | None:
    """Where a page of tasks begins."""
    if not text:
        return None
    found = _BEFORE.match(text)
    try:
        moment = datetime.fromisoformat(found.group(1)) if found else None
    except ValueError:
        moment = None
    if found is None or moment is None or moment.tzinfo is None:
        raise InvalidRequestError("This is no page of the list.", remedy="Begin with the first page.")
    return moment, found.group(2)

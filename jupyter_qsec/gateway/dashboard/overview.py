"""The first page: how the gateway is, what was used when, and how much of the quotas is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from jupyter_qsec.application.estimating import scopes_of
from jupyter_qsec.application.ports import TaskQuery
from jupyter_qsec.domain.access import Action
from jupyter_qsec.domain.lease import LeaseState
from jupyter_qsec.domain.quota import Metric, QuotaLimits, day_window
from jupyter_qsec.domain.tenant import Pause, Tenant
from jupyter_qsec.gateway.dashboard.chart import Chart
from jupyter_qsec.gateway.dashboard.handlers import Page
from jupyter_qsec.gateway.dashboard.visit import Visit

_DAYS, _HOURS = 14, 24
_BATCH, _MOST = 1000, 5000
"""Tasks read for the plot by hours."""
_METRICS = {"tasks": Metric.TASKS, "shots": Metric.SHOTS, "seconds": Metric.SIMULATOR_MS}
_NAMES = {"tasks": "tasks", "shots": "shots", "seconds": "seconds of simulator time"}


@dataclass(frozen=True, slots=True)
class Gauge:
    """One quota of today."""

    name: str
    metric: str
    used: float
    limit: float


@dataclass(frozen=True, slots=True)
class QueueRow:
    """One tenant's queue."""

    tenant: Tenant
    running: int
    waiting: int
    pause: Pause | None
    pausable: bool


@dataclass(frozen=True, slots=True)
class Usage:
    chart: Chart
    unit: str
    cut: bool
    """Whether there were more tasks than are read for a plot."""


async def overview(visit: Visit) -> Page:
    by = visit.choice("by", ("day", "hour")) or "day"
    metric = visit.choice("metric", tuple(_METRICS)) or "tasks"
    tenant = visit.tenant_choice()
    shown = [one for one in visit.tenants if tenant in ("", one.id)]
    queues = await _queues(visit)
    leases = 0
    if visit.sees_leases:
        for name in visit.principal.tenants:
            active = await visit.gateway.leasing.leases(visit.principal, tenant=name, state=LeaseState.ACTIVE)
            leases += len(active)
    return Page(
        "overview.html",
        {
            "section": "overview",
            "health": await visit.gateway.health.problem(),
            "running": sum(queue.running for queue in queues),
            "waiting": sum(queue.waiting for queue in queues),
            "leases": leases,
            "queues": [queue for queue in queues if tenant in ("", queue.tenant.id)],
            "done": visit.done,
            "usage": await (_by_day if by == "day" else _by_hour)(visit, shown, metric),
            "gauges": await _gauges(visit, shown),
            "filters": {"by": by, "metric": metric, "tenant": tenant},
            "metrics": tuple(_METRICS),
        },
    )


async def _queues(visit: Visit) -> list[QueueRow]:
    pauses = await visit.gateway.store.pauses()
    found = []
    for tenant in visit.tenants:
        if visit.may(Action.TASK_READ, tenant.id):
            running, waiting = await visit.gateway.tasks.counts(tenant.id)
            pausable = visit.may_change(Action.TENANT_PAUSE, tenant.id)
            found.append(QueueRow(tenant, running, waiting, pauses.get(tenant.id), pausable))
    return found


async def _by_day(visit: Visit, tenants: Sequence[Tenant], metric: str) -> Usage:
    """From the quota counters: exact, whatever the number of tasks."""
    today = visit.gateway.clock.now()
    days = [today - timedelta(days=back) for back in reversed(range(_DAYS))]
    readable = [tenant for tenant in tenants if visit.may(Action.QUOTA_READ, tenant.id)]
    scopes = {scopes_of(tenant.id, "", "")[0]: tenant.id for tenant in readable}
    series: dict[str, list[float]] = {tenant.id: [0.0] * _DAYS for tenant in readable}
    for column, day in enumerate(days):
        for usage in await visit.gateway.store.usage(list(scopes), day_window(day)):
            if usage.metric is _METRICS[metric]:
                series[scopes[usage.scope]][column] = usage.used / (1000 if metric == "seconds" else 1)
    labels = [f"{day:%d %b}" if column % 2 == (_DAYS - 1) % 2 else "" for column, day in enumerate(days)]
    return Usage(Chart([day_window(day) for day in days], series, labels), _NAMES[metric], cut=False)


async def _by_hour(visit: Visit, tenants: Sequence[Tenant], metric: str) -> Usage:
    """From the tasks of the last hours themselves: the quota counters know days only."""
    this_hour = visit.gateway.clock.now().astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    hours = [this_hour - timedelta(hours=back) for back in reversed(range(_HOURS))]
    column = {hour: number for number, hour in enumerate(hours)}
    series: dict[str, list[float]] = {tenant.id: [0.0] * _HOURS for tenant in tenants}
    tenant = tenants[0].id if len(tenants) == 1 else ""
    query = TaskQuery(tenant=tenant, created_after=hours[0], limit=_BATCH)
    read, cut = 0, False
    while True:
        found = await visit.gateway.tasks.search(visit.operator, query)
        for task in found:
            hour = _hour(task.created_at)
            if task.tenant in series and hour in column:
                amount = {"tasks": 1.0, "shots": float(task.shots), "seconds": (task.duration_ms or 0) / 1000}[metric]
                series[task.tenant][column[hour]] += amount
        read += len(found)
        if len(found) < _BATCH:
            break
        if read >= _MOST:
            cut = True
            break
        query = replace(query, before=(found[-1].created_at, found[-1].id))
    labels = [f"{hour:%H}:00" if number % 3 == (_HOURS - 1) % 3 else "" for number, hour in enumerate(hours)]
    steps = [f"{hour:%Y-%m-%d %H}:00" for hour in hours]
    return Usage(Chart(steps, series, labels), _NAMES[metric], cut)


def _hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


async def _gauges(visit: Visit, tenants: Sequence[Tenant]) -> list[tuple[str, list[Gauge]]]:
    """Today's quotas that have a limit, by the tenant's name."""
    window = day_window(visit.gateway.clock.now())
    found = []
    for tenant in tenants:
        if not visit.may(Action.QUOTA_READ, tenant.id):
            continue
        limits = _limits(visit, tenant)
        used = {
            (usage.scope, usage.metric): usage.used for usage in await visit.gateway.store.usage(list(limits), window)
        }
        gauges = []
        for scope, (name, limit) in limits.items():
            for word, metric in _METRICS.items():
                if (most := limit.of(metric)) is not None:
                    unit = 60_000 if metric is Metric.SIMULATOR_MS else 1
                    shown = "simulator minutes" if metric is Metric.SIMULATOR_MS else word
                    gauges.append(Gauge(name, shown, used.get((scope, metric), 0) / unit, most / unit))
        if gauges:
            found.append((tenant.name, gauges))
    return found


def _limits(visit: Visit, tenant: Tenant) -> dict[str, tuple[str, QuotaLimits]]:
    """Counters of a tenant with their names and limits; the person's own where they may submit there."""
    first = tenant.projects[0].id
    whole, _, own = scopes_of(tenant.id, first, visit.principal.id)
    limits = {whole: ("whole tenant", tenant.limits)}
    for project in tenant.projects:
        limits[scopes_of(tenant.id, project.id, "")[1]] = (project.name, project.limits)
    if tenant.id in visit.principal.tenant_roles:
        limits[own] = ("you", tenant.principal_limits)
    return limits

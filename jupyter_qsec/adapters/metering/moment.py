"""Gauges: what is so at the moment of a scrape. Nothing of it is kept between scrapes, so nothing can be stale."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily, Metric

from jupyter_qsec.adapters.metering.labels import Tenants
from jupyter_qsec.application.ports import StoreFigures
from jupyter_qsec.domain.task import TaskState

_LIVE = tuple(state for state in TaskState if not state.terminal)


@dataclass(frozen=True, slots=True)
class Moment:
    """What a scrape finds."""

    now: datetime
    waiting: int
    """Tasks in this process's queue."""
    running: int
    workers: int
    busy: int
    healthy: bool
    secrets: Mapping[str, datetime]
    """When the present generation of each root secret was made."""
    figures: StoreFigures | None
    """`None` while the store cannot be read: then the shared gauges are left out."""


def gauges(moment: Moment, tenants: Tenants) -> Iterator[Metric]:
    """All gauge families."""
    own = (
        ("healthy", "Whether this gateway can record and decide: what /health says.", int(moment.healthy)),
        ("tasks_waiting", "Tasks that wait in this gateway's queue.", moment.waiting),
        ("tasks_running", "Tasks that this gateway runs.", moment.running),
        ("simulator_workers", "Simulator processes that this gateway may run.", moment.workers),
        ("simulator_workers_busy", "Simulator processes of this gateway that run a task.", moment.busy),
    )
    for name, text, value in own:
        yield GaugeMetricFamily(f"jupyter_qsec_{name}", text, value=value)
    ages = GaugeMetricFamily(
        "jupyter_qsec_root_secret_age_seconds", "Age of the newest generation of each root secret.", labels=["name"]
    )
    for secret, made_at in sorted(moment.secrets.items()):
        ages.add_metric([secret], _seconds(made_at, moment.now))
    yield ages
    if moment.figures is not None:
        yield from _shared(moment.figures, moment.now, tenants)


def _shared(figures: StoreFigures, now: datetime, tenants: Tenants) -> Iterator[Metric]:
    names = tenants.all_of(figures.leases, (tenant for tenant, _ in figures.tasks))
    tasks = _family("tasks", "Tasks that have not ended, as the store has them.", "tenant", "state")
    leases = _family("leases_active", "Leases that are neither revoked nor expired.", "tenant")
    oldest = _family("lease_oldest_age_seconds", "Age of the oldest active lease; 0 when there is none.", "tenant")
    for name in names:
        for state in _LIVE:
            count = sum(n for (tenant, is_in), n in figures.tasks.items() if is_in is state and tenants(tenant) == name)
            tasks.add_metric([name, state.lower()], count)
        leases.add_metric([name], sum(n for tenant, n in figures.leases.items() if tenants(tenant) == name))
        issued = [at for tenant, at in figures.oldest_leases.items() if tenants(tenant) == name]
        oldest.add_metric([name], _seconds(min(issued, default=now), now))
    yield from (tasks, leases, oldest)
    orphans = _family("orphans", "Active leases and live tasks of tenants that have left the catalogue.", "kind")
    orphans.add_metric(["lease"], sum(n for tenant, n in figures.leases.items() if not tenants.knows(tenant)))
    orphans.add_metric(["task"], sum(n for (tenant, _), n in figures.tasks.items() if not tenants.knows(tenant)))
    yield orphans
    unsigned = figures.audit_size - figures.signed_size
    lag = 0.0 if figures.unsigned_since is None else _seconds(figures.unsigned_since, now)
    for name, text, value in (
        ("audit_records", "Records of the audit log.", figures.audit_size),
        ("audit_unsigned_records", "Records that no published checkpoint vouches for yet.", unsigned),
        ("checkpoint_lag_seconds", "Age of the oldest record that no published checkpoint vouches for.", lag),
    ):
        yield GaugeMetricFamily(f"jupyter_qsec_shared_{name}", text, value=value)


def _family(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"jupyter_qsec_shared_{name}", text, labels=labels)


def _seconds(since: datetime, now: datetime) -> float:
    """Not negative, whatever the clocks of several machines say."""
    return max(0.0, (now - since).total_seconds())


class MomentCollector:
    """What prometheus_client asks at each scrape."""

    def __init__(self, tenants: Tenants) -> None:
        self._tenants = tenants
        self.moment: Moment | None = None

    def collect(self) -> Iterable[Metric]:
        return () if self.moment is None else gauges(self.moment, self._tenants)

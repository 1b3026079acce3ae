"""Counters and histograms of one gateway, in a registry of its own.

Most are counted from audit events when these are durable: what is not on record did not happen, and what is on record
is counted once. Names and labels are a contract (`docs/monitoring.md`): they may be added, never renamed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, GCCollector, Histogram, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest

from jupyter_qsec._version import __version__
from jupyter_qsec.adapters.metering import labels
from jupyter_qsec.adapters.metering.moment import Moment, MomentCollector
from jupyter_qsec.application.ports import Catalogue
from jupyter_qsec.domain.access import Action, Decision, Permit
from jupyter_qsec.domain.audit import AuditEvent
from jupyter_qsec.domain.membership import EVERY_TENANT
from jupyter_qsec.domain.principal import Role

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_REQUEST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_TASK_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0)
_QUEUE_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
_COMMIT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0)
_GROUP_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)

SUBMISSION_OUTCOMES = ("accepted", "denied", "quota", "invalid", "failed")
_TASK_ENDS = {"task.completed": "completed", "task.failed": "failed", "task.cancelled": "cancelled"}
_OUTCOME_OF_CODE = {
    "denied": "denied",
    "quota-exceeded": "quota",
    "not-recorded": "failed",
    "state-directory": "failed",
    "unavailable": "failed",
    "internal": "failed",
}
"""How a submission ended that was answered with this code; any other is the client's fault."""


class _Registry(CollectorRegistry):
    """Without the times at which each series began: they double what is scraped, and nobody asks for them."""

    def collect(self) -> Iterable[Metric]:
        for family in super().collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family


_Child = TypeVar("_Child", Counter, Histogram)


class _Series(Generic[_Child]):
    """The series of one metric by their labels, found twice as fast as by prometheus_client: there are several for
    each request."""

    def __init__(self, metric: _Child) -> None:
        self._metric: _Child = metric
        self._known: dict[tuple[str, ...], _Child] = {}

    def labels(self, *values: str) -> _Child:
        known = self._known.get(values)
        if known is None:
            known = self._known[values] = self._metric.labels(*values)
        return known


class Metrics:
    """One gateway's. Safe on any thread."""

    def __init__(self, catalogue: Catalogue, grants: Mapping[tuple[str, Role], int]) -> None:
        """`grants`: how many groups and services have each role, by tenant."""
        self.registry = _Registry()
        self._tenants = labels.Tenants(catalogue)
        self._moments = MomentCollector(self._tenants)
        self.registry.register(self._moments)
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        build = Gauge("jupyter_qsec_build_info", "The version that runs.", ["version"], registry=self.registry)
        build.labels(__version__).set(1)
        granted = Gauge(
            "jupyter_qsec_role_grants",
            "Groups and services that have the role, in that tenant or, with *, in every one.",
            ["tenant", "role"],
            registry=self.registry,
        )
        for tenant, role in {*((EVERY_TENANT, role) for role in Role), *grants}:
            granted.labels(tenant, role).set(grants.get((tenant, role), 0))
        self._requests = self._counter("http_requests", "Answered requests.", "door", "operation", "status")
        self._request_seconds = self._histogram(
            "http_request_duration_seconds",
            "From the head of a request to its answer.",
            _REQUEST_SECONDS,
            *("door", "operation"),
        )
        self._refusals = self._counter("refusals", "Requests that were answered with an error.", "door", "code")
        self._submissions = self._counter("submissions", "Submitted tasks, by what became of it.", "tenant", "outcome")
        self._decisions = self._counter("decisions", "Decisions of the policy engine.", "action", "decision")
        self._events = self._counter("audit_events", "Events that this gateway recorded.", "kind")
        self._queue = self._histogram(
            "task_queue_seconds", "From the submission of a task to its start.", _QUEUE_SECONDS, "tenant"
        )
        self._ended = self._counter("tasks_ended", "Tasks that ended.", "tenant", "state")
        self._task_seconds = self._histogram(
            "task_duration_seconds", "How long tasks ran that ran and ended.", _TASK_SECONDS, "tenant"
        )
        self._issued = self._counter("leases_issued", "Leases that were issued.", "tenant")
        self._revoked = self._counter("leases_revoked", "Leases that were revoked.", "tenant")
        self._findings = self._counter("findings", "Secrets that kernels and servers reported.", "kind", "action")
        self._commit_seconds = Histogram(
            "jupyter_qsec_store_commit_seconds",
            "How long a group of writes took to be durable.",
            registry=self.registry,
            buckets=_COMMIT_SECONDS,
        )
        self._commit_writes = Histogram(
            "jupyter_qsec_store_commit_writes", "Writes of one group.", registry=self.registry, buckets=_GROUP_SIZES
        )
        self._lost = Counter(
            "jupyter_qsec_store_writes_failed", "Writes that failed because the database did.", registry=self.registry
        )
        self._on_event: Mapping[str, Callable[[AuditEvent], None]] = {
            "task.submitted": lambda event: self._submissions.labels(self._tenants(event.tenant), "accepted").inc(),
            "task.started": self._started,
            **dict.fromkeys(_TASK_ENDS, self._task_ended),
            "lease.issued": lambda event: self._issued.labels(self._tenants(event.tenant)).inc(),
            "lease.revoked": lambda event: self._revoked.labels(self._tenants(event.tenant)).inc(),
            "finding.reported": self._finding,
        }
        self._begin(self._tenants.all_of())

    def _counter(self, name: str, text: str, *names: str) -> _Series[Counter]:
        return _Series(Counter(f"jupyter_qsec_{name}", text, names, registry=self.registry))

    def _histogram(self, name: str, text: str, buckets: Sequence[float], *names: str) -> _Series[Histogram]:
        return _Series(Histogram(f"jupyter_qsec_{name}", text, names, registry=self.registry, buckets=buckets))

    def _begin(self, tenants: Iterable[str]) -> None:
        """Series that are there from the start, at 0: the first event of each is an increase."""
        for tenant in tenants:
            for outcome in SUBMISSION_OUTCOMES:
                self._submissions.labels(tenant, outcome)
            for state in _TASK_ENDS.values():
                self._ended.labels(tenant, state)
            for times in (self._queue, self._task_seconds):
                times.labels(tenant)
            for counts in (self._issued, self._revoked):
                counts.labels(tenant)

    # -- told by the HTTP server
    def answered(self, door: str, operation: str, status: int, seconds: float) -> None:
        """A request was answered. `door` and `operation` are names of ours, never of the client's."""
        self._requests.labels(door, operation, labels.status_class(status)).inc()
        self._request_seconds.labels(door, operation).observe(seconds)

    def refused(self, door: str, code: str) -> None:
        self._refusals.labels(door, code).inc()

    def submission_refused(self, tenant: str, code: str) -> None:
        """An authenticated caller's submission was answered with an error."""
        self._submissions.labels(self._tenants(tenant), _OUTCOME_OF_CODE.get(code, "invalid")).inc()

    # -- told by the policy
    def decided(self, action: Action, decision: Decision) -> None:
        self._decisions.labels(action, _told(decision)).inc()

    # -- told by the store: implements its `Observer`
    def committed(self, events: Sequence[AuditEvent], writes: int, seconds: float) -> None:
        self._commit_seconds.observe(seconds)
        self._commit_writes.observe(writes)
        for event in events:
            self._events.labels(event.kind).inc()
            count = self._on_event.get(event.kind)
            if count is not None:
                count(event)

    def failed(self, writes: int) -> None:
        self._lost.inc(writes)

    def _started(self, event: AuditEvent) -> None:
        queued = event.details.get("queued_ms")
        if queued is not None:
            self._queue.labels(self._tenants(event.tenant)).observe(int(queued) / 1000)

    def _task_ended(self, event: AuditEvent) -> None:
        tenant = self._tenants(event.tenant)
        self._ended.labels(tenant, _TASK_ENDS[event.kind]).inc()
        ran = event.details.get("duration_ms")
        if ran is not None:  # one that was cancelled in the queue did not run
            self._task_seconds.labels(tenant).observe(int(ran) / 1000)

    def _finding(self, event: AuditEvent) -> None:
        kind = labels.finding_kind(str(event.details.get("kind", "")))
        self._findings.labels(kind, labels.finding_action(event.outcome)).inc()

    # -- asked by a scrape
    def exposition(self, moment: Moment) -> bytes:
        """All metrics in Prometheus's text format, version 0.0.4."""
        self._moments.moment = moment
        try:
            return generate_latest(self.registry)
        finally:
            self._moments.moment = None


def _told(decision: Decision) -> str:
    if isinstance(decision, Permit):
        return "permit"
    return "error" if "policy-error" in decision.reasons else "deny"

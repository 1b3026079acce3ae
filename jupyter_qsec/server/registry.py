"""What the extension knows of each running kernel: its lease, its confinement, its session."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from jupyter_qsec.client.held import HeldLease
from jupyter_qsec.domain.times import rfc3339
from jupyter_qsec.kernels.observer import KernelFinding, KernelReport

OUTSIDE = "This kernel was not started by qsec."


@dataclass(slots=True)
class SessionState:
    """How one kernel's session stands with its limits."""

    started_at: datetime
    touched_at: datetime | None = None
    """The last keepalive; the kernel's own activity is read from the kernel manager."""
    warned: str = ""
    """`idle` or `absolute` while a warning stands."""
    grace_until: datetime | None = None
    """A limit that was passed without a warning, because the clock jumped, is warned first and ends then."""
    ending: bool = False
    execution_state: str = ""
    idle_deadline: datetime | None = None
    absolute_deadline: datetime | None = None

    def deadline(self, reason: str) -> datetime | None:
        due = self.idle_deadline if reason == "idle" else self.absolute_deadline
        if due is None or self.grace_until is None:
            return due
        return max(due, self.grace_until)


@dataclass(slots=True)
class KernelRegistry:
    """Implements `KernelObserver`: told by the provisioner, asked by routes and session limits. Event loop only."""

    on_started: Callable[[KernelReport, bool], None]
    """Called with each report, and whether the kernel (or its lease) is new."""
    on_findings: Callable[[str, list[KernelFinding]], None]
    on_relay_ended: Callable[[str], None]
    reports: dict[str, KernelReport] = field(default_factory=dict)
    sessions: dict[str, SessionState] = field(default_factory=dict)

    def kernel_started(self, kernel_id: str, report: KernelReport) -> None:
        before = self.reports.get(kernel_id)
        self.reports[kernel_id] = report
        self.on_started(report, before is None or before.held is not report.held)

    def findings(self, kernel_id: str, findings: list[KernelFinding]) -> None:
        self.on_findings(kernel_id, findings)

    def relay_ended(self, kernel_id: str) -> None:
        self.on_relay_ended(kernel_id)

    def kernel_ended(self, kernel_id: str) -> None:
        self.reports.pop(kernel_id, None)

    def held(self, kernel_id: str) -> HeldLease | None:
        report = self.reports.get(kernel_id)
        return None if report is None else report.held

    def lease_id(self, kernel_id: str) -> str:
        held = self.held(kernel_id)
        return "" if held is None or held.lease is None else held.lease["id"]

    def tenant(self, kernel_id: str) -> str:
        """Of the kernel's lease; empty while there is none."""
        held = self.held(kernel_id)
        return "" if held is None or held.lease is None else held.lease["tenant"]

    def entry(self, kernel_id: str, name: str, path: str) -> dict[str, Any]:
        """A kernel as `GET /jupyter-qsec/kernels` shows it."""
        report, session = self.reports.get(kernel_id), self.sessions.get(kernel_id)
        held = None if report is None else report.held
        problem = OUTSIDE if report is None else (report.lease_problem if held is None else held.problem)
        return {
            "kernel_id": kernel_id,
            "name": name,
            "path": path or ("" if report is None else report.path),
            "lease": None if held is None else held.lease,
            "lease_problem": problem,
            "confinement": {
                "state": "unconfined" if report is None else report.confinement_state,
                "reasons": [OUTSIDE] if report is None else list(report.confinement_reasons),
            },
            "session": session_shape(session),
        }


def session_shape(session: SessionState | None) -> Mapping[str, Any]:
    if session is None:
        return {"execution_state": "unknown", "idle_deadline": None, "absolute_deadline": None, "warned": False}
    return {
        "execution_state": session.execution_state,
        "idle_deadline": moment(session.deadline("idle")),
        "absolute_deadline": moment(session.deadline("absolute")),
        "warned": bool(session.warned),
    }


def moment(value: datetime | None) -> str | None:
    """ISO 8601 in UTC with `Z`."""
    return None if value is None else rfc3339(value)

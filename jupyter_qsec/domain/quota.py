"""Quotas: how much of what a scope may use in a day, and what a task charges against it.

Amounts are whole numbers so that no counter can drift: tasks, shots, and simulator time in milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum


class Metric(StrEnum):
    TASKS = "tasks"
    SHOTS = "shots"
    SIMULATOR_MS = "simulator-ms"


@dataclass(frozen=True, slots=True)
class QuotaLimits:
    """Hard limits per UTC day; `None` means that this scope sets no limit of its own."""

    tasks: int | None = None
    shots: int | None = None
    simulator_minutes: int | None = None

    def of(self, metric: Metric) -> int | None:
        """The limit in the metric's own unit."""
        if metric is Metric.TASKS:
            return self.tasks
        if metric is Metric.SHOTS:
            return self.shots
        return None if self.simulator_minutes is None else self.simulator_minutes * 60_000


@dataclass(frozen=True, slots=True)
class Charge:
    """An amount to reserve on one counter, under a limit that is checked in the same statement."""

    scope: str
    """`tenant:ID`, `project:TENANT/ID` or `principal:TENANT/ID`."""
    metric: Metric
    window: str
    """The UTC day, `YYYY-MM-DD`."""
    amount: int
    limit: int | None
    """`None`: counted, not limited."""


@dataclass(frozen=True, slots=True)
class QuotaBreach:
    """Why a reservation was refused, with the quantities a person needs to understand it."""

    scope: str
    metric: Metric
    window: str
    used: int
    requested: int
    limit: int

    def __str__(self) -> str:
        unit = {Metric.TASKS: "tasks", Metric.SHOTS: "shots", Metric.SIMULATOR_MS: "ms of simulator time"}[self.metric]
        return (
            f"The daily quota of {self.scope} is {self.limit} {unit}: {self.used} are used on {self.window}, "
            f"{self.requested} were asked for."
        )


@dataclass(frozen=True, slots=True)
class QuotaUsage:
    """One counter as it stands."""

    scope: str
    metric: Metric
    window: str
    used: int


def day_window(moment: datetime) -> str:
    """The window that a moment falls into: its UTC day."""
    return moment.astimezone(UTC).date().isoformat()

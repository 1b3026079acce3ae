"""Session limits: when a quiet session is warned and when it ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum


class SessionVerdict(StrEnum):
    KEEP = "keep"
    WARN = "warn"
    END_IDLE = "end-idle"
    END_ABSOLUTE = "end-absolute"


@dataclass(frozen=True, slots=True)
class SessionLimits:
    idle: timedelta
    """Zero or less: no idle limit."""
    absolute: timedelta
    """Zero or less: no absolute limit."""
    warn_before: timedelta


@dataclass(frozen=True, slots=True)
class TenantLimits:
    """The limits of all tenants. A tenant has one purpose and one environment, so its limits are those of its lanes."""

    common: SessionLimits
    tenants: Mapping[str, SessionLimits] = field(default_factory=dict)

    def of(self, tenant: str) -> SessionLimits:
        """The limits for this tenant; the common ones also while nobody knows it."""
        return self.tenants.get(tenant, self.common)

    @property
    def shortest(self) -> timedelta | None:
        """The shortest span of all; None when there is no limit at all."""
        every = (self.common, *self.tenants.values())
        return min((s for limits in every for s in (limits.idle, limits.absolute) if s > timedelta(0)), default=None)


@dataclass(frozen=True, slots=True)
class SessionClock:
    """What is known about one session's activity."""

    started_at: datetime
    last_activity: datetime
    busy: bool
    """A cell is running: never idle."""

    def idle_deadline(self, limits: SessionLimits) -> datetime | None:
        if self.busy or limits.idle <= timedelta(0):
            return None
        return self.last_activity + limits.idle

    def absolute_deadline(self, limits: SessionLimits) -> datetime | None:
        return None if limits.absolute <= timedelta(0) else self.started_at + limits.absolute

    def verdict(self, limits: SessionLimits, now: datetime) -> SessionVerdict:
        """What is due now. A clock that jumps backwards can only postpone."""
        idle, absolute = self.idle_deadline(limits), self.absolute_deadline(limits)
        if absolute is not None and now >= absolute:
            return SessionVerdict.END_ABSOLUTE
        if idle is not None and now >= idle:
            return SessionVerdict.END_IDLE
        nearest = min((deadline for deadline in (idle, absolute) if deadline is not None), default=None)
        if nearest is not None and now >= nearest - limits.warn_before:
            return SessionVerdict.WARN
        return SessionVerdict.KEEP

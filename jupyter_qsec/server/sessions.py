"""Session limits: a session that stays idle too long, or lives too long, is warned and then ended.

Ending means: record it, revoke the lease, stop the kernel, say so. Each step is tried whatever becomes of the others,
and nothing here touches a file: the notebook on disk keeps its contents.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from jupyter_qsec.client.held import HeldLease
from jupyter_qsec.domain.activity import SessionClock, SessionLimits, SessionVerdict, TenantLimits
from jupyter_qsec.domain.errors import QsecError
from jupyter_qsec.server.notices import Log, Notices
from jupyter_qsec.server.registry import KernelRegistry, SessionState, moment

_MAX_GRACE = timedelta(minutes=1)
REASONS = {SessionVerdict.END_IDLE: "idle", SessionVerdict.END_ABSOLUTE: "absolute"}


@dataclass(frozen=True, slots=True)
class KernelActivity:
    """What the kernel manager knows of one kernel."""

    kernel_id: str
    execution_state: str
    last_activity: datetime


class Kernels(Protocol):
    """The server's kernels, as far as limits concern them."""

    def activities(self) -> list[KernelActivity]: ...

    async def shut_down(self, kernel_id: str) -> None: ...

    async def path(self, kernel_id: str) -> str:
        """The notebook that uses the kernel; empty when none does."""
        ...


Report = Callable[[str, str, str, dict[str, Any]], Awaitable[None]]
"""Sends an event (kind, lease id, subject, details) to the gateway's record."""


class SessionWatch:
    """Compares every kernel with the limits each time `tick` is called."""

    def __init__(
        self,
        limits: TenantLimits,
        kernels: Kernels,
        registry: KernelRegistry,
        notices: Notices,
        report: Report,
        log: Log,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.limits = limits
        self._kernels, self._registry, self._notices = kernels, registry, notices
        self._report, self._log, self._now = report, log, now
        self._ends: set[asyncio.Task[None]] = set()

    @property
    def period(self) -> timedelta:
        """How often to tick: often enough that a deadline is kept within a tenth, at most every five seconds."""
        shortest = self.limits.shortest
        return max(timedelta(seconds=0.2), min(timedelta(seconds=5), shortest / 10 if shortest else timedelta.max))

    async def tick(self) -> None:
        """Warn, resume or end whatever is due now."""
        now = self._now()
        activities = self._kernels.activities()
        for gone in self._registry.sessions.keys() - {activity.kernel_id for activity in activities}:
            del self._registry.sessions[gone]
        for activity in activities:
            session = self._registry.sessions.setdefault(activity.kernel_id, SessionState(now))
            if not session.ending:
                await self._judge(activity, session, now)

    def keep_alive(self, kernel_id: str) -> None:
        """Somebody is there: counts as activity. The absolute limit stays."""
        session = self._registry.sessions.setdefault(kernel_id, SessionState(self._now()))
        session.touched_at = self._now()
        if session.warned == "idle":
            session.warned, session.grace_until = "", None
        for activity in self._kernels.activities():
            if activity.kernel_id == kernel_id:
                self._measure(activity, session)

    def _measure(self, activity: KernelActivity, session: SessionState) -> SessionClock:
        clock = SessionClock(
            started_at=session.started_at,
            last_activity=max(activity.last_activity, session.touched_at or activity.last_activity),
            busy=activity.execution_state == "busy",
        )
        limits = self._limits(activity.kernel_id)
        session.execution_state = activity.execution_state
        session.idle_deadline = clock.idle_deadline(limits)
        session.absolute_deadline = clock.absolute_deadline(limits)
        return clock

    def _limits(self, kernel_id: str) -> SessionLimits:
        return self.limits.of(self._registry.tenant(kernel_id))

    async def _judge(self, activity: KernelActivity, session: SessionState, now: datetime) -> None:
        limits = self._limits(activity.kernel_id)
        verdict = self._measure(activity, session).verdict(limits, now)
        if verdict is SessionVerdict.KEEP:
            if session.warned:
                reason, session.warned, session.grace_until = session.warned, "", None
                path = await self._kernels.path(activity.kernel_id)
                self._notices.session("resumed", activity.kernel_id, path, reason, "")
            return
        reason = REASONS.get(verdict) or self._nearest(session)
        if session.warned != reason:
            late = verdict is not SessionVerdict.WARN
            session.grace_until = now + min(limits.warn_before, _MAX_GRACE) if late else None
            session.warned = reason
            await self._tell("warned", activity.kernel_id, session, reason)
            return
        due = session.deadline(reason)
        if verdict is not SessionVerdict.WARN and (due is None or now >= due):
            session.ending = True
            task = asyncio.get_running_loop().create_task(self._end(activity.kernel_id, session, reason))
            self._ends.add(task)
            task.add_done_callback(self._ends.discard)

    @staticmethod
    def _nearest(session: SessionState) -> str:
        idle, absolute = session.idle_deadline, session.absolute_deadline
        return "idle" if idle is not None and (absolute is None or idle <= absolute) else "absolute"

    async def _tell(self, kind: str, kernel_id: str, session: SessionState, reason: str) -> None:
        """Event for the panel, entry for the record."""
        path = await self._kernels.path(kernel_id)
        deadline = moment(session.deadline(reason)) or ""
        self._notices.session(kind, kernel_id, path, reason, deadline)
        details = {"kernel": kernel_id, "reason": reason, "deadline": deadline}
        await self._report(f"session.{kind}", self._registry.lease_id(kernel_id), path, details)

    async def _end(self, kernel_id: str, session: SessionState, reason: str) -> None:
        path = await self._kernels.path(kernel_id)
        deadline = moment(session.deadline(reason)) or ""
        details = {"kernel": kernel_id, "reason": reason, "deadline": deadline}
        await self._report("session.ended", self._registry.lease_id(kernel_id), path, details)
        held = self._registry.held(kernel_id)
        # An expired one, too: its limit may have been that of the session, and the record should say why it ended.
        if held is not None and held.lease is not None and held.lease["state"] != "revoked":
            await self._revoke(held, reason)
        try:
            await self._kernels.shut_down(kernel_id)
        except Exception:  # noqa: BLE001 - kernel managers are exchangeable and raise anything; the next tick tries again
            self._log.exception("the kernel %s of a session past its limit could not be stopped", kernel_id)
            session.ending = False
        self._notices.session("ended", kernel_id, path, reason, deadline)

    async def _revoke(self, held: HeldLease, reason: str) -> None:
        because = "the session was idle" if reason == "idle" else "the session reached its absolute limit"
        try:
            await asyncio.to_thread(held.revoke, because)
        except QsecError as error:
            # The keeper goes on trying; nothing renews the lease any more, so it dies within minutes in any case.
            self._log.warning("the lease of a session past its limit could not be revoked yet: %s", error)

    async def settle(self) -> None:
        """Wait for the ends under way (tests and the server's shutdown do)."""
        if self._ends:
            await asyncio.gather(*self._ends, return_exceptions=True)

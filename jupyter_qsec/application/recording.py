"""Records refusals. A flood of them cannot fill the log: the first of a kind is written at once, the rest as counts."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from jupyter_qsec.application.callers import Caller, Fact, caller_event
from jupyter_qsec.application.ports import Clock, Store
from jupyter_qsec.domain.audit import AuditEvent
from jupyter_qsec.domain.errors import DeniedError, QsecError, QuotaExceededError

_log = logging.getLogger(__name__)

MAX_KINDS = 256
"""Different refusals that one window tells apart; what comes on top is counted together."""
_DETAIL = 300


@dataclass(slots=True)
class _Repeated:
    event: AuditEvent
    count: int = 0


class ReportLimit:
    """How much one lease may have recorded in a minute, so that code in a kernel cannot fill the log with reports."""

    def __init__(self, clock: Clock, *, most: int = 1000, window_seconds: float = 60.0) -> None:
        self._clock = clock
        self._most = most
        self._window_seconds = window_seconds
        self._window_start: datetime | None = None
        self._counts: Counter[str] = Counter()

    def spend(self, lease_id: str, count: int) -> None:
        """Count reports; `QuotaExceededError` when the lease has none left in this minute."""
        now = self._clock.now()
        if self._window_start is None or not 0 <= (now - self._window_start).total_seconds() < self._window_seconds:
            self._window_start = now
            self._counts.clear()
        if self._counts[lease_id] + count > self._most:
            raise QuotaExceededError(
                f"A lease may report {self._most} findings and events a minute: {self._counts[lease_id]} were "
                f"reported, {count} more were sent.",
                remedy="Send the rest later.",
            )
        self._counts[lease_id] += count


class Recorder:
    """Writes security events that belong to no other write.

    A refusal stands whether or not its record can be written, so failing to record is logged and never raised here."""

    def __init__(self, store: Store, clock: Clock, *, window_seconds: float = 60.0) -> None:
        self._store = store
        self._clock = clock
        self._window_seconds = window_seconds
        self._window_start: datetime | None = None
        self._seen: dict[tuple[str, ...], _Repeated] = {}
        self._lock = asyncio.Lock()

    async def rejected(
        self,
        kind: str,
        source: str,
        code: str,
        detail: str = "",
        *,
        principal: str = "",
        tenant: str = "",
        subject: str = "",
        request_id: str = "",
    ) -> None:
        """Record a request that was refused before anyone was identified, or by protocol.

        `kind` says where (`signature`, `control`, `credentials`, `host`, …); `detail` must carry no secret."""
        origin = {"request_id": request_id} if request_id else {}
        event = AuditEvent(
            kind="request.rejected",
            at=self._clock.now(),
            principal=principal,
            tenant=tenant,
            subject=subject[:_DETAIL],
            outcome="denied",
            details={"at": kind, "source": source, "code": code, "detail": detail[:_DETAIL], **origin},
        )
        await self._write((event.kind, kind, source, code, principal), event)

    async def refused(
        self,
        caller: Caller,
        kind: str,
        error: QsecError,
        *,
        subject: str = "",
        details: Mapping[str, Fact] | None = None,
    ) -> None:
        """Record that a caller was refused: `kind` is the event's kind, such as `task.refused`."""
        event = caller_event(
            caller,
            kind,
            self._clock.now(),
            subject=subject[:_DETAIL],
            outcome="denied",
            rules=error.reasons if isinstance(error, DeniedError) else (),
            details={"code": error.code, "detail": error.message[:_DETAIL], **(details or {})},
        )
        await self._write((kind, caller.lease.id, error.code), event)

    async def noted(self, event: AuditEvent, key: tuple[str, ...]) -> None:
        """Record an event that may come often, such as a read of the log: once for each key and window, then counts."""
        await self._write(("noted", *key), event)

    async def flush(self) -> None:
        """Write the counts of a window that has passed; called now and then, and at the end with `close`."""
        async with self._lock:
            await self._roll(self._clock.now(), force=False)

    async def close(self) -> None:
        async with self._lock:
            await self._roll(self._clock.now(), force=True)

    async def _write(self, key: tuple[str, ...], event: AuditEvent) -> None:
        async with self._lock:
            await self._roll(event.at, force=False)
            if key not in self._seen and len(self._seen) >= MAX_KINDS:
                key = ("overflow",)
                event = AuditEvent("request.rejected", event.at, outcome="denied", details={"at": "many-sources"})
            repeated = self._seen.get(key)
            if repeated is not None:
                repeated.count += 1
                return
            self._seen[key] = _Repeated(event)
            await self._record([event])

    async def _roll(self, now: datetime, *, force: bool) -> None:
        if self._window_start is None:
            self._window_start = now
        # A clock that jumps back ends the window too: otherwise counts would wait for the old time to come again.
        elapsed = (now - self._window_start).total_seconds()
        if not force and 0 <= elapsed < self._window_seconds:
            return
        counts = [
            replace(entry.event, at=now, details={**entry.event.details, "repeated": entry.count})
            for entry in self._seen.values()
            if entry.count
        ]
        self._window_start = now
        self._seen.clear()
        if counts:
            await self._record(counts)

    async def _record(self, events: list[AuditEvent]) -> None:
        try:
            await self._store.record(events)
        except QsecError as error:
            _log.error("%d security events could not be recorded: %s", len(events), error.code)

"""Terminals end by the same limits as sessions: one that nobody uses, or that lives too long, is closed.

A terminal is of the server's own tenant. It has no lease, and nothing to warn: a panel that could show a countdown is
not where terminals are used.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from jupyter_qsec.domain.activity import SessionClock, SessionLimits
from jupyter_qsec.server.notices import Log
from jupyter_qsec.server.sessions import REASONS, Report


class TerminalWatch:
    """Compares every terminal with the limits each time `tick` is called."""

    def __init__(
        self,
        limits: SessionLimits,
        terminals: Callable[[], Any],
        report: Report,
        log: Log,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`terminals` gives the terminal manager, or None while the server has none."""
        self._limits, self._terminals, self._report, self._log, self._now = limits, terminals, report, log, now
        self._since: dict[str, datetime] = {}

    async def tick(self) -> None:
        """End whatever is due now."""
        manager = self._terminals()
        running = dict(manager.terminals) if manager is not None else {}
        now = self._now()
        self._since = {name: self._since.get(name, now) for name in running}
        for name, terminal in running.items():
            last = getattr(terminal, "last_activity", now)
            clock = SessionClock(self._since[name], last if last.tzinfo else last.replace(tzinfo=UTC), busy=False)
            reason = REASONS.get(clock.verdict(self._limits, now))
            if reason is not None:
                await self._end(manager, name, reason)

    async def _end(self, manager: Any, name: str, reason: str) -> None:
        await self._report("terminal.ended", "", f"terminal {name}", {"terminal": name, "reason": reason})
        try:
            await manager.terminate(name, force=True)
        except Exception:  # noqa: BLE001 - terminal managers are exchangeable; the next tick tries again
            self._log.exception("the terminal %s past its limit could not be closed", name)
            return
        self._log.warning("the terminal %s was closed: it reached the %s limit", name, reason)

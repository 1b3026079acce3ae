"""The machine's clock, and one that machines have in common."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

_log = logging.getLogger(__name__)

TOLERATED = timedelta(seconds=1)
"""Clocks that differ by less go on as they are."""


class SystemClock:
    """Implements the `Clock` port with the system's wall clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class CommonClock:
    """Implements the `Clock` port for gateways on several machines: a lease that one of them gave is judged by all, so
    all go by one clock, whose time each asks for now and then."""

    def __init__(self, own: SystemClock | None = None) -> None:
        self._own = own or SystemClock()
        self._ahead = timedelta(0)
        """What the common clock shows more than this machine's."""
        self._suspected = timedelta(0)
        """What the newest answer said."""
        self._agreed = False

    def now(self) -> datetime:
        return self._own.now() + self._ahead

    async def agree(self, ask: Callable[[], Awaitable[datetime]]) -> None:
        """Go by the time that `ask` gives: at once the first time, later when it says the same twice in a row, so that
        no single odd answer ends or prolongs leases. Raises what `ask` raises; then the clock goes on as it did."""
        ahead = await self._compared(ask)
        suspected, self._suspected = self._suspected, ahead
        if self._agreed and abs(ahead - suspected) > TOLERATED:
            return
        self._agreed = True
        if abs(ahead - self._ahead) > TOLERATED:
            self._ahead = ahead if abs(ahead) > TOLERATED else timedelta(0)
            _log.warning("the gateway goes by the database's clock, which shows %+.0f s", self._ahead.total_seconds())

    async def _compared(self, ask: Callable[[], Awaitable[datetime]]) -> timedelta:
        """How far ahead the other clock is, by half of the time that its answer took at worst."""
        asked = self._own.now()
        theirs = await ask()
        return theirs - (asked + (self._own.now() - asked) / 2)

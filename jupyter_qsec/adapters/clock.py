"""The machine's clock, and one that machines have in common."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

_log = logging.getLogger(__name__)

TOLERATED = timedelta(seconds=1)
"""Clocks that differ by less go on as they are."""
_SLOW = timedelta(seconds=2)
"""An answer that took longer says too little about the time."""


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

    def now(self) -> datetime:
        return self._own.now() + self._ahead

    async def agree(self, ask: Callable[[], Awaitable[datetime]]) -> None:
        """Go by the time that `ask` gives. Raises what that raises; then the clock goes on as it did."""
        asked = self._own.now()
        theirs = await ask()
        answered = self._own.now()
        if not timedelta(0) <= answered - asked <= _SLOW:
            return
        ahead = theirs - (asked + (answered - asked) / 2)
        if abs(ahead - self._ahead) <= TOLERATED:
            return
        self._ahead = ahead if abs(ahead) > TOLERATED else timedelta(0)
        way = "behind" if self._ahead > timedelta(0) else "ahead of"
        _log.warning(
            "this machine's clock is %.0f s %s the database's, by which the gateway goes from now on",
            abs(self._ahead.total_seconds()),
            way,
        )

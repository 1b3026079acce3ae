"""How long the store waits for a database that went away."""

from __future__ import annotations

import threading
import time

PATIENCE_SECONDS = 12.0
"""An outage of ten seconds is waited for; what lasts longer is told to the callers."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 0.5


class Outage:
    """Stretches of failures as one thread meets them."""

    def __init__(self, closing: threading.Event, patience: float) -> None:
        """Nothing is waited for once `closing` is set."""
        self._patience = patience
        self._closing = closing
        self._since: float | None = None
        self._pause = _FIRST_PAUSE

    def wait(self) -> bool:
        """Pause before the next attempt; false, at once, when the outage has lasted too long."""
        now = time.monotonic()
        if self._since is None:
            self._since, self._pause = now, _FIRST_PAUSE
        if now - self._since >= self._patience or self._closing.wait(self._pause):
            return False
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        return True

    def over(self) -> None:
        """Something succeeded: the next failure begins another outage."""
        self._since = None

"""The machine's clock."""

from __future__ import annotations

from datetime import UTC, datetime


class SystemClock:
    """Implements the `Clock` port with the system's wall clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

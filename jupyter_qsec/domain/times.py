"""Times as every interface of this package writes them."""

from __future__ import annotations

from datetime import UTC, datetime


def rfc3339(moment: datetime) -> str:
    """ISO 8601 in UTC with `Z`, to the millisecond: `2026-03-01T12:00:00.500Z`. Takes an aware time of any zone."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from jupyter_qsec.domain.times import rfc3339


def test_times_are_written_in_utc_to_the_millisecond() -> None:
    assert rfc3339(datetime(2026, 3, 1, 12, tzinfo=UTC)) == "2026-03-01T12:00:00.000Z"
    assert rfc3339(datetime(2026, 3, 1, 12, 0, 0, 999_999, tzinfo=UTC)) == "2026-03-01T12:00:00.999Z"


def test_another_zone_is_told_in_utc() -> None:
    east = timezone(timedelta(hours=2))
    assert rfc3339(datetime(2026, 3, 1, 1, tzinfo=east)) == "2026-02-28T23:00:00.000Z"

"""Session limits: warned, then ended; a running cell is not idle; the absolute limit holds for everyone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from jupyter_qsec.domain.activity import SessionClock, SessionLimits, SessionVerdict

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
LIMITS = SessionLimits(timedelta(minutes=30), timedelta(hours=8), timedelta(minutes=5))


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("minutes", "verdict"),
    [
        (0, SessionVerdict.KEEP),
        (24.9, SessionVerdict.KEEP),
        (25, SessionVerdict.WARN),
        (29.9, SessionVerdict.WARN),
        (30, SessionVerdict.END_IDLE),
        (479, SessionVerdict.END_IDLE),
        (480, SessionVerdict.END_ABSOLUTE),
    ],
)
def test_a_quiet_session_is_warned_then_ended(minutes: float, verdict: SessionVerdict) -> None:
    assert SessionClock(START, START, busy=False).verdict(LIMITS, at(minutes)) is verdict


@pytest.mark.parametrize(
    ("minutes", "verdict"),
    [
        (60, SessionVerdict.KEEP),
        (474, SessionVerdict.KEEP),
        (475, SessionVerdict.WARN),
        (480, SessionVerdict.END_ABSOLUTE),
    ],
)
def test_a_running_cell_is_not_idle_but_the_absolute_limit_holds(minutes: float, verdict: SessionVerdict) -> None:
    assert SessionClock(START, START, busy=True).verdict(LIMITS, at(minutes)) is verdict


def test_activity_postpones_the_idle_limit_only() -> None:
    session = SessionClock(START, at(100), busy=False)
    assert session.idle_deadline(LIMITS) == at(130)
    assert session.absolute_deadline(LIMITS) == at(480)


def test_limits_of_zero_are_no_limits() -> None:
    none = SessionLimits(timedelta(0), timedelta(0), timedelta(minutes=5))
    session = SessionClock(START, START, busy=False)
    assert (session.idle_deadline(none), session.absolute_deadline(none)) == (None, None)
    assert session.verdict(none, at(10**6)) is SessionVerdict.KEEP


def test_a_clock_that_jumps_back_ends_nothing() -> None:
    assert SessionClock(START, START, busy=False).verdict(LIMITS, at(-600)) is SessionVerdict.KEEP

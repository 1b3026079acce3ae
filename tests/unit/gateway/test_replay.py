"""A signature counts once; what honest clients do twice within a moment still works."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from jupyter_qsec.domain.errors import ReplayedRequestError, UnavailableError
from jupyter_qsec.gateway.replay import REPEAT_WINDOW, RepeatedRequestError, ReplayGuard, SharedReplays
from jupyter_qsec.gateway.sigv4 import MAX_SKEW
from tests.fakes.claims import FakeSignatures

START = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)
SIGNATURE = "ab" * 32


def second(seconds: float) -> datetime:
    return START.replace(microsecond=0) + timedelta(seconds=seconds)


def other(number: int) -> str:
    return f"{number:064x}"


def test_a_poll_may_come_twice_in_the_same_moment() -> None:
    guard = ReplayGuard(START)
    for delay in (0.3, 0.3, 1.0, 2.0):
        guard.check(SIGNATURE, second(0), second(delay), repeatable=True)


def test_a_poll_recorded_and_sent_later_is_refused() -> None:
    guard = ReplayGuard(START)
    guard.check(SIGNATURE, second(0), second(0.3), repeatable=True)
    with pytest.raises(ReplayedRequestError) as refused:
        guard.check(SIGNATURE, second(0), second(0.4) + REPEAT_WINDOW, repeatable=True)
    assert not isinstance(refused.value, RepeatedRequestError)


def test_repeating_does_not_extend_the_moment() -> None:
    guard = ReplayGuard(START)
    guard.check(SIGNATURE, second(0), second(0.3), repeatable=True)
    guard.check(SIGNATURE, second(0), second(2), repeatable=True)
    with pytest.raises(ReplayedRequestError):
        guard.check(SIGNATURE, second(0), second(3), repeatable=True)


def test_a_write_counts_once_and_the_client_is_told_to_sign_again() -> None:
    guard = ReplayGuard(START)
    guard.check(SIGNATURE, second(0), second(0.3), repeatable=False)
    with pytest.raises(RepeatedRequestError):
        guard.check(SIGNATURE, second(0), second(0.3), repeatable=False)
    guard.check(other(1), second(1), second(1.3), repeatable=False)


def test_a_write_recorded_and_sent_later_is_refused_for_good() -> None:
    guard = ReplayGuard(START)
    guard.check(SIGNATURE, second(0), second(0.3), repeatable=False)
    with pytest.raises(ReplayedRequestError) as refused:
        guard.check(SIGNATURE, second(0), second(60), repeatable=False)
    assert not isinstance(refused.value, RepeatedRequestError)


def test_a_signature_is_remembered_as_long_as_its_time_is_acceptable() -> None:
    guard = ReplayGuard(START)
    guard.check(SIGNATURE, second(0), second(0.3), repeatable=False)
    for minute in range(1, 5):
        guard.check(other(minute), second(60 * minute), second(60 * minute), repeatable=False)
    with pytest.raises(ReplayedRequestError):
        guard.check(SIGNATURE, second(0), START.replace(microsecond=0) + MAX_SKEW, repeatable=False)


def test_what_was_signed_before_the_start_could_be_a_replay() -> None:
    guard = ReplayGuard(START)
    with pytest.raises(RepeatedRequestError, match="Sign the request again"):
        guard.check(SIGNATURE, second(-1), second(1), repeatable=True)
    guard.check(other(1), second(0), second(1), repeatable=True)


def test_memory_is_bounded_and_forgetting_never_lets_a_replay_pass() -> None:
    guard = ReplayGuard(START, capacity=10)
    guard.check(SIGNATURE, second(1), second(1), repeatable=False)
    for number in range(10):
        guard.check(other(number), second(120), second(120), repeatable=False)
    with pytest.raises(RepeatedRequestError):
        guard.check(SIGNATURE, second(1), second(121), repeatable=False)
    guard.check(other(99), second(121), second(121), repeatable=False)


def test_old_signatures_leave_memory() -> None:
    guard = ReplayGuard(START, capacity=100)
    for number in range(1000):
        guard.check(other(number), second(10 * number), second(10 * number), repeatable=False)
    guard.check(other(2000), second(9990), second(9990), repeatable=False)


@pytest.mark.parametrize("back", [30, 200, 3600])
def test_a_clock_that_jumps_back_refuses_no_honest_request(back: int) -> None:
    guard = ReplayGuard(START)
    guard.check(SIGNATURE, second(10), second(10), repeatable=False)
    guard.check(other(1), second(10 - back), second(10 - back), repeatable=False)
    with pytest.raises(ReplayedRequestError):
        guard.check(other(1), second(10 - back), second(13 - back), repeatable=False)


def test_a_small_jump_back_does_not_forget_what_was_seen() -> None:
    guard = ReplayGuard(START)
    guard.check(SIGNATURE, second(60), second(60), repeatable=False)
    with pytest.raises(ReplayedRequestError):
        guard.check(SIGNATURE, second(60), second(30), repeatable=False)


# -- a record that several processes keep together
async def test_a_signature_that_another_process_saw_counts_here_too() -> None:
    record = FakeSignatures()
    one, other = SharedReplays(record), SharedReplays(record)
    await one.check(SIGNATURE, second(0), second(0.3), repeatable=False)
    with pytest.raises(RepeatedRequestError, match="Sign the request again"):
        await other.check(SIGNATURE, second(0), second(0.3), repeatable=False)
    await other.check(SIGNATURE, second(0), second(0.3), repeatable=True)
    record.pass_time(REPEAT_WINDOW.total_seconds() + 0.1)
    for guard in (one, other):
        with pytest.raises(ReplayedRequestError) as refused:
            await guard.check(SIGNATURE, second(0), second(0.3), repeatable=True)
        assert not isinstance(refused.value, RepeatedRequestError)


async def test_clocks_of_processes_that_differ_make_no_room_for_a_replay() -> None:
    """What counts is the record's own clock, and what is forgotten is old for everybody."""
    record = FakeSignatures()
    ahead, exact = SharedReplays(record), SharedReplays(record)
    await exact.check(SIGNATURE, second(0), second(0), repeatable=True)
    record.pass_time(250)
    await ahead.check(other(1), second(250), second(250 + 360), repeatable=True)  # six minutes ahead: sweeps
    with pytest.raises(ReplayedRequestError):
        await exact.check(SIGNATURE, second(0), second(250), repeatable=True)


async def test_what_was_signed_before_a_start_is_taken_because_the_record_was_there() -> None:
    await SharedReplays(FakeSignatures()).check(SIGNATURE, second(-60), second(0), repeatable=False)


async def test_nothing_is_answered_while_the_record_cannot_be_asked() -> None:
    record = FakeSignatures()
    record.away = True
    with pytest.raises(UnavailableError):
        await SharedReplays(record).check(SIGNATURE, second(0), second(0), repeatable=True)


# -- from one process to the next


def after(guard: ReplayGuard, sealed: datetime, started: datetime) -> ReplayGuard:
    following = ReplayGuard(started)
    following.recall(guard.seal(sealed), started)
    return following


def test_a_process_that_follows_an_orderly_end_takes_what_was_signed_before_it_and_no_replay() -> None:
    guard = ReplayGuard(START - timedelta(hours=1))
    guard.check(SIGNATURE, second(0), second(1), repeatable=False)
    following = after(guard, second(2), second(5))
    with pytest.raises(ReplayedRequestError):
        following.check(SIGNATURE, second(0), second(5), repeatable=False)
    for number, made in enumerate((-250, 0, 3)):
        following.check(other(number), second(made), second(5), repeatable=False)


def test_a_retry_within_the_moment_may_go_to_the_next_process() -> None:
    guard = ReplayGuard(START - timedelta(hours=1))
    guard.check(SIGNATURE, second(0), second(1), repeatable=True)
    after(guard, second(1), second(2)).check(SIGNATURE, second(0), second(2), repeatable=True)


def test_what_had_been_forgotten_before_the_end_stays_refused() -> None:
    guard = ReplayGuard(START - timedelta(hours=1))
    guard.check(SIGNATURE, second(0), second(1), repeatable=False)
    sealed = second(1) + MAX_SKEW
    guard.check(other(1), sealed, sealed, repeatable=False)
    following = after(guard, sealed, sealed)
    with pytest.raises(RepeatedRequestError, match="before the gateway can rule out"):
        following.check(SIGNATURE, second(0), sealed, repeatable=False)


def test_what_the_process_before_could_not_rule_out_neither_can_the_next() -> None:
    following = after(ReplayGuard(START), second(10), second(11))
    with pytest.raises(RepeatedRequestError):
        following.check(SIGNATURE, second(-1), second(11), repeatable=True)
    full = ReplayGuard(START - timedelta(hours=1), capacity=2)
    for number in range(3):
        full.check(other(number), second(60 * number - 120), second(0), repeatable=False)
    following = after(full, second(1), second(2))
    with pytest.raises(RepeatedRequestError):
        following.check(other(0), second(-120), second(2), repeatable=False)


def test_a_clock_that_was_set_back_in_between_leaves_nothing_to_recall() -> None:
    guard = ReplayGuard(START - timedelta(hours=1))
    following = after(guard, second(0), second(-60))
    with pytest.raises(RepeatedRequestError):
        following.check(SIGNATURE, second(-120), second(-60), repeatable=True)


def test_a_process_that_has_told_what_it_saw_sees_nothing_more() -> None:
    guard = ReplayGuard(START)
    guard.seal(second(1))
    for now in (second(2), second(-3600)):  # whatever the clock does
        with pytest.raises(RepeatedRequestError):
            guard.check(SIGNATURE, now, now, repeatable=True)

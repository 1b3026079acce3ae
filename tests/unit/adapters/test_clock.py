"""A clock that machines have in common."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from jupyter_qsec.adapters.clock import TOLERATED, CommonClock
from jupyter_qsec.domain.errors import UnavailableError
from tests.fakes.clock import FakeClock

HOUR = timedelta(hours=1)


@pytest.fixture
def own() -> FakeClock:
    return FakeClock()


@pytest.fixture
def common(own: FakeClock) -> CommonClock:
    return CommonClock(own)  # type: ignore[arg-type]  # as the system's


class Asked:
    """The time elsewhere, and how long an answer takes."""

    def __init__(self, own: FakeClock, ahead: timedelta, takes: timedelta = timedelta(0)) -> None:
        self.own, self.ahead, self.takes = own, ahead, takes

    async def __call__(self) -> datetime:
        self.own.advance(seconds=self.takes.total_seconds())
        return self.own.now() - self.takes / 2 + self.ahead


@pytest.mark.parametrize("ahead", [HOUR, -HOUR, timedelta(seconds=7)])
async def test_it_goes_by_the_others_time(common: CommonClock, own: FakeClock, ahead: timedelta) -> None:
    await common.agree(Asked(own, ahead, takes=timedelta(seconds=1)))
    assert common.now() - own.now() == ahead
    own.advance(minutes=10)
    assert common.now() - own.now() == ahead
    for _ in range(2):
        await common.agree(Asked(own, timedelta(0)))
    assert common.now() == own.now()


async def test_clocks_that_hardly_differ_are_left_alone(common: CommonClock, own: FakeClock) -> None:
    await common.agree(Asked(own, TOLERATED))
    assert common.now() == own.now()
    for ahead in (HOUR, HOUR, HOUR + TOLERATED, HOUR + TOLERATED):
        await common.agree(Asked(own, ahead))
    assert common.now() - own.now() == HOUR


async def test_a_slow_answer_is_better_than_none(common: CommonClock, own: FakeClock) -> None:
    await common.agree(Asked(own, HOUR, takes=timedelta(seconds=30)))
    assert common.now() - own.now() == HOUR


async def test_one_odd_answer_changes_nothing_and_two_do(common: CommonClock, own: FakeClock) -> None:
    right, odd = Asked(own, timedelta(0)), Asked(own, timedelta(days=1))
    for answer in (right, odd, right, odd):
        await common.agree(answer)
        assert common.now() == own.now()
    await common.agree(odd)
    assert common.now() - own.now() == timedelta(days=1)


async def test_without_an_answer_it_goes_on_as_it_did(common: CommonClock, own: FakeClock) -> None:
    await common.agree(Asked(own, HOUR))

    async def away() -> datetime:
        raise UnavailableError("The database is away.")

    with pytest.raises(UnavailableError):
        await common.agree(away)
    assert common.now() - own.now() == HOUR


async def test_a_jump_of_this_machines_clock_is_made_good(common: CommonClock, own: FakeClock) -> None:
    right = own.now()
    own.advance(minutes=90)

    async def ask() -> datetime:
        return right

    await common.agree(ask)
    assert common.now() == right

"""When the gateway says that it is well, how often it looks, and how long anybody waits for that."""

from __future__ import annotations

import asyncio

from jupyter_qsec.application.health import LOOK_SECONDS, Health
from jupyter_qsec.domain.errors import RecordingError
from tests.fakes.policy import FakePolicy
from tests.fakes.store import FakeStore


class CountingStore(FakeStore):
    """Counts probes, and keeps them waiting while `hangs` is not set."""

    def __init__(self) -> None:
        super().__init__()
        self.probes = 0
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def probe(self) -> None:
        self.probes += 1
        await self.goes_on.wait()
        await super().probe()


class Watched:
    """A `Health` over fakes, with a clock that stands still."""

    def __init__(self) -> None:
        self.now = 100.0
        self.room = True
        self.store = CountingStore()
        self.policy = FakePolicy()
        self.secrets = True
        self.health = Health(
            self.store,
            self.policy,
            lambda: self.room,
            lambda: self.secrets,
            asker_waits=0.01,
            monotonic=lambda: self.now,
        )

    async def opened(self) -> Watched:
        await self.store.open()
        return self

    async def later(self, seconds: float = 1.0) -> str:
        self.now += seconds
        return await self.health.problem()


async def test_it_is_well_when_it_can_record_and_decide() -> None:
    watched = await Watched().opened()
    assert await watched.health.problem() == ""


async def test_what_was_seen_serves_all_who_ask_within_a_second() -> None:
    watched = await Watched().opened()
    assert await asyncio.gather(*[watched.health.problem() for _ in range(20)]) == [""] * 20
    watched.store.fail_with = RecordingError("The disk is full.")
    assert await watched.later(0.9) == ""
    assert watched.store.probes == 1
    assert "takes no writes" in await watched.later(0.1)
    assert watched.store.probes == 2


async def test_a_disk_without_room_and_an_engine_that_fails_are_told_apart_and_pass() -> None:
    watched = await Watched().opened()
    watched.room = False
    assert "disk is full" in await watched.later()
    watched.room = True
    watched.policy.fails = True
    assert "cannot decide" in await watched.later()
    watched.policy.fails = False
    watched.secrets = False
    assert "root secret" in await watched.later()
    watched.secrets = True
    assert await watched.later() == ""


async def test_nobody_waits_for_a_store_that_waits_for_its_database() -> None:
    watched = await Watched().opened()
    assert await watched.health.problem() == ""
    watched.store.goes_on.clear()
    assert await watched.later(2) == ""  # the outage may be a short one
    assert await watched.later(5) == ""
    assert watched.store.probes == 2
    assert "does not answer" in await watched.later(LOOK_SECONDS)
    watched.store.goes_on.set()
    assert await watched.later() == ""


async def test_before_anything_was_seen_it_is_not_well() -> None:
    watched = await Watched().opened()
    watched.store.goes_on.clear()
    assert "not found out yet" in await watched.health.problem()
    await watched.health.close()
    assert watched.store.probes == 1


async def test_a_defect_while_looking_is_no_good_health() -> None:
    watched = await Watched().opened()
    watched.store.fail_with = ZeroDivisionError("secret text")  # type: ignore[assignment]  # a defect, not an error
    problem = await watched.health.problem()
    assert "cannot find out" in problem
    assert "secret" not in problem


async def test_the_reason_names_nothing_of_the_store() -> None:
    watched = await Watched().opened()
    watched.store.fail_with = RecordingError("password=hunter2 at /home/ada")
    problem = await watched.health.problem()
    assert "hunter2" not in problem
    assert "ada" not in problem

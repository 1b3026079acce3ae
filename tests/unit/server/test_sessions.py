"""Session limits under a clock that is moved by hand: warned, resumed, ended; nothing that runs is idle."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jupyter_qsec.client.held import HeldLease
from jupyter_qsec.client.leases import LeaseKeeper
from jupyter_qsec.client.wire import LeaseAsk
from jupyter_qsec.domain.activity import SessionLimits, TenantLimits
from jupyter_qsec.domain.errors import InvalidRequestError, LeaseExpiredError, UnavailableError
from jupyter_qsec.kernels.observer import KernelReport
from jupyter_qsec.server.assembly import Defaults
from jupyter_qsec.server.registry import KernelRegistry
from jupyter_qsec.server.sessions import KernelActivity, SessionWatch
from tests.fakes.clock import FakeClock
from tests.fakes.lease_api import FakeLeaseApi

LIMITS = SessionLimits(idle=timedelta(minutes=60), absolute=timedelta(hours=12), warn_before=timedelta(minutes=5))


class World:
    """One kernel with a lease; implements `Kernels` and stands in for notices and the gateway's record."""

    def __init__(self, folder: Path, limits: SessionLimits = LIMITS, **tenants: SessionLimits) -> None:
        self.clock = FakeClock()
        self.api = FakeLeaseApi(self.clock)
        self.keeper = LeaseKeeper(self.api, now=self.clock.now, monotonic=lambda: 0.0, threaded=False)
        self.held: HeldLease = self.keeper.acquire(LeaseAsk(ttl=timedelta(hours=20)), folder / "token")
        self.activity: KernelActivity | None = KernelActivity("k1", "idle", self.clock.now())
        self.events: list[tuple[str, str, str]] = []
        self.recorded: list[tuple[str, str, str, dict[str, Any]]] = []
        self.order: list[str] = []
        self.recording_fails = self.stopping_fails = False
        self.registry = KernelRegistry(
            lambda report, new: None, lambda kernel_id, findings: None, lambda kernel_id: None
        )
        self.registry.kernel_started("k1", KernelReport("k1", "python3", "", self.held, "", "confined", ()))
        self.watch = SessionWatch(
            TenantLimits(limits, tenants),
            self,
            self.registry,
            self,  # type: ignore[arg-type]  # only `session` of the notices is called
            self.report,
            logging.getLogger("test"),
            now=self.clock.now,
        )

    # Kernels
    def activities(self) -> list[KernelActivity]:
        return [] if self.activity is None else [self.activity]

    async def shut_down(self, kernel_id: str) -> None:
        self.order.append(f"stop, lease {'active' if self.held.active else 'revoked'}")
        if self.stopping_fails:
            raise RuntimeError("the kernel manager broke")
        self.activity = None

    async def path(self, kernel_id: str) -> str:
        return "work.ipynb"

    # Notices
    def session(self, kind: str, kernel_id: str, path: str, reason: str, deadline: str) -> None:
        self.events.append((kind, reason, deadline))
        self.order.append(kind)

    # Report
    async def report(self, kind: str, lease_id: str, subject: str, details: dict[str, Any]) -> None:
        self.order.append(kind)
        if not self.recording_fails:
            self.recorded.append((kind, lease_id, subject, details))

    # what the test does
    def active(self, state: str = "idle") -> None:
        assert self.activity is not None
        self.activity = replace(self.activity, execution_state=state, last_activity=self.clock.now())

    async def after(self, **delta: float) -> None:
        self.clock.advance(**delta)
        await self.watch.tick()
        await self.watch.settle()

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _, _ in self.events]

    @property
    def alive(self) -> bool:
        return self.activity is not None


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_a_session_is_warned_and_then_ended(world: World) -> None:
    await world.after(minutes=54)
    assert world.kinds == []
    await world.after(minutes=2)
    assert world.events == [("warned", "idle", "2026-03-01T13:00:00.000Z")]
    assert world.registry.entry("k1", "python3", "")["session"]["warned"] is True
    await world.after(minutes=3)
    assert (world.alive, world.held.active) == (True, True), "not before its time"
    await world.after(minutes=1)
    assert not world.alive and not world.held.active
    assert world.kinds == ["warned", "ended"]


async def test_ending_is_recorded_then_the_lease_goes_then_the_kernel_then_everybody_is_told(world: World) -> None:
    await world.after(minutes=56)
    world.order.clear()
    await world.after(minutes=5)
    assert world.order == ["session.ended", "stop, lease revoked", "ended"]
    kind, lease_id, subject, details = world.recorded[-1]
    assert (kind, subject) == ("session.ended", "work.ipynb")
    assert world.held.lease is not None and lease_id == world.held.lease["id"]
    assert details["reason"] == "idle"
    assert world.api.stored[lease_id].revoked_because == "the session was idle"


async def test_a_warned_session_that_works_again_resumes(world: World) -> None:
    await world.after(minutes=56)
    world.active()
    await world.after(seconds=1)
    assert world.kinds == ["warned", "resumed"]
    await world.after(minutes=54)
    assert world.alive


async def test_a_running_cell_is_not_idle(world: World) -> None:
    world.active("busy")
    await world.after(hours=11)
    assert world.kinds == [] and world.alive
    assert world.registry.entry("k1", "python3", "")["session"]["idle_deadline"] is None
    world.active("idle")
    await world.after(minutes=40)
    assert world.alive, "idle counts from the end of the cell"


async def test_the_absolute_limit_ends_even_what_runs(world: World) -> None:
    world.active("busy")
    await world.watch.tick()
    await world.after(hours=11, minutes=56)
    assert world.events == [("warned", "absolute", "2026-03-02T00:00:00.000Z")]
    await world.after(minutes=4)
    assert not world.alive
    assert world.events[-1][:2] == ("ended", "absolute")
    (lease,) = world.api.stored.values()
    assert lease.revoked_because == "the session reached its absolute limit"


async def test_a_lease_that_expired_a_moment_before_its_session_is_revoked_for_the_record(world: World) -> None:
    world.active("busy")
    await world.watch.tick()
    await world.after(hours=11, minutes=56)
    world.clock.advance(minutes=4)
    with pytest.raises(LeaseExpiredError):
        world.held.renew()
    await world.after(seconds=0)
    assert not world.alive
    (lease,) = world.api.stored.values()
    assert lease.revoked_because == "the session reached its absolute limit"


async def test_a_lease_that_was_revoked_before_keeps_its_reason(world: World) -> None:
    await world.after(minutes=56)
    world.held.revoke("leaked")
    await world.after(minutes=5)
    assert not world.alive
    (lease,) = world.api.stored.values()
    assert lease.revoked_because == "leaked"


async def test_keepalive_counts_as_activity_but_not_against_the_absolute_limit(world: World) -> None:
    await world.watch.tick()
    for _ in range(13):
        await world.after(minutes=54)
        world.watch.keep_alive("k1")
    assert world.alive and world.kinds == []
    await world.after(minutes=15)
    assert world.events[0][1] == "absolute"
    world.watch.keep_alive("k1")
    await world.after(minutes=5)
    assert not world.alive


async def test_keepalive_takes_a_warning_back_at_once(world: World) -> None:
    await world.after(minutes=56)
    world.watch.keep_alive("k1")
    session = world.registry.entry("k1", "python3", "")["session"]
    assert session["warned"] is False
    assert session["idle_deadline"] == "2026-03-01T13:56:00.000Z"


async def test_nobody_is_ended_unwarned_when_the_clock_jumps(world: World) -> None:
    await world.watch.tick()
    await world.after(days=3)
    assert world.kinds == ["warned"] and world.alive
    await world.after(seconds=59)
    assert world.alive
    await world.after(seconds=1)
    assert not world.alive


async def test_a_clock_that_jumps_back_only_postpones(world: World) -> None:
    await world.after(minutes=56)
    await world.after(hours=-5)
    assert world.kinds == ["warned", "resumed"] and world.alive


async def test_a_gateway_that_is_away_keeps_no_session_alive(world: World) -> None:
    await world.after(minutes=56)
    world.api.failure = UnavailableError("away")
    world.recording_fails = True
    await world.after(minutes=5)
    assert not world.alive
    assert world.kinds[-1] == "ended"
    world.api.failure = None
    world.keeper.run_due()
    assert not world.api.active(), "revoked as soon as the gateway heard of it"


async def test_a_kernel_that_does_not_stop_is_tried_again(world: World) -> None:
    await world.after(minutes=56)
    world.stopping_fails = True
    await world.after(minutes=5)
    assert world.alive and not world.held.active
    world.stopping_fails = False
    await world.after(seconds=5)
    assert not world.alive


@pytest.mark.parametrize("nothing", [timedelta(0), timedelta(minutes=-1)])
async def test_limits_of_zero_never_end(tmp_path: Path, nothing: timedelta) -> None:
    world = World(tmp_path, SessionLimits(nothing, nothing, timedelta(minutes=5)))
    await world.after(days=30)
    assert world.alive and world.kinds == []


async def test_a_kernel_that_ended_by_itself_is_forgotten(world: World) -> None:
    await world.watch.tick()
    world.activity = None
    await world.watch.tick()
    assert world.registry.sessions == {}


@pytest.mark.parametrize(
    ("idle", "absolute", "seconds"), [(60, 720, 5), (1 / 60, 0, 0.2), (0, 0, 5), (0.5, 720, 3), (60, 1 / 60, 0.2)]
)
def test_short_limits_are_looked_at_more_often(tmp_path: Path, idle: float, absolute: float, seconds: float) -> None:
    limits = SessionLimits(timedelta(minutes=idle), timedelta(minutes=absolute), timedelta(minutes=5))
    assert World(tmp_path, limits).watch.period == timedelta(seconds=seconds)


async def test_a_tenants_own_limits_come_before_the_common_ones(tmp_path: Path) -> None:
    minutes = timedelta(minutes=1)
    world = World(tmp_path, sandbox=SessionLimits(10 * minutes, timedelta(0), 2 * minutes))
    await world.after(minutes=9)
    assert world.kinds == ["warned"]
    await world.after(minutes=2)
    assert world.kinds == ["warned", "ended"] and not world.alive
    other = World(tmp_path, another=SessionLimits(10 * minutes, timedelta(0), 2 * minutes))
    await other.after(minutes=20)
    assert other.kinds == [] and other.alive


def test_the_shortest_limit_of_any_tenant_decides_how_often_is_looked(tmp_path: Path) -> None:
    world = World(tmp_path, chemistry=SessionLimits(timedelta(seconds=10), timedelta(0), timedelta(0)))
    assert world.watch.period == timedelta(seconds=1)


def test_settings_of_tenants_change_the_common_ones() -> None:
    settings = {"chemistry": {"idle_minutes": 15.0}, "finance": {"absolute_hours": 0.0}}
    limits = Defaults(tenant_limits=settings).limits
    assert limits.of("chemistry") == SessionLimits(timedelta(minutes=15), timedelta(hours=12), timedelta(minutes=5))
    assert limits.of("finance").absolute == timedelta(0) and limits.of("other") == limits.common
    with pytest.raises(InvalidRequestError, match="'idle' is no limit"):
        _ = Defaults(tenant_limits={"chemistry": {"idle": 3.0}}).limits


def test_an_unknown_kernel_has_neither_lease_nor_limits() -> None:
    registry = KernelRegistry(lambda *_: None, lambda *_: None, lambda *_: None)
    entry = registry.entry("k9", "python3", "x.ipynb")
    assert entry["lease"] is None and "not started by qsec" in entry["lease_problem"]
    assert entry["confinement"]["state"] == "unconfined"


def test_time_is_told_in_utc() -> None:
    from jupyter_qsec.server.registry import moment

    assert moment(datetime.fromisoformat("2026-03-01T12:00:00.5+00:00")) == "2026-03-01T12:00:00.500Z"
    assert moment(None) is None

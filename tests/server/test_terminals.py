"""Terminals of a real server end by the limits, and others stay."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

import psutil
import pytest

from jupyter_qsec.domain.activity import SessionLimits
from jupyter_qsec.server.terminals import TerminalWatch
from tests.fakes.clock import FakeClock

LIMITS = SessionLimits(idle=timedelta(minutes=60), absolute=timedelta(hours=12), warn_before=timedelta(minutes=5))


@pytest.fixture
def jp_server_config() -> dict[str, Any]:
    return {"ServerApp": {"jpserver_extensions": {"jupyter_server_terminals": True}}}


class Watching:
    """A watch over the server's terminals, with a clock that moves when told to."""

    def __init__(self, serverapp: Any, limits: SessionLimits = LIMITS) -> None:
        self.manager = serverapp.web_app.settings["terminal_manager"]
        self.clock = FakeClock()
        self.recorded: list[tuple[str, str]] = []
        self.watch = TerminalWatch(
            limits, lambda: self.manager, self.report, logging.getLogger("test"), now=self.clock.now
        )

    async def report(self, kind: str, lease_id: str, subject: str, details: dict[str, Any]) -> None:
        self.recorded.append((kind, details["reason"]))

    def open(self) -> tuple[str, int]:
        name = self.manager.create()["name"]
        terminal = self.manager.terminals[name]
        self.use(name)
        return name, terminal.ptyproc.pid

    def use(self, name: str, at: datetime | None = None) -> None:
        self.manager.terminals[name].last_activity = at or self.clock.now()

    async def after(self, **delta: float) -> list[str]:
        self.clock.advance(**delta)
        await self.watch.tick()
        return list(self.manager.terminals)


async def test_a_terminal_that_nobody_uses_is_closed_with_its_processes(jp_serverapp: Any) -> None:
    world = Watching(jp_serverapp)
    (quiet, pid), (used, _) = world.open(), world.open()
    assert await world.after(minutes=59) == [quiet, used]
    world.use(used)
    assert await world.after(minutes=2) == [used]
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    assert world.recorded == [("terminal.ended", "idle")]
    await world.manager.terminate_all()


async def test_the_absolute_limit_ends_even_one_in_use(jp_serverapp: Any) -> None:
    world = Watching(jp_serverapp)
    name, _ = world.open()
    await world.after(minutes=1)
    world.clock.advance(hours=11, minutes=58)
    world.use(name)
    assert await world.after(minutes=1) == [name]
    world.use(name)
    assert await world.after(minutes=2) == []
    assert world.recorded == [("terminal.ended", "absolute")]


async def test_without_limits_or_terminals_nothing_ends(jp_serverapp: Any) -> None:
    world = Watching(jp_serverapp, SessionLimits(timedelta(0), timedelta(0), timedelta(0)))
    name, _ = world.open()
    assert await world.after(hours=1000) == [name]
    await world.manager.terminate_all()
    await TerminalWatch(LIMITS, lambda: None, world.report, logging.getLogger("test")).tick()


async def test_one_that_cannot_be_closed_is_tried_again(jp_serverapp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world = Watching(jp_serverapp)
    name, _ = world.open()
    terminate = world.manager.terminate

    async def broken(name: str, force: bool = False) -> None:
        raise RuntimeError("the terminal manager broke")

    monkeypatch.setattr(world.manager, "terminate", broken)
    assert await world.after(minutes=61) == [name]
    monkeypatch.setattr(world.manager, "terminate", terminate)
    assert await world.after(minutes=1) == []

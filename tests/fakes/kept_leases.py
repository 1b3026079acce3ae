"""A keeper of leases whose time is moved by hand."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from jupyter_qsec.client.held import HeldLease
from jupyter_qsec.client.leases import LeaseKeeper
from jupyter_qsec.client.wire import LeaseAsk
from jupyter_qsec.domain.errors import UnavailableError
from tests.fakes.clock import FakeClock
from tests.fakes.lease_api import FakeLeaseApi

AWAY = UnavailableError("The qsec gateway cannot be reached (nothing answers on its port).")


class World:
    """A keeper whose time is moved by hand: `pass_time` lets the heartbeat do what falls due on the way."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.start = self.clock.now()
        self.api = FakeLeaseApi(self.clock)
        self.changes: list[tuple[str, str]] = []
        self.keeper = LeaseKeeper(
            self.api,
            monotonic=self.seconds,
            now=self.clock.now,
            on_change=lambda held: self.changes.append((held.lease["state"] if held.lease else "", held.problem)),
            threaded=False,
        )
        self.token_file = folder / "token"

    def seconds(self) -> float:
        return (self.clock.now() - self.start).total_seconds()

    def hold(self, **ask: Any) -> HeldLease:
        return self.keeper.acquire(LeaseAsk(**ask), self.token_file)

    def pass_time(self, **delta: float) -> None:
        end = self.clock.now() + timedelta(**delta)
        while True:
            step = min(self.keeper.run_due(), (end - self.clock.now()).total_seconds())
            if step <= 0:
                return
            self.clock.advance(seconds=step)

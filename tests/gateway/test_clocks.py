"""Gateways on machines with different times, on one database."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from jupyter_qsec import bootstrap
from jupyter_qsec.adapters.clock import SystemClock
from tests.gateway.livegateway import LiveGateway
from tests.gateway.signedcalls import SignedBraket

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # boto3's connections

OnMachine = Callable[[timedelta], LiveGateway]


class Wrong(SystemClock):
    def __init__(self, by: timedelta) -> None:
        self._by = by

    def now(self) -> datetime:
        return super().now() + self._by


@pytest.fixture
def on_machine(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OnMachine]:
    """Starts a gateway on a machine whose clock is wrong by so much."""
    started: list[LiveGateway] = []
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o700)

    def start(by: timedelta) -> LiveGateway:
        monkeypatch.setattr(bootstrap, "SystemClock", lambda: Wrong(by))
        home = tmp_path / f"machine-{len(started)}"
        started.append(LiveGateway(home, database=postgres_url, shared=shared).start())
        return started[-1]

    yield start
    for gateway in started:
        gateway.stop()
    gc.collect()


@pytest.mark.parametrize("minutes", [4, -4, 6, -6])
def test_a_lease_of_one_machine_is_good_at_another_whose_clock_is_wrong(on_machine: OnMachine, minutes: int) -> None:
    right, wrong = on_machine(timedelta(0)), on_machine(timedelta(minutes=minutes))
    for giving, judging in ((right, wrong), (wrong, right)):
        lease = giving.lease(tenant="sandbox", ttl_seconds=120)
        assert judging.get("/credentials", lease.token).status_code == 200
        with SignedBraket(judging, lease) as braket:
            braket.create_bell(shots=10)
        assert judging.post(f"/api/v1/leases/{lease.id}/renew").status_code == 200
    events = right.get("/api/v1/audit/records?limit=1000").json()["records"]
    times = [datetime.fromisoformat(record["event"]["at"]) for record in events]
    assert max(times) - min(times) < timedelta(minutes=1), "the log has one time"


def test_without_a_common_time_it_would_have_expired(on_machine: OnMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(gateway: bootstrap.Gateway) -> None:
        pass

    monkeypatch.setattr(bootstrap.Gateway, "agree_on_time", never)
    right, wrong = on_machine(timedelta(0)), on_machine(timedelta(minutes=4))
    lease = right.lease(tenant="sandbox", ttl_seconds=120)
    assert wrong.get("/credentials", lease.token).json()["code"] == "lease-expired"

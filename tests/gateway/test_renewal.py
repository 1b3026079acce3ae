"""An unmodified boto3 client goes on over three expiries of its credential, under one injected clock: the gateway's,
the heartbeat's and botocore's."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from botocore import auth
from botocore.exceptions import ClientError

from jupyter_qsec import bootstrap
from jupyter_qsec.client.api import ControlClient, LeaseAsk
from jupyter_qsec.client.held import HeldLease
from jupyter_qsec.client.leases import LeaseKeeper
from tests.fakes.clock import FakeClock
from tests.gateway.inkernel import enter_kernel
from tests.gateway.livegateway import Issued, LiveGateway

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # boto3's connections


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """The time of the gateway and of botocore's signatures."""
    clock = FakeClock(datetime.now(UTC))
    monkeypatch.setattr(bootstrap.wiring, "SystemClock", lambda: clock)
    monkeypatch.setattr(auth, "get_current_datetime", lambda: clock.now().replace(tzinfo=None))
    return clock


@pytest.fixture
def gateway(clock: FakeClock, tmp_path: Path) -> Iterator[LiveGateway]:
    gateway = LiveGateway(tmp_path / "home").start()
    yield gateway
    gateway.stop()
    gc.collect()


@dataclass(frozen=True)
class Holder:
    """What holds a kernel's lease in the server: a keeper on the injected clock."""

    clock: FakeClock
    keeper: LeaseKeeper
    held: HeldLease

    def pass_time(self, **delta: float) -> None:
        """The heartbeat does what falls due on the way."""
        end = self.clock.now() + timedelta(**delta)
        while (left := (end - self.clock.now()).total_seconds()) > 0:
            self.clock.advance(seconds=min(self.keeper.run_due(), left))


@pytest.fixture
def holder(gateway: LiveGateway, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Holder]:
    """This process has the environment of a kernel whose lease the keeper holds."""
    start, token_file = clock.now(), tmp_path / "lease-token"

    def seconds() -> float:
        return (clock.now() - start).total_seconds()

    with ControlClient(gateway.url, gateway.control_token) as client:
        keeper = LeaseKeeper(client, monotonic=seconds, now=clock.now, threaded=False)
        held = keeper.acquire(LeaseAsk(tenant="sandbox"), token_file)
        assert held.lease is not None
        enter_kernel(gateway, Issued(dict(held.lease), token_file.read_text()), tmp_path, monkeypatch)
        yield Holder(clock, keeper, held)
        keeper.close()


def test_three_expiries_go_unnoticed_by_the_code(gateway: LiveGateway, holder: Holder) -> None:
    session = boto3.Session()
    credentials = session.get_credentials()
    credentials._time_fetcher = holder.clock.now
    braket = session.client("braket")
    lease, keys = holder.held.lease, set()
    for _ in range(4):
        braket.search_quantum_tasks(filters=[])
        keys.add(credentials.get_frozen_credentials().access_key)
        holder.pass_time(minutes=91)  # no credential lives longer than an hour and a half
    assert len(keys) == 4, "each expiry brought a new credential"
    assert lease is not None and holder.held.lease is not None
    assert holder.held.lease["id"] == lease["id"], "the one lease lasted, minutes at a time"
    issued = [event for event in gateway.events() if event["kind"] == "lease.issued"]
    assert len(issued) == 1 and lease["ttl_seconds"] == 300


def test_without_the_heartbeat_the_lease_ends_and_no_renewal_helps(holder: Holder) -> None:
    session = boto3.Session()
    session.get_credentials()._time_fetcher = holder.clock.now
    braket = session.client("braket")
    braket.search_quantum_tasks(filters=[])
    holder.clock.advance(minutes=6)
    with pytest.raises(ClientError, match="expired"):
        braket.search_quantum_tasks(filters=[])

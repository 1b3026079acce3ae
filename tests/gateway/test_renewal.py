"""An unmodified boto3 client goes on over three expiries of its credential, under one injected clock."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import boto3
import pytest
from botocore import auth
from botocore.exceptions import ClientError

from jupyter_qsec import bootstrap
from tests.fakes.clock import FakeClock
from tests.gateway.livegateway import LiveGateway
from tests.gateway.test_sdk import enter_kernel

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # boto3's connections


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """The time of the gateway and of botocore's signatures."""
    clock = FakeClock(datetime.now(UTC))
    monkeypatch.setattr(bootstrap, "SystemClock", lambda: clock)
    monkeypatch.setattr(auth, "get_current_datetime", lambda: clock.now().replace(tzinfo=None))
    return clock


@pytest.fixture
def gateway(clock: FakeClock, tmp_path: Path) -> Iterator[LiveGateway]:
    gateway = LiveGateway(tmp_path / "home").start()
    yield gateway
    gateway.stop()
    gc.collect()


def test_three_expiries_go_unnoticed_by_the_code(
    gateway: LiveGateway, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = gateway.lease(tenant="sandbox", ttl_seconds=7200)
    enter_kernel(gateway, lease, tmp_path, monkeypatch)
    session = boto3.Session()
    credentials = session.get_credentials()
    credentials._time_fetcher = clock.now
    braket = session.client("braket")
    keys = set()
    for _ in range(4):
        braket.search_quantum_tasks(filters=[])
        keys.add(credentials.get_frozen_credentials().access_key)
        clock.advance(minutes=61)
        assert gateway.post(f"/api/v1/leases/{lease.id}/renew").status_code == 200  # the holder's heartbeat
    assert len(keys) == 4, "each hour brought a new credential"


def test_without_the_heartbeat_the_lease_ends_and_no_renewal_helps(
    gateway: LiveGateway, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = gateway.lease(tenant="sandbox", ttl_seconds=300)
    enter_kernel(gateway, lease, tmp_path, monkeypatch)
    session = boto3.Session()
    session.get_credentials()._time_fetcher = clock.now
    braket = session.client("braket")
    braket.search_quantum_tasks(filters=[])
    clock.advance(minutes=6)
    with pytest.raises(ClientError, match="expired"):
        braket.search_quantum_tasks(filters=[])

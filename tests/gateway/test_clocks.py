"""Gateways on machines with different times, on one database."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import botocore.auth
import pytest
from botocore.compat import get_current_datetime
from botocore.exceptions import ClientError
from braket.aws import AwsDevice, AwsSession
from braket.circuits import Circuit

from jupyter_qsec import bootstrap
from jupyter_qsec.adapters.clock import SystemClock
from tests.gateway.inkernel import enter_kernel
from tests.gateway.livegateway import LiveGateway
from tests.gateway.signedcalls import SignedBraket

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # boto3's connections

SV1 = "arn:aws:braket:::device/quantum-simulator/amazon/sv1"
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
        monkeypatch.setattr(bootstrap.wiring, "SystemClock", lambda: Wrong(by))
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


# -- a kernel on a machine with another time
@pytest.fixture
def right(on_machine: OnMachine) -> LiveGateway:
    """A gateway whose clock is right."""
    return on_machine(timedelta(0))


@pytest.fixture
def kernel(right: LiveGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[timedelta], Any]]:
    """Gives sessions as a kernel has them whose clock is wrong by so much."""
    enter_kernel(right, right.lease(tenant="sandbox"), tmp_path, monkeypatch)

    def session(by: timedelta) -> Any:
        monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: get_current_datetime() + by)
        return boto3.Session(region_name="us-east-1")

    yield session
    gc.collect()


@pytest.mark.parametrize("minutes", [4, -4])
def test_a_kernel_whose_clock_is_four_minutes_off_works(kernel: Callable[[timedelta], Any], minutes: int) -> None:
    session = AwsSession(kernel(timedelta(minutes=minutes)))
    task = AwsDevice(SV1, aws_session=session).run(Circuit().h(0).cnot(0, 1), shots=10)
    assert sum(task.result().measurement_counts.values()) == 10


@pytest.mark.parametrize("minutes", [6, -6])
def test_one_whose_clock_is_six_minutes_off_is_told_so(
    kernel: Callable[[timedelta], Any], right: LiveGateway, minutes: int
) -> None:
    session = kernel(timedelta(minutes=minutes))
    with pytest.raises(ClientError, match="clock") as braket:
        session.client("braket").search_quantum_tasks(filters=[])
    assert braket.value.response["Error"]["Code"] == "InvalidSignatureException"
    with pytest.raises(ClientError, match="clock") as s3:
        session.client("s3").list_objects_v2(Bucket="amazon-braket-us-east-1-100000000001")
    assert s3.value.response["Error"]["Code"] == "RequestTimeTooSkewed"
    with pytest.raises(ClientError, match="clock"):
        AwsDevice(SV1, aws_session=AwsSession(session)).run(Circuit().h(0), shots=10)
    assert right.get("/api/v1/tasks").json()["tasks"] == [], "nothing half done"
    records = right.get("/api/v1/audit/records?limit=1000").json()["records"]
    assert "request.rejected" in {record["event"]["kind"] for record in records}

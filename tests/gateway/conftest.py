"""Real gateways: `shared_gateway` (one for the run, in this process), `live_gateway` (a fresh one, in this process) and
`gateway_process` (a function that starts one as a process of its own)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.livegateway import GatewayProcess, Issued, LiveGateway, run_bell
from tests.gateway.rawhttp import SignedClient

StartProcess = Callable[..., GatewayProcess]


@pytest.fixture(scope="session")
def shared_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    """For tests that leave nothing behind which another could trip over."""
    gateway = LiveGateway(tmp_path_factory.mktemp("gateway") / "home").start()
    yield gateway
    gateway.stop()


@pytest.fixture
def live_gateway(tmp_path: Path) -> Iterator[LiveGateway]:
    """For tests that count records, fill quotas or break things."""
    gateway = LiveGateway(tmp_path / "home").start()
    yield gateway
    gateway.stop()


@pytest.fixture
def issued(shared_gateway: LiveGateway) -> Issued:
    """A fresh lease in `sandbox` at the shared gateway."""
    return shared_gateway.lease(tenant="sandbox", label="test")


@pytest.fixture
def braket(shared_gateway: LiveGateway, issued: Issued) -> SignedClient:
    """Signs for the Braket front door of the shared gateway."""
    return SignedClient.of(shared_gateway, issued)


@pytest.fixture
def s3(shared_gateway: LiveGateway, issued: Issued) -> SignedClient:
    """Signs for its S3 front door."""
    return SignedClient.of(shared_gateway, issued, "s3")


@pytest.fixture
def bell_task(shared_gateway: LiveGateway, issued: Issued) -> str:
    """The id of a Bell task that has run at the shared gateway."""
    task = run_bell(shared_gateway, issued)
    assert task.state == "COMPLETED", task.failure_reason
    return task.id


@pytest.fixture
def gateway_process(tmp_path: Path) -> Iterator[StartProcess]:
    """`gateway_process(home=…, *arguments, environ=…)` starts a gateway process; all are ended with the test."""
    started: list[GatewayProcess] = []

    def start(*arguments: str, home: Path | None = None, wait: bool = True, **options: Any) -> GatewayProcess:
        home = home or tmp_path / "home"
        process = GatewayProcess(home, arguments, **options)
        started.append(process)
        return process.start() if wait else process.launch()

    yield start
    for process in started:
        process.close()

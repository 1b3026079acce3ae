"""`/health` of real gateways whose disk, database or policies really fail."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from typing import Any

import pytest

from jupyter_qsec.adapters.policy.sources import shipped_policies
from tests.contract.postgres import PostgresServer
from tests.fakes.waiting import wait_for
from tests.gateway.conftest import StartProcess
from tests.gateway.livegateway import GatewayProcess, LiveGateway

OVERFLOW = """
@id("forbid-too-much")
forbid (principal, action, resource) when { 9223372036854775807 + 1 > 0 };
"""
"""Fits the schema, and fails at each decision."""


def ask(gateway: LiveGateway | GatewayProcess) -> tuple[int, dict[str, Any]]:
    answer = gateway.get("/health", "")
    return answer.status_code, answer.json()


def test_a_gateway_that_can_record_and_decide_says_so(shared_gateway: LiveGateway) -> None:
    assert ask(shared_gateway) == (200, {"status": "ok"})


def test_a_gateway_whose_store_is_gone_says_so(tmp_path: Path) -> None:
    gateway = LiveGateway(tmp_path / "home", health_seconds=0).start()
    try:
        assert ask(gateway)[0] == 200
        gateway.call(gateway.gateway.store.close())
        status, problem = ask(gateway)
        assert (status, problem["code"]) == (503, "unavailable")
        assert "takes no writes" in problem["detail"]
    finally:
        gateway.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="limits of a running process can be changed on Linux only")
def test_a_disk_that_takes_nothing_more_is_noticed_and_so_is_its_end(gateway_process: StartProcess) -> None:
    """The limit of file sizes fails each write in the database's log, as a full disk does."""
    gateway = gateway_process()
    assert ask(gateway)[0] == 200
    pid = gateway.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (64, before[1]))
    wait_for(lambda: ask(gateway)[0] == 503, "the full disk to be noticed", 10)
    assert "takes no writes" in ask(gateway)[1]["detail"]
    assert gateway.post("/api/v1/leases").status_code == 503  # what health foretells
    resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
    wait_for(lambda: ask(gateway)[0] == 200, "the gateway to recover", 10)
    gateway.lease()


def test_policies_that_fail_at_every_decision_are_noticed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "policies").mkdir(mode=0o700, parents=True)
    home.chmod(0o700)
    for source in shipped_policies():
        (home / "policies" / source.name).write_text(source.text)
    (home / "policies" / "90-site.cedar").write_text(OVERFLOW)
    gateway = LiveGateway(home).start()
    try:
        status, problem = ask(gateway)
        assert (status, problem["detail"]) == (503, "The gateway cannot decide: its policies fail.")
        assert gateway.post("/api/v1/leases").status_code == 403
    finally:
        gateway.stop()


def test_a_database_server_that_stays_away_is_noticed_and_so_is_its_return(
    tmp_path: Path, postgres_server: PostgresServer, postgres_url: str
) -> None:
    gateway = LiveGateway(tmp_path / "home", database=postgres_url, patience=0.3, health_seconds=0).start()
    try:
        assert ask(gateway)[0] == 200
        postgres_server.stop()
        try:
            status, problem = ask(gateway)
            assert status == 503
            assert "takes no writes" in problem["detail"]
            assert os.fspath(tmp_path) not in str(problem)
        finally:
            postgres_server.start()
        wait_for(lambda: ask(gateway)[0] == 200, "the gateway to recover", 10)
    finally:
        gateway.stop()


def test_a_database_that_may_only_be_read_is_noticed(
    tmp_path: Path, postgres_server: PostgresServer, postgres_url: str
) -> None:
    gateway = LiveGateway(tmp_path / "home", database=postgres_url, health_seconds=0).start()
    name = postgres_url.partition("@/")[2].partition("?")[0]
    try:
        assert ask(gateway)[0] == 200
        postgres_server.run(
            f"ALTER DATABASE {name} SET default_transaction_read_only = on",
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
        )
        assert ask(gateway)[0] == 503
        postgres_server.run(
            f"ALTER DATABASE {name} SET default_transaction_read_only = off",
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
        )
        assert ask(gateway)[0] == 200
    finally:
        gateway.stop()


def test_asked_each_moment_it_writes_once_a_second(live_gateway: LiveGateway) -> None:
    probes = 0
    probe = live_gateway.gateway.store.probe

    async def counting() -> None:
        nonlocal probes
        probes += 1
        await probe()

    live_gateway.gateway.store.probe = counting  # type: ignore[method-assign]  # the real one behind a counter
    size = live_gateway.call(live_gateway.gateway.store.audit_size())
    with live_gateway.client("") as client:
        assert {client.get("/health").status_code for _ in range(50)} == {200}
    assert probes <= 3
    assert live_gateway.call(live_gateway.gateway.store.audit_size()) == size

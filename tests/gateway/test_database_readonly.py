"""A PostgreSQL that takes no writes any more while a gateway serves, as with a full disk: nothing is half done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.postgres import PostgresServer
from tests.fakes.waiting import wait_for
from tests.fakes.world import BELL, SV1
from tests.gateway.livegateway import GatewayProcess
from tests.gateway.manyprocesses import SLOW
from tests.gateway.signedcalls import SignedBraket
from tests.gateway.test_processes import rows


class Database:
    """One whose writes can be refused."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self.name = server.new_database()
        self.url = server.url(self.name)

    def read_only(self) -> None:
        self._set("SET default_transaction_read_only = on")

    def writable(self) -> None:
        self._set("RESET default_transaction_read_only")

    def _set(self, setting: str) -> None:
        """Sessions take it up when they begin: all of them are ended."""
        end = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self.name}'"
        self._server.run(f"ALTER DATABASE {self.name} {setting}", end)

    def close(self) -> None:
        self._server.drop_database(self.name)


@pytest.fixture
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    made = Database(postgres_server)
    yield made
    made.close()


@pytest.fixture
def gateway(database: Database, tmp_path: Path) -> Iterator[GatewayProcess]:
    environ = {**os.environ, "JUPYTER_QSEC_DATABASE_URL": database.url}
    started = GatewayProcess(tmp_path / "home", environ=environ)
    started.home.mkdir(mode=0o700)
    yield started.start()
    started.close()


def health(gateway: GatewayProcess) -> int:
    with httpx.Client(base_url=gateway.url, trust_env=False) as client:
        return client.get("/health").status_code


def submit(braket: SignedBraket, token: str) -> httpx.Response:
    body = {
        "deviceArn": SV1,
        "shots": 100,
        "action": BELL,
        "deviceParameters": "{}",
        "outputS3Bucket": braket.bucket,
        "outputS3KeyPrefix": "tasks",
        "clientToken": token,
    }
    return braket.send("POST", "/quantum-task", body)


def used(gateway: GatewayProcess) -> dict[str, int]:
    usages = gateway.get("/api/v1/quotas?tenant=sandbox").json()["usages"]
    return {usage["metric"]: usage["used"] for usage in usages if usage["scope"] == "tenant:sandbox"}


def states(gateway: GatewayProcess) -> dict[str, str]:
    return {task["id"]: task["state"] for task in gateway.get("/api/v1/tasks").json()["tasks"]}


def stored(database: Database) -> list[Any]:
    """How much there is of all that a submission writes."""
    tables = ("tasks", "payloads", "reservations", "leases", "audit_records", "seen_signatures")
    return rows(database.url, "SELECT " + ", ".join(f"(SELECT count(*) FROM {table})" for table in tables))


def verify(gateway: GatewayProcess) -> dict[str, Any]:
    assert gateway.post("/api/v1/audit/checkpoint").status_code == 200
    environ = {**gateway.environ, "JUPYTER_QSEC_HOME": str(gateway.home)}
    command = [str(Path(sys.executable).with_name("jupyter-qsec")), "audit", "verify", "--format", "json"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    report: dict[str, Any] = json.loads(done.stdout)
    assert (done.returncode, report["ok"], report["problems"]) == (0, True, []), done.stderr
    return report


def test_every_call_says_so_nothing_is_half_done_and_afterwards_all_goes_on(
    database: Database, gateway: GatewayProcess
) -> None:
    lease = gateway.lease(ttl_seconds=3600)
    with SignedBraket(gateway, lease) as braket:
        done = braket.run_bell()
        running = braket.create_bell(action=SLOW, shots=10)
        wait_for(lambda: states(gateway)[running] == "RUNNING", "a task that ends meanwhile", 20)
        database.read_only()
        wait_for(lambda: health(gateway) == 503, "the gateway to notice", 20)
        before, counted = stored(database), used(gateway)

        refused = submit(braket, "one-token")
        assert (refused.status_code, refused.headers["x-amzn-ErrorType"]) == (500, "InternalServiceException")
        assert refused.json()["message"].startswith(
            "The state database could not record this (cannot execute INSERT in"
        )
        assert braket.send("POST", "/devices", {"filters": []}).status_code == 500, "its signature cannot be noted"
        issued = gateway.post("/api/v1/leases", {})
        assert (issued.status_code, issued.json()["code"]) == (503, "unavailable")
        assert gateway.post(f"/api/v1/leases/{lease.id}/renew").status_code == 503
        assert gateway.post(f"/api/v1/tasks/{done}/cancel").status_code in (409, 503)
        assert states(gateway) == {done: "COMPLETED", running: "RUNNING"}, "what is stored can be read"
        assert (stored(database), used(gateway), health(gateway)) == (before, counted, 503)

        database.writable()
        wait_for(lambda: health(gateway) == 200, "the gateway to be well", 20)
        wait_for(lambda: states(gateway)[running] == "COMPLETED", "the end of the task on record", 30)
        again = submit(braket, "one-token")
        assert again.status_code == 201
        assert submit(braket, "one-token").json() == again.json(), "the token counts once"
        late = again.json()["quantumTaskArn"].rpartition("/")[2]
        wait_for(lambda: states(gateway)[late] == "COMPLETED", "the new task's end", 30)
    assert (used(gateway)["tasks"], used(gateway)["shots"]) == (3, 210)
    kinds = [record["event"]["kind"] for record in gateway.get("/api/v1/audit/records?start=0").json()["records"]]
    assert [kinds.count(kind) for kind in ("task.submitted", "task.started", "task.completed")] == [3, 3, 3]
    assert verify(gateway)["signed_size"] >= len(kinds)
    assert gateway.stop() == 0

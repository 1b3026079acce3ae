"""Gateways of two versions on one PostgreSQL: the older one that runs goes on, and none starts beside the newer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from jupyter_qsec.adapters.store.database import SCHEMA_VERSION
from tests.contract.auditing import verify
from tests.fakes.waiting import wait_for
from tests.gateway.conftest import StartProcess
from tests.gateway.livegateway import GatewayProcess
from tests.gateway.olderversion import OLDER, older_version
from tests.gateway.signedcalls import SignedBraket
from tests.gateway.test_processes import rows


@pytest.fixture
def started(gateway_process: StartProcess, empty_postgres_url: str, tmp_path: Path) -> StartProcess:
    """Starts a gateway of that name on the database; `path` says of which version."""

    def start(name: str, path: str = "", **options: Any) -> GatewayProcess:
        environ = {**os.environ, "JUPYTER_QSEC_DATABASE_URL": empty_postgres_url}
        if path:
            environ["PYTHONPATH"] = path
        shared = ("--shared", str(tmp_path / "shared"))
        return gateway_process(*shared, home=tmp_path / name, environ=environ, **options)

    return start


def schema(url: str) -> str:
    return str(rows(url, "SELECT version_num FROM alembic_version")[0][0])


def test_the_older_one_goes_on_beside_the_newer_and_does_not_start_again(
    started: StartProcess, empty_postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(older_version(tmp_path / "older-version"))
    older = started("older", path)
    assert schema(empty_postgres_url) == OLDER
    first = older.lease()
    newer = started("newer")
    assert schema(empty_postgres_url) == SCHEMA_VERSION

    second, third = older.lease(), newer.lease()
    tasks = set()
    for gateway, lease in ((older, second), (newer, first), (older, third), (newer, second)):
        with SignedBraket(gateway, lease) as braket:
            tasks.add(braket.run_bell())
    for gateway in (older, newer):
        assert {task["id"] for task in gateway.get("/api/v1/tasks").json()["tasks"]} == tasks
        assert gateway.post(f"/api/v1/leases/{second.id}/renew").status_code == 200
        assert gateway.post("/api/v1/audit/checkpoint").status_code == 200
        assert gateway.get("/health").status_code == 200
    for lease in (first, second, third):
        assert newer.get(f"/api/v1/leases/{lease.id}").json()["lease"]["claims"] == {}
    assert older.post(f"/api/v1/leases/{third.id}/revoke").status_code == 200
    # A process may take what another has revoked for two seconds.
    wait_for(lambda: newer.get("/credentials", third.token).json().get("code") == "lease-revoked", "its end", 5)

    refused = started("older-again", path, wait=False)
    assert refused.process.wait(30) == 3
    line = refused.errors().strip()
    assert f"has schema {SCHEMA_VERSION}, which this version does not know" in line and "\n" not in line
    assert "Install the version of jupyter_qsec that wrote it, or a newer one." in line
    assert schema(empty_postgres_url) == SCHEMA_VERSION
    with SignedBraket(older, second) as braket:
        braket.run_bell()

    assert older.stop() == newer.stop() == 0
    monkeypatch.setenv("JUPYTER_QSEC_DATABASE_URL", empty_postgres_url)
    code, report = verify(tmp_path / "shared")
    assert code == 0, report

"""A hub whose certificate nobody may accept, as a gateway process meets it: nobody is let in, and no token goes out."""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.auditing import export_of, verify
from tests.fakes.tls_server import BAD, TlsServer, certificates_of_one_authority, serving
from tests.gateway.livegateway import GatewayProcess

ADAS, GATEWAYS = "hub-token-of-ada-0123456789", "service-token-of-the-gateway"

TENANTS = """
[[tenant]]
id = "research"
account = "000000000202"
purpose = "research"
environment = "dev"
[[tenant.project]]
id = "bell"

[[member]]
group = "physics"
tenant = "research"
"""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates_of_one_authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def hub(certificates: Path, request: pytest.FixtureRequest) -> Iterator[TlsServer]:
    """It would say of everybody that they are ada, with every right."""
    ada = {"name": "ada", "kind": "user", "scopes": ["custom:qsec:write"], "groups": ["physics"]}
    with serving(certificates / request.param, ada) as hub:
        yield hub


def asked_for_a_lease(hub: TlsServer, certificates: Path, home: Path) -> tuple[int, dict[str, Any]]:
    """By ada, of a gateway whose own certificate is good."""
    good = certificates / "good"
    environ = {
        **os.environ,
        "JUPYTERHUB_API_URL": f"{hub.url}/hub/api",
        "JUPYTERHUB_API_TOKEN": GATEWAYS,
        "JUPYTERHUB_SSL_CLIENT_CA": str(good / "ca.pem"),
        "JUPYTERHUB_SSL_CERTFILE": str(good / "gateway.pem"),
        "JUPYTERHUB_SSL_KEYFILE": str(good / "gateway.key"),
    }
    home.mkdir(mode=0o700)
    (home / "tenants.toml").touch(mode=0o600)
    (home / "tenants.toml").write_text(TENANTS)
    gateway = GatewayProcess(home, ("--identity", "hub"), environ=environ)
    gateway.start()
    try:
        trust = ssl.create_default_context(cafile=good / "ca.pem")
        with httpx.Client(base_url=f"https://localhost:{gateway.port}", verify=trust, trust_env=False) as client:
            assert client.get("/health").status_code == 200
            answer = client.post("/api/v1/leases", json={}, headers={"Authorization": f"Bearer {ADAS}"})
        assert gateway.stop() == 0
    finally:
        gateway.close()
    return answer.status_code, answer.json()


def kinds_on_record(home: Path, tmp_path: Path) -> set[str]:
    code, report = verify(home)
    assert code == 0, report
    lines = [json.loads(line) for line in export_of(home, tmp_path).read_text().splitlines()]
    return {json.loads(line["leaf"])["kind"] for line in lines if "leaf" in line}


@pytest.mark.parametrize("hub", BAD, indirect=True)
def test_nobody_is_let_in_and_what_is_wrong_is_said(
    hub: TlsServer, certificates: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    kind = request.node.callspec.params["hub"]
    status, told = asked_for_a_lease(hub, certificates, tmp_path / "home")
    assert (status, told["code"]) == (503, "unavailable")
    assert told["detail"] == f"The hub cannot be reached ({BAD[kind]}), so nobody can be identified."
    assert ADAS not in json.dumps(told) and GATEWAYS not in json.dumps(told)
    assert hub.refused and hub.was_told == []
    assert "lease.issued" not in kinds_on_record(tmp_path / "home", tmp_path)


@pytest.mark.parametrize("hub", ["good"], indirect=True)
def test_with_a_good_one_the_same_call_gets_a_lease(hub: TlsServer, certificates: Path, tmp_path: Path) -> None:
    status, told = asked_for_a_lease(hub, certificates, tmp_path / "home")
    assert status == 201, told
    assert hub.asked == [("/hub/api/user", f"token {ADAS}"), ("/hub/api/users/ada", f"token {GATEWAYS}")]
    assert "lease.issued" in kinds_on_record(tmp_path / "home", tmp_path)

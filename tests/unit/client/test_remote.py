"""Watching a gateway that somebody else runs."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from jupyter_qsec.client.endpoints import RemoteAddress
from jupyter_qsec.client.gateways import client_of, connect, gateway_of
from jupyter_qsec.client.home import QsecHome
from jupyter_qsec.client.remote import RemoteGateway
from jupyter_qsec.client.supervision import GatewayCondition, GatewayState, GatewaySupervisor
from tests.fakes.tls_server import BAD, certificates_of_one_authority, serving

TOKEN = "f00d" * 8
WELL = (GatewayState.RUNNING,)
ILL = (GatewayState.FAILED,)


class Elsewhere:
    """A gateway whose answers are set by the test."""

    def __init__(self) -> None:
        self.health: tuple[int, dict[str, Any]] = (200, {"status": "ok"})
        self.status: tuple[int, dict[str, Any]] = (200, {"version": "0"})
        self.asked: list[tuple[str, str | None]] = []
        elsewhere = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                elsewhere.asked.append((self.path, self.headers.get("Authorization")))
                status, value = elsewhere.health if self.path == "/health" else elsewhere.status
                body = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join(5)
        self.server.server_close()


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    elsewhere = Elsewhere()
    yield elsewhere
    elsewhere.close()


@pytest.fixture
def changes() -> list[GatewayCondition]:
    return []


@pytest.fixture
def gateway(elsewhere: Elsewhere, changes: list[GatewayCondition]) -> Iterator[RemoteGateway]:
    gateway = RemoteGateway(
        RemoteAddress(elsewhere.url, TOKEN), on_change=changes.append, watch_seconds=0.02, retry_seconds=0.02
    )
    yield gateway
    gateway.stop()


def test_it_runs_once_it_is_well_and_knows_us(
    gateway: RemoteGateway, elsewhere: Elsewhere, changes: list[GatewayCondition]
) -> None:
    gateway.start()
    assert gateway.wait_until(WELL, 10).shared
    assert elsewhere.asked[:2] == [("/api/v1/status", f"Bearer {TOKEN}"), ("/health", f"Bearer {TOKEN}")]
    assert [change.state for change in changes] == ["starting", "running"]


def test_a_person_who_may_do_nothing_learns_why(gateway: RemoteGateway, elsewhere: Elsewhere) -> None:
    detail = "max is in no group that has a tenant."
    elsewhere.status = (403, {"code": "denied", "detail": detail, "remedy": "Ask an administrator."})
    gateway.start()
    assert gateway.wait_until(ILL, 10).reason == f"{detail} Ask an administrator."


def test_it_follows_an_illness_and_its_end(gateway: RemoteGateway, elsewhere: Elsewhere) -> None:
    gateway.start()
    gateway.wait_until(WELL, 10)
    elsewhere.health = (503, {"code": "unavailable", "detail": "The gateway cannot record."})
    assert gateway.wait_until(ILL, 10).reason.startswith("The gateway cannot record.")
    elsewhere.health = (200, {"status": "ok"})
    assert gateway.wait_until(WELL, 10).state is GatewayState.RUNNING


def test_an_answer_that_makes_no_sense_is_an_illness(gateway: RemoteGateway, elsewhere: Elsewhere) -> None:
    elsewhere.status = (200, [])  # type: ignore[assignment]  # on purpose
    gateway.start()
    assert "not the JSON object" in gateway.wait_until(ILL, 10).reason


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_certificate_is_named_and_no_token_is_sent(tmp_path: Path, kind: str) -> None:
    made = certificates_of_one_authority(tmp_path)
    with serving(made / kind, {"status": "ok"}) as server:
        address = RemoteAddress(server.url, TOKEN, str(made / "good" / "ca.pem"))
        gateway = RemoteGateway(address, retry_seconds=0.02)
        gateway.start()
        try:
            said = gateway.wait_until(ILL, 10).reason
        finally:
            gateway.stop()
    assert said == f"The qsec gateway cannot be reached ({BAD[kind]}). See 'jupyter qsec doctor'."
    assert server.refused and server.was_told == []


def test_kernels_are_sent_there_and_fetch_credentials_here(gateway: RemoteGateway, elsewhere: Elsewhere) -> None:
    told = gateway.endpoints
    assert told.gateway_url == elsewhere.url
    assert told.credentials_url.startswith("http://127.0.0.1:")
    assert told.credentials_url != f"{elsewhere.url}/credentials"
    assert gateway.endpoints == told


def test_what_stops_is_stopped(gateway: RemoteGateway) -> None:
    gateway.start()
    gateway.stop()
    assert gateway.condition.state is GatewayState.STOPPED


def test_the_environment_chooses(elsewhere: Elsewhere, tmp_path: Path) -> None:
    home = QsecHome(tmp_path / "qsec")
    environ = {"JUPYTER_QSEC_GATEWAY_URL": elsewhere.url, "JUPYTERHUB_API_TOKEN": TOKEN}
    remote = gateway_of(home, environ=environ)
    assert isinstance(remote, RemoteGateway)
    assert isinstance(gateway_of(home, environ={}), GatewaySupervisor)
    with connect(home, environ=environ) as client, client_of(remote) as other:
        assert client.healthy()
        assert other.healthy()
    remote.stop()
    assert not home.path.exists(), "an account whose gateway is elsewhere needs no state of one"

"""The loopback listener: hands on what a TLS gateway says, to nobody but programs that ask for it by its own name."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from jupyter_qsec.client.credentials import CredentialListener
from jupyter_qsec.client.endpoints import RemoteAddress
from jupyter_qsec.gateway.certificates import make_certificates

LEASE = "qsl_lease.token"
HUB = "hub-token-of-the-server"
KEYS = {"AccessKeyId": "ASIA1", "SecretAccessKey": "s", "Token": "t", "Expiration": "2026-01-01T00:00:00Z"}


class Gateway:
    """A TLS server that answers as told and notes what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.answer = (200, json.dumps(KEYS).encode())
        self.asked: list[tuple[str, str | None]] = []
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                gateway.asked.append((self.path, self.headers.get("Authorization")))
                status, body = gateway.answer
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """Clients that trust others end the handshake."""

        self.server = Server(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "gateway.pem", folder / "gateway.key")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://localhost:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join(5)
        self.server.server_close()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls") / "own"
    make_certificates(folder, ["localhost"])
    return folder


@pytest.fixture
def gateway(certificates: Path) -> Iterator[Gateway]:
    gateway = Gateway(certificates)
    yield gateway
    gateway.close()


@pytest.fixture
def listener(gateway: Gateway, certificates: Path) -> Iterator[CredentialListener]:
    listener = CredentialListener(RemoteAddress(gateway.url, HUB, str(certificates / "ca.pem")))
    yield listener
    listener.close()


def ask(listener: CredentialListener, path: str = "/credentials", **headers: str) -> tuple[int, dict[str, str]]:
    place = urlsplit(listener.url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=10)
    try:
        connection.request("GET", path, headers={"Authorization": LEASE, **headers})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_it_hands_on_credentials_with_the_leases_token_alone(gateway: Gateway, listener: CredentialListener) -> None:
    assert ask(listener) == (200, KEYS)
    assert gateway.asked == [("/credentials", LEASE)]


def test_a_refusal_arrives_as_it_is(gateway: Gateway, listener: CredentialListener) -> None:
    gateway.answer = (403, b'{"code": "lease-revoked"}')
    assert ask(listener) == (403, {"code": "lease-revoked"})


def test_it_is_on_loopback(listener: CredentialListener) -> None:
    assert listener.url.startswith("http://127.0.0.1:")


def test_nothing_else_is_asked_of_the_gateway(gateway: Gateway, listener: CredentialListener) -> None:
    assert ask(listener, "/api/v1/leases")[0] == 404
    assert ask(listener, "/credentials/../api/v1/leases")[0] == 404
    assert ask(listener, "/credentials?x=1")[0] == 404
    assert gateway.asked == []


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example.org"}, {"Host": "127.0.0.1:1"}, {"Origin": "http://127.0.0.1"}]
)
def test_web_pages_are_refused(gateway: Gateway, listener: CredentialListener, headers: dict[str, str]) -> None:
    assert ask(listener, **headers)[0] == 403
    assert gateway.asked == []


@pytest.mark.parametrize("token", ["", "x" * 2000, "tab\tinside"])
def test_what_is_no_token_is_not_handed_on(gateway: Gateway, listener: CredentialListener, token: str) -> None:
    assert ask(listener, Authorization=token)[0] == 401
    assert gateway.asked == []


def test_a_gateway_of_another_authority_gets_no_token(gateway: Gateway, tmp_path: Path) -> None:
    make_certificates(tmp_path / "other", ["localhost"])
    listener = CredentialListener(RemoteAddress(gateway.url, HUB, str(tmp_path / "other" / "ca.pem")))
    try:
        status, told = ask(listener)
    finally:
        listener.close()
    assert status == 503
    assert "cannot be reached" in told["message"]
    assert LEASE not in json.dumps(told)
    assert gateway.asked == []


def test_a_gateway_under_another_name_gets_no_token(gateway: Gateway, certificates: Path) -> None:
    address = gateway.url.replace("localhost", "127.0.0.1")
    listener = CredentialListener(RemoteAddress(address, HUB, str(certificates / "ca.pem")))
    try:
        assert ask(listener)[0] == 503
    finally:
        listener.close()
    assert gateway.asked == []


def test_a_redirect_is_not_followed(gateway: Gateway, listener: CredentialListener) -> None:
    gateway.answer = (302, b"{}")
    assert ask(listener)[0] == 302
    assert len(gateway.asked) == 1


def test_an_answer_larger_than_credentials_is_dropped(gateway: Gateway, listener: CredentialListener) -> None:
    gateway.answer = (200, b'"' + b"x" * (1 << 20) + b'"')
    assert ask(listener)[0] == 502


def test_a_gateway_that_is_away_is_told(gateway: Gateway, listener: CredentialListener) -> None:
    gateway.server.socket.close()
    status, told = ask(listener)
    assert status == 503
    assert told["code"] == "unavailable"

"""The loopback listener: hands on what a TLS gateway says, to nobody but programs that ask for it by its own name."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from jupyter_qsec.client.credentials import CredentialListener
from jupyter_qsec.client.endpoints import RemoteAddress
from jupyter_qsec.gateway.certificates import make_certificates
from tests.fakes.tls_server import BAD, TlsServer, certificates_of_one_authority, serving

LEASE = "qsl_lease.token"
HUB = "hub-token-of-the-server"
KEYS = {"AccessKeyId": "ASIA1", "SecretAccessKey": "s", "Token": "t", "Expiration": "2026-01-01T00:00:00Z"}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls") / "own"
    make_certificates(folder, ["localhost"])
    return folder


@pytest.fixture
def gateway(certificates: Path) -> Iterator[TlsServer]:
    """A TLS server that answers as told and notes what it was asked."""
    with serving(certificates, KEYS) as gateway:
        yield gateway


@pytest.fixture
def listener(gateway: TlsServer, certificates: Path) -> Iterator[CredentialListener]:
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


def test_it_hands_on_credentials_with_the_leases_token_alone(gateway: TlsServer, listener: CredentialListener) -> None:
    assert ask(listener) == (200, KEYS)
    assert gateway.asked == [("/credentials", LEASE)]


def test_a_refusal_arrives_as_it_is(gateway: TlsServer, listener: CredentialListener) -> None:
    gateway.answer = (403, b'{"code": "lease-revoked"}')
    assert ask(listener) == (403, {"code": "lease-revoked"})


def test_it_is_on_loopback(listener: CredentialListener) -> None:
    assert listener.url.startswith("http://127.0.0.1:")


def test_nothing_else_is_asked_of_the_gateway(gateway: TlsServer, listener: CredentialListener) -> None:
    assert ask(listener, "/api/v1/leases")[0] == 404
    assert ask(listener, "/credentials/../api/v1/leases")[0] == 404
    assert ask(listener, "/credentials?x=1")[0] == 404
    assert gateway.asked == []


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example.org"}, {"Host": "127.0.0.1:1"}, {"Origin": "http://127.0.0.1"}]
)
def test_web_pages_are_refused(gateway: TlsServer, listener: CredentialListener, headers: dict[str, str]) -> None:
    assert ask(listener, **headers)[0] == 403
    assert gateway.asked == []


@pytest.mark.parametrize("token", ["", "x" * 2000, "tab\tinside"])
def test_what_is_no_token_is_not_handed_on(gateway: TlsServer, listener: CredentialListener, token: str) -> None:
    assert ask(listener, Authorization=token)[0] == 401
    assert gateway.asked == []


def test_a_gateway_of_another_authority_gets_no_token(gateway: TlsServer, tmp_path: Path) -> None:
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


def test_a_gateway_under_another_name_gets_no_token(gateway: TlsServer, certificates: Path) -> None:
    address = gateway.url.replace("localhost", "127.0.0.1")
    listener = CredentialListener(RemoteAddress(address, HUB, str(certificates / "ca.pem")))
    try:
        assert ask(listener)[0] == 503
    finally:
        listener.close()
    assert gateway.asked == []


@pytest.mark.parametrize("kind", BAD)
def test_a_gateway_with_a_bad_certificate_gets_no_token_and_what_is_wrong_is_said(tmp_path: Path, kind: str) -> None:
    made = certificates_of_one_authority(tmp_path)
    with serving(made / kind, KEYS) as gateway:
        listener = CredentialListener(RemoteAddress(gateway.url, HUB, str(made / "good" / "ca.pem")))
        try:
            told = ask(listener)
        finally:
            listener.close()
    assert told == (503, {"code": "unavailable", "message": f"The qsec gateway cannot be reached ({BAD[kind]})."})
    assert gateway.refused and gateway.was_told == []


def test_a_redirect_is_not_followed(gateway: TlsServer, listener: CredentialListener) -> None:
    gateway.answer = (302, b"{}")
    assert ask(listener)[0] == 302
    assert len(gateway.asked) == 1


def test_an_answer_larger_than_credentials_is_dropped(gateway: TlsServer, listener: CredentialListener) -> None:
    gateway.answer = (200, b'"' + b"x" * (1 << 20) + b'"')
    assert ask(listener)[0] == 502


def test_a_gateway_that_is_away_is_told(gateway: TlsServer, listener: CredentialListener) -> None:
    gateway.server.socket.close()
    status, told = ask(listener)
    assert status == 503
    assert told["code"] == "unavailable"

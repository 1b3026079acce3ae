"""Where browsers are sent to log in, and what the gateway makes of the hub's answer to the code."""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders, HTTPServerRequest, ResponseStartLine

from jupyter_qsec.adapters.identity.hubaddress import HubAddress
from jupyter_qsec.domain.errors import InvalidRequestError, UnauthenticatedError, UnavailableError
from jupyter_qsec.gateway.dashboard.login import HubLogin, Site
from jupyter_qsec.gateway.dashboard.sealing import Seals
from tests.fakes.tls_server import BAD, certificates_of_one_authority, serving

ENVIRONMENT = {"JUPYTERHUB_SERVICE_PREFIX": "/hubs/a/services/qsec/", "JUPYTERHUB_BASE_URL": "/hubs/a/"}
LOGIN, _ = Seals(lambda: b"k" * 32).login("/hubs/a/services/qsec/", datetime(2026, 1, 1, tzinfo=UTC))
SERVICE_TOKEN = "the-gateways-own"


def site(**more: str) -> Site:
    found = Site.of_environment({**ENVIRONMENT, **more})
    assert found is not None
    return found


def test_without_a_prefix_there_is_no_dashboard() -> None:
    assert Site.of_environment({}) is None


def test_with_a_hub_below_a_path_and_one_with_subdomains() -> None:
    prefix = "/hubs/a/services/qsec/"
    assert site() == Site(prefix, "/hubs/a/hub/", "service-qsec", f"{prefix}oauth_callback")
    apart = site(JUPYTERHUB_HOST="https://hub.example.org", JUPYTERHUB_CLIENT_ID="service-gateway")
    assert (apart.hub, apart.client_id) == ("https://hub.example.org/hubs/a/hub/", "service-gateway")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JUPYTERHUB_SERVICE_PREFIX", "/"),
        ("JUPYTERHUB_SERVICE_PREFIX", "services/qsec/"),
        ("JUPYTERHUB_SERVICE_PREFIX", "/services/qsec"),
        ("JUPYTERHUB_SERVICE_PREFIX", "//evil.example/"),
        ("JUPYTERHUB_SERVICE_PREFIX", "/a;Domain=example.org/"),
        ("JUPYTERHUB_BASE_URL", "//evil.example/"),
        ("JUPYTERHUB_HOST", "javascript:alert(1)"),
        ("JUPYTERHUB_HOST", "https://hub.example.org/path"),
        ("JUPYTERHUB_OAUTH_CALLBACK_URL", "https://evil.example/"),
    ],
)
def test_a_setting_that_makes_no_sense_stops_the_start(name: str, value: str) -> None:
    with pytest.raises(InvalidRequestError, match=name):
        site(**{name: value})


def test_the_browser_takes_a_challenge_to_the_hub_and_no_secret() -> None:
    address = HubLogin(HubAddress("http://127.0.0.1:1/hub/api", SERVICE_TOKEN), site()).address(LOGIN)
    query = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    assert urlsplit(address).path == "/hubs/a/hub/api/oauth2/authorize"
    assert query["state"] == LOGIN.state
    digest = hashlib.sha256(LOGIN.verifier.encode()).digest()
    assert query["code_challenge"] == base64.urlsafe_b64encode(digest).decode().rstrip("=")
    assert LOGIN.verifier not in address
    assert SERVICE_TOKEN not in address


@asynccontextmanager
async def hub_that_answers(status: int, body: Any, asked: list[HTTPServerRequest]) -> AsyncIterator[HubLogin]:
    def arrived(request: HTTPServerRequest) -> None:
        asked.append(request)
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = HTTPHeaders({"Content-Length": str(len(content))})
        if status == 302:
            headers["Location"] = "http://127.0.0.1:1/elsewhere"
        assert request.connection is not None
        request.connection.write_headers(ResponseStartLine("", status, "x"), headers, content)
        request.connection.finish()

    server = HTTPServer(arrived)
    server.listen(0, "127.0.0.1")
    (listener,) = server._sockets.values()
    yield HubLogin(HubAddress(f"http://127.0.0.1:{listener.getsockname()[1]}/hub/api", SERVICE_TOKEN), site())
    server.stop()
    await server.close_all_connections()


async def test_the_code_is_exchanged_with_the_verifier_and_the_gateways_own_token() -> None:
    asked: list[HTTPServerRequest] = []
    async with hub_that_answers(200, {"access_token": "adas"}, asked) as login:
        assert await login.token("code", LOGIN) == "adas"
    [request] = asked
    sent = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
    assert (request.path, sent["code"], sent["code_verifier"]) == ("/hub/api/oauth2/token", "code", LOGIN.verifier)
    assert (sent["client_id"], sent["client_secret"]) == ("service-qsec", SERVICE_TOKEN)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, {"error": f"wrong code {SERVICE_TOKEN}"}, UnauthenticatedError),
        (403, b"", UnauthenticatedError),
        (302, {"access_token": "adas"}, UnavailableError),
        (500, b"", UnavailableError),
        (200, b"not json", UnavailableError),
        (200, [], UnavailableError),
        (200, {"access_token": 7}, UnavailableError),
        (200, {"access_token": "two words"}, UnavailableError),
        (200, {"access_token": "x" * 600}, UnavailableError),
        (200, b"x" * (65 << 10), UnavailableError),
    ],
)
async def test_every_other_answer_lets_nobody_in(status: int, body: Any, expected: type[Exception]) -> None:
    async with hub_that_answers(status, body, []) as login:
        with pytest.raises(expected) as refused:
            await login.token("code", LOGIN)
    assert SERVICE_TOKEN not in str(refused.value)


@pytest.mark.parametrize("kind", BAD)
async def test_a_hub_with_a_bad_certificate_is_told_neither_code_nor_secret(tmp_path: Path, kind: str) -> None:
    made = certificates_of_one_authority(tmp_path)
    trust = ssl.create_default_context(cafile=made / "good" / "ca.pem")
    with serving(made / kind, {"access_token": "adas"}) as server:
        login = HubLogin(HubAddress(f"{server.url}/hub/api", SERVICE_TOKEN, trust), site())
        with pytest.raises(UnavailableError) as refused:
            await login.token("code", LOGIN)
    assert refused.value.message == f"The hub cannot be reached ({BAD[kind]}), so nobody can log in."
    assert server.refused and server.was_told == []


async def test_a_hub_that_is_away_lets_nobody_in() -> None:
    with pytest.raises(UnavailableError, match="cannot be reached"):
        await HubLogin(HubAddress("http://127.0.0.1:1/hub/api", SERVICE_TOKEN), site()).token("code", LOGIN)

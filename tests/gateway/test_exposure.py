"""What a gateway shows to whom does not belong there: other hosts, web pages, floods, and readers of its logs."""

from __future__ import annotations

import http.client
import json
import logging
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from jupyter_qsec.gateway.app import FrontDoorHandler
from jupyter_qsec.gateway.wire import WireResponse
from tests.fakes.signer import Headers, replaced, without
from tests.gateway.livegateway import Issued, LiveGateway
from tests.gateway.rawhttp import SignedClient, kind, send

BUCKET = "/amazon-braket-us-east-1-000000000101"
SEARCH = b'{"filters":[]}'
TASK = "/quantum-task/x"


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Everything that is logged, at every level."""
    with caplog.at_level(logging.DEBUG):
        yield caplog


def status_or_closed(gateway: LiveGateway, target: str, headers: Headers) -> int:
    """What a GET is answered with, 0 when the connection is closed without an answer."""
    try:
        return send(gateway, "GET", target, headers).status
    except (http.client.HTTPException, OSError):
        return 0


# -- hosts and browsers
@pytest.mark.parametrize("path", ["/aws/braket/quantum-tasks", "/credentials", "/api/v1/status", "/health", "/nothing"])
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost.:{port}"]
)
def test_another_host_name(shared_gateway: LiveGateway, path: str, host: str) -> None:
    """DNS rebinding: the browser believes that the attacker's name is this gateway."""
    headers = [
        ("host", host.format(port=shared_gateway.port)),
        ("authorization", f"Bearer {shared_gateway.control_token}"),
    ]
    answer = send(shared_gateway, "GET", path, headers)
    assert (answer.status, answer.text.count("host-refused")) == (403, 1)


def test_localhost_is_a_name_of_this_gateway(shared_gateway: LiveGateway) -> None:
    assert send(shared_gateway, "GET", "/health", [("host", f"localhost:{shared_gateway.port}")]).status == 200


@pytest.mark.parametrize("path", ["/aws/braket/quantum-tasks", "/aws/s3/b/k", "/aws/denied/x", "/credentials"])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_a_web_page(shared_gateway: LiveGateway, issued: Issued, path: str, method: str) -> None:
    headers = [
        ("host", f"127.0.0.1:{shared_gateway.port}"),
        ("origin", "https://evil.example"),
        ("authorization", issued.token),
    ]
    answer = send(shared_gateway, method, path, headers)
    assert (answer.status, answer.text.count("origin-refused")) == (403, 1)
    assert not [name for name in answer.headers if name.startswith("access-control")]


# -- sizes
def test_an_oversized_submission_is_refused_without_being_kept(
    braket: SignedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    send_answer = FrontDoorHandler.send

    def noting(handler: FrontDoorHandler, response: WireResponse) -> None:
        kept.append(sum(map(len, handler._chunks)))
        send_answer(handler, response)

    monkeypatch.setattr(FrontDoorHandler, "send", noting)
    body = b'{"action":"' + b"x" * (13 << 20) + b'"}'
    answer = braket.send("POST", "/quantum-task", body)
    assert (answer.status, kind(answer)) == (400, "ValidationException")
    assert "12 MB" in answer.text
    assert kept == [0]


def test_an_oversized_object_is_refused_before_it_is_sent(s3: SignedClient) -> None:
    headers = replaced(s3.sign("PUT", BUCKET + "/big", b"x"), "content-length", str(1 << 40))
    answer = s3.send("PUT", BUCKET + "/big", headers=[*headers, ("expect", "100-continue")])
    assert answer.status == 400
    assert "64 MB" in answer.text


def test_a_stranger_is_not_asked_to_continue(s3: SignedClient) -> None:
    """With `Expect: 100-continue` the refusal comes before a single byte of the body."""
    headers = [("host", s3.signer.host), ("content-length", str(32 << 20)), ("expect", "100-continue")]
    answer = s3.send("PUT", BUCKET + "/big", headers=headers)
    assert (answer.status, b"AccessDenied" in answer.body) == (403, True)


def test_a_chunked_body(braket: SignedClient) -> None:
    headers = [
        *without(braket.sign("POST", "/quantum-tasks", SEARCH), "content-length"),
        ("transfer-encoding", "chunked"),
    ]
    answer = braket.send("POST", "/quantum-tasks", b"e\r\n" + SEARCH + b"\r\n0\r\n\r\n", headers)
    assert answer.status == 400


def test_a_flood_of_headers(shared_gateway: LiveGateway, braket: SignedClient) -> None:
    flood = [(f"h{number}", "x") for number in range(100)]
    assert (
        braket.send("POST", "/quantum-tasks", SEARCH, [*braket.sign("POST", "/quantum-tasks", SEARCH), *flood]).status
        == 403
    )
    big: Headers = [("host", braket.signer.host), ("x-big", "x" * 100_000)]
    assert status_or_closed(shared_gateway, "/aws/braket" + TASK, big) in (0, 400, 431)


def test_a_large_body_on_a_small_route(shared_gateway: LiveGateway) -> None:
    with socket.create_connection(("127.0.0.1", shared_gateway.port), 10) as connection:
        connection.sendall(
            f"POST /api/v1/leases HTTP/1.1\r\nHost: 127.0.0.1:{shared_gateway.port}\r\n"
            f"Content-Length: {60 << 20}\r\n\r\n".encode()
        )
        assert connection.recv(64).startswith(b"HTTP/1.1 400")


# -- on record, and nowhere else
def test_refusals_are_on_record_and_a_flood_of_them_is_counted(live_gateway: LiveGateway) -> None:
    braket = SignedClient.of(live_gateway, live_gateway.lease())
    forger = replace(braket, signer=replace(braket.signer, secret="x" * 40))
    for _ in range(50):
        forger.send("POST", "/quantum-tasks", SEARCH)
    live_gateway.call(live_gateway.gateway.recorder.close())
    refused = [event for event in live_gateway.events() if event["kind"] == "request.rejected"]
    assert [event["details"]["code"] for event in refused] == ["signature-invalid"] * 2
    assert refused[1]["details"]["repeated"] == 49


def test_no_token_and_no_body_in_any_log(quiet: pytest.LogCaptureFixture, shared_gateway: LiveGateway) -> None:
    lease = shared_gateway.lease()
    braket, s3 = (SignedClient.of(shared_gateway, lease, service) for service in ("braket", "s3"))
    braket.send("POST", "/quantum-tasks", b'{"filters":"untold-body"}')
    braket.send("POST", "/quantum-tasks", b"x", braket.sign("POST", "/quantum-tasks", b"y"))
    s3.send("GET", BUCKET + "?prefix=untold-query&list-type=2")
    odd = [("host", braket.signer.host), ("authorization", "untold-\x01" + lease.token)]
    assert status_or_closed(shared_gateway, "/credentials", odd) in (0, 400)
    logged = quiet.text + json.dumps(shared_gateway.events())
    for secret in (lease.token, braket.signer.token, braket.signer.secret, "untold-"):
        assert secret not in logged

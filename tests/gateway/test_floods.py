"""Clients that take all they can get: connections that say nothing, bodies that never end."""

from __future__ import annotations

import http.client
import resource
import socket
import time
from collections.abc import Iterator

import pytest
from tornado.web import _HandlerDelegate

from jupyter_qsec.gateway.connections import SMALL_BODY_BYTES, Connections, most_connections
from tests.gateway.livegateway import Issued, LiveGateway
from tests.gateway.rawhttp import SignedClient, send

OBJECT = "/amazon-braket-us-east-1-000000000101/flood"
BODY = b"x" * (SMALL_BODY_BYTES + 1)


@pytest.fixture
def bounds(shared_gateway: LiveGateway) -> Iterator[Connections]:
    """The bounds of the shared gateway, which a test may narrow."""
    server = shared_gateway._server
    assert server is not None
    connections: Connections = server.connections  # type: ignore[attr-defined]  # the gateway's own kind of server
    most, room = connections.most, connections._room
    yield connections
    connections.most = most
    assert wait_until(lambda: connections._room == room)


def wait_until(condition: object, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():  # type: ignore[operator]  # a function of the tests below
            return True
        time.sleep(0.01)
    return False


def begin(gateway: LiveGateway, data: bytes) -> socket.socket:
    found = socket.create_connection(("127.0.0.1", gateway.port), timeout=10)
    found.sendall(data)
    return found


def was_closed(connection: socket.socket) -> bool:
    """Whether the other end closed it, which is a reset when it had not yet read what was sent. `TimeoutError` while
    it is open."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_connections_without_a_request_give_way(shared_gateway: LiveGateway, bounds: Connections) -> None:
    bounds.most = 20
    flood = [begin(shared_gateway, b"GET /health HTTP/1.1\r\nHost: 127") for _ in range(60)]
    try:
        assert shared_gateway.get("/api/v1/status").status_code == 200
        assert was_closed(flood[0])
        assert len(bounds._quiet) + len(bounds._busy) <= 20
    finally:
        for each in flood:
            each.close()


def test_a_slow_body_for_the_control_api_keeps_no_place(shared_gateway: LiveGateway, bounds: Connections) -> None:
    bounds.most = 20
    host = f"127.0.0.1:{shared_gateway.port}".encode()
    head = b"POST /api/v1/leases HTTP/1.1\r\nHost: " + host + b"\r\nContent-Length: 1000\r\n\r\n{"
    flood = [begin(shared_gateway, head) for _ in range(60)]
    try:
        assert shared_gateway.get("/api/v1/status").status_code == 200
    finally:
        for each in flood:
            each.close()


def test_bodies_beyond_the_room_are_refused_and_small_ones_are_not(
    shared_gateway: LiveGateway, issued: Issued, bounds: Connections
) -> None:
    s3 = SignedClient.of(shared_gateway, issued, "s3")
    room, bounds._room = bounds._room, len(BODY) - 1
    try:
        answer = s3.send("PUT", OBJECT, BODY)
        assert (answer.status, b"ServiceUnavailable" in answer.body) == (503, True)
        assert s3.send("PUT", OBJECT, b"small").status == 200
    finally:
        bounds._room = room
    assert s3.send("PUT", OBJECT, BODY).status == 200


def test_a_body_that_is_given_up_gives_its_room_back(
    shared_gateway: LiveGateway, issued: Issued, bounds: Connections
) -> None:
    s3 = SignedClient.of(shared_gateway, issued, "s3")
    before = bounds._room
    connection = http.client.HTTPConnection("127.0.0.1", shared_gateway.port, timeout=10)
    connection.putrequest("PUT", s3.prefix + OBJECT, skip_host=True, skip_accept_encoding=True)
    for name, value in s3.sign("PUT", OBJECT, BODY):
        connection.putheader(name, value)
    connection.endheaders()
    connection.send(b"x")
    assert wait_until(lambda: bounds._room == before - len(BODY))
    connection.close()
    assert wait_until(lambda: bounds._room == before)


@pytest.mark.parametrize(
    ("path", "host", "status"),
    [
        ("/aws/denied/x", "", 403),
        ("/aws/nothing", "", 404),
        ("/nothing", "", 404),
        ("/aws/s3/b/k", "evil.example", 403),
    ],
)
def test_nothing_is_kept_of_a_strangers_body(
    shared_gateway: LiveGateway, monkeypatch: pytest.MonkeyPatch, path: str, host: str, status: int
) -> None:
    kept: list[int] = []
    finish = _HandlerDelegate.finish

    def counted(delegate: _HandlerDelegate) -> None:
        kept.append(len(delegate.chunks or b""))
        finish(delegate)

    monkeypatch.setattr(_HandlerDelegate, "finish", counted)
    headers = [("host", host or f"127.0.0.1:{shared_gateway.port}"), ("content-length", str(len(BODY)))]
    assert send(shared_gateway, "POST", path, headers, BODY).status == status
    assert not any(kept)


def test_a_length_that_only_looks_like_a_number_is_no_defect(
    shared_gateway: LiveGateway, caplog: pytest.LogCaptureFixture
) -> None:
    """Each defect is a traceback in the log, and a stranger could have written as many as it took to push it out."""
    host = f"127.0.0.1:{shared_gateway.port}"
    head = f"PUT {'/aws/s3' + OBJECT} HTTP/1.1\r\nHost: {host}\r\nContent-Length: \xb2\r\n\r\n"
    with begin(shared_gateway, head.encode("latin-1")) as connection:
        assert connection.recv(64).startswith(b"HTTP/1.1 400 ")
    assert "Traceback" not in caplog.text


def test_places_leave_descriptors_for_everything_else() -> None:
    assert most_connections() <= resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2

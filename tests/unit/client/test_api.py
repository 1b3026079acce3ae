"""The control API's client: requests as the contract has them, refusals as domain errors, no token in any of them."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from jupyter_qsec.client import wire
from jupyter_qsec.client.api import AsyncControlClient, ControlClient
from jupyter_qsec.client.wire import LeaseAsk
from jupyter_qsec.domain import errors

TOKEN = "control-token-0123456789-abcdefghijklmnop"


class Canned:
    """A server that gives one answer and notes what it was asked."""

    def __init__(self) -> None:
        self.status, self.body = 200, b"{}"
        self.asked: list[tuple[str, str, Any]] = []
        self.headers: list[dict[str, str]] = []
        canned = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = json.loads(self.rfile.read(length)) if length else None
                canned.asked.append((self.command, self.path, body))
                canned.headers.append(dict(self.headers))
                self.send_response(canned.status)
                self.send_header("Content-Length", str(len(canned.body)))
                self.end_headers()
                self.wfile.write(canned.body)

            do_POST = do_GET

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, body: object, status: int = 200) -> None:
        self.status, self.body = status, json.dumps(body).encode()


@pytest.fixture
def canned() -> Iterator[Canned]:
    server = Canned()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def client(canned: Canned) -> Iterator[ControlClient]:
    with ControlClient(canned.url, TOKEN, timeout=5) as client:
        yield client


def test_the_token_goes_in_the_header_alone(canned: Canned, client: ControlClient) -> None:
    canned.answer({"version": "1"})
    client.status()
    assert canned.headers[0]["Authorization"] == f"Bearer {TOKEN}"
    assert canned.asked == [("GET", "/api/v1/status", None)]


def test_a_proxy_of_the_environment_is_never_used(canned: Canned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with ControlClient(canned.url, TOKEN) as client:
        client.status()
    assert canned.asked


def test_a_lease_is_asked_for_with_what_is_known(canned: Canned, client: ControlClient) -> None:
    canned.answer({"lease": {"id": "1"}, "token": "secret-token"}, 201)
    issued = client.issue_lease(LeaseAsk(tenant="research", label="exec python", ttl=timedelta(minutes=2)))
    assert issued.token == "secret-token"
    assert "secret-token" not in repr(issued)
    assert canned.asked[0][2] == {
        "tenant": "research",
        "label": "exec python",
        "ttl_seconds": 120,
        "max_ttl_seconds": 43_200,
    }


@pytest.mark.parametrize(
    ("limit", "ttl", "max_ttl"), [(3600, 300, 3600), (60, 60, 60), (1, 10, 10), (99_999, 300, 43_200)]
)
def test_a_limit_shortens_what_is_asked_for(limit: int, ttl: int, max_ttl: int) -> None:
    body = LeaseAsk().limited(timedelta(seconds=limit)).body()
    assert (body["ttl_seconds"], body["max_ttl_seconds"]) == (ttl, max_ttl)


def test_every_call_is_the_contracts(canned: Canned, client: ControlClient) -> None:
    everything: dict[str, Any] = {name: [] for name in ("leases", "devices", "tasks", "usages", "findings")}
    everything |= {"lease": {}, "task": {}}
    canned.answer(everything | {"recorded": 1})
    client.leases(tenant="a b", state="active")
    client.lease("self")
    client.renew_lease("x")
    client.revoke_lease("x", reason="why")
    client.devices()
    client.estimate("sv1", 10)
    client.tasks(limit=5)
    client.task("t")
    client.cancel_task("t")
    client.quotas(tenant="a")
    client.report_findings([])
    client.findings(lease="l", limit=1)
    client.report_event("session.ended", lease_id="l", details={"n": 1})
    client.audit_records(start=1, limit=2)
    client.audit_checkpoint()
    client.audit_proof(3)
    client.audit_proof(3, 9)
    client.audit_consistency(1, 2)
    assert canned.asked == [
        ("GET", "/api/v1/leases?tenant=a+b&state=active", None),
        ("GET", "/api/v1/leases/self", None),
        ("POST", "/api/v1/leases/x/renew", {}),
        ("POST", "/api/v1/leases/x/revoke", {"reason": "why"}),
        ("GET", "/api/v1/devices", None),
        ("POST", "/api/v1/estimates", {"device": "sv1", "shots": 10}),
        ("GET", "/api/v1/tasks?limit=5", None),
        ("GET", "/api/v1/tasks/t", None),
        ("POST", "/api/v1/tasks/t/cancel", {}),
        ("GET", "/api/v1/quotas?tenant=a", None),
        ("POST", "/api/v1/findings", {"findings": []}),
        ("GET", "/api/v1/findings?lease=l&limit=1", None),
        ("POST", "/api/v1/events", {"kind": "session.ended", "lease_id": "l", "details": {"n": 1}}),
        ("GET", "/api/v1/audit/records?start=1&limit=2", None),
        ("POST", "/api/v1/audit/checkpoint", {}),
        ("GET", "/api/v1/audit/proof?index=3", None),
        ("GET", "/api/v1/audit/proof?index=3&size=9", None),
        ("GET", "/api/v1/audit/consistency?old=1&new=2", None),
    ]


@pytest.mark.parametrize("hostile", ["../leases", "a/b", "?x=1", "#", "a b", "%2e%2e", "\r\nX: y"])
def test_an_id_cannot_reach_another_route(canned: Canned, client: ControlClient, hostile: str) -> None:
    canned.answer({"task": {}})
    client.task(hostile)
    path = canned.asked[0][1]
    assert path.count("/") == 4 and "?" not in path and "#" not in path and path.startswith("/api/v1/tasks/")


@pytest.mark.parametrize("nothing", ["", ".", ".."])
def test_an_id_that_is_none_is_not_sent(client: ControlClient, canned: Canned, nothing: str) -> None:
    with pytest.raises(errors.InvalidRequestError):
        client.task(nothing)
    assert not canned.asked


@pytest.mark.parametrize("code", sorted(wire._BY_CODE))
def test_problem_details_become_the_error_of_their_code(canned: Canned, client: ControlClient, code: str) -> None:
    canned.answer({"title": "T", "detail": "what", "code": code, "remedy": "do this"}, 400)
    with pytest.raises(errors.QsecError) as caught:
        client.status()
    assert caught.value.code == code
    assert (caught.value.message, caught.value.remedy) == ("what", "do this")


def test_every_error_of_the_domain_has_its_way_back() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.QsecError)]
    assert {kind.code for kind in kinds} - {"internal"} == set(wire._BY_CODE)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (500, b"{}", errors.UnavailableError),
        (502, b"<html>", errors.UnavailableError),
        (400, b'{"code": "unheard-of"}', errors.InvalidRequestError),
        (200, b"[]", errors.UnavailableError),
        (200, b"[" * 100_000, errors.UnavailableError),
        (200, b"\xff", errors.UnavailableError),
    ],
)
def test_nonsense_is_a_domain_error(
    canned: Canned, client: ControlClient, status: int, body: bytes, kind: type[errors.QsecError]
) -> None:
    canned.status, canned.body = status, body
    with pytest.raises(kind):
        client.status()


def test_a_field_that_is_missing_is_a_domain_error(canned: Canned, client: ControlClient) -> None:
    with pytest.raises(errors.UnavailableError, match="no 'tasks'"):
        client.tasks()


def test_nobody_there_is_unavailable_and_names_no_token() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        with ControlClient(url, TOKEN) as client, pytest.raises(errors.UnavailableError) as caught:
            client.status()
    assert caught.value.__cause__ is None and caught.value.__suppress_context__
    assert TOKEN not in f"{caught.value!r} {caught.value}"


def test_a_gateway_that_does_not_answer_is_unavailable() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with ControlClient(url, TOKEN, timeout=0.1) as client, pytest.raises(errors.UnavailableError, match="in time"):
            client.status()


def test_the_guard_stops_the_token_before_anything_is_sent(canned: Canned) -> None:
    def refuse() -> None:
        raise errors.UnavailableError("not ours")

    with ControlClient(canned.url, TOKEN, guard=refuse) as client, pytest.raises(errors.UnavailableError, match="ours"):
        client.status()
    assert not canned.asked


async def test_the_clients_for_event_loops_speak_the_same(canned: Canned) -> None:
    client = AsyncControlClient(canned.url, TOKEN)
    try:
        canned.answer({"leases": [], "tasks": [], "task": {"id": "t"}, "recorded": 2})
        assert await client.leases(state="active") == []
        assert await client.tasks(limit=3) == []
        assert (await client.cancel_task("t"))["id"] == "t"
        assert await client.report_findings([]) == 2
        await client.report_event("session.warned", subject="s")
        assert [path for _, path, _ in canned.asked] == [
            "/api/v1/leases?state=active",
            "/api/v1/tasks?limit=3",
            "/api/v1/tasks/t/cancel",
            "/api/v1/findings",
            "/api/v1/events",
        ]
        canned.answer({"code": "denied", "detail": "no"}, 403)
        with pytest.raises(errors.DeniedError):
            await client.status()
    finally:
        await client.close()


def test_secrets_are_asked_for_with_the_leases_token_and_come_with_their_kinds(
    canned: Canned, client: ControlClient
) -> None:
    canned.answer({"secret_access_keys": ["a-key"], "session_tokens": ["a-token"]})
    assert client.secrets_of("token-of-a-lease") == {"a-key": "aws-secret-key", "a-token": "aws-session-token"}
    assert canned.headers[0]["Authorization"] == "Bearer token-of-a-lease"


def test_a_gateway_that_is_too_old_tells_none(canned: Canned, client: ControlClient) -> None:
    canned.answer({"code": "not-found", "message": "There is nothing here."}, 404)
    assert client.secrets_of("token-of-a-lease") == {}

"""The log: each request once, under an id that its answer and the audit log have too, and nothing of what was sent."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.gateway.exchange import Exchange, begin
from jupyter_qsec.gateway.logs import JsonFormatter, TextFormatter, describe, log_to, log_unhandled
from tests.gateway.conftest import StartProcess
from tests.gateway.livegateway import GatewayProcess, Issued, LiveGateway, submit_bell
from tests.gateway.rawhttp import Answer, SignedClient, send
from tests.gateway.signedcalls import SignedBraket

SECRET = "s3cr3t-of-this-test"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
JSON_TO_STDERR = {"JUPYTER_QSEC_LOG_FORMAT": "json", "JUPYTER_QSEC_LOG": "stderr"}


class Logged:
    """What this process logs, as the gateway would write it in both forms."""

    def __init__(self) -> None:
        self._streams = {"text": io.StringIO(), "json": io.StringIO()}
        self.handlers = []
        for stream, formatter in zip(self._streams.values(), (TextFormatter(), JsonFormatter()), strict=True):
            handler = logging.StreamHandler(stream)
            handler.setFormatter(formatter)
            self.handlers.append(handler)

    @property
    def all(self) -> str:
        return "".join(stream.getvalue() for stream in self._streams.values())

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._streams["json"].getvalue().splitlines()]

    def access(self, gateway: LiveGateway) -> list[dict[str, Any]]:
        """Requests that were answered: each is logged when its answer is out, before the event loop goes on."""
        gateway.call(asyncio.sleep(0))
        return [line for line in self.lines if line["logger"] == "jupyter_qsec.gateway.access"]


@pytest.fixture
def logged() -> Iterator[Logged]:
    made, root = Logged(), logging.getLogger()
    level = root.level
    root.setLevel(logging.INFO)
    for handler in made.handlers:
        root.addHandler(handler)
    yield made
    for handler in made.handlers:
        root.removeHandler(handler)
    root.setLevel(level)


def attack(gateway: LiveGateway | GatewayProcess, lease: Issued) -> list[Answer]:
    """Requests with a secret wherever one can be put. Those that are no HTTP at all have no answer here."""
    host = ("host", gateway.url.removeprefix("http://"))
    braket = SignedClient.of(gateway, lease)
    forger = replace(braket, signer=replace(braket.signer, secret=SECRET))
    body = json.dumps({"filters": SECRET, SECRET: SECRET}).encode()
    answers = [
        braket.send("POST", "/quantum-tasks", body),
        braket.send("POST", "/quantum-tasks", SECRET.encode()),
        forger.send("POST", "/quantum-tasks", body),
        send(gateway, "GET", f"/api/v1/tasks?{SECRET}={SECRET}", [host, ("authorization", f"Bearer {lease.token}")]),
        send(gateway, "GET", f"/api/v1/tasks/{SECRET}", [host, ("authorization", f"Bearer {lease.token}")]),
        send(gateway, "GET", f"/{SECRET}", [host, ("cookie", SECRET), ("x-request-id", SECRET)]),
        send(gateway, SECRET.upper(), "/health", [host]),
        send(gateway, "GET", f"/aws/denied/{SECRET}?{SECRET}", [host, ("authorization", SECRET)]),
        send(gateway, "GET", "/health", [("host", SECRET)]),
        send(gateway, "GET", "/api/v1/status", [host, ("authorization", f"Bearer {SECRET}")]),
        send(gateway, "GET", "/api/v1/status?q=%ff" + SECRET, [host, ("authorization", f"Bearer {lease.token}")]),
        send(gateway, "PUT", f"/aws/s3/bucket/{SECRET}", [host, ("content-length", str(len(body)))], body),
    ]
    port = int(gateway.url.rpartition(":")[2])
    for raw in (
        f"GET /{SECRET}\r\n\r\n",
        f"GET / HTTP/1.1\r\n{SECRET}\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: {SECRET}\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: {SECRET}\r\nHost: b\r\nauthorization: {SECRET}\x01\r\n\r\n",
        f"POST /aws/braket/x HTTP/1.1\r\nHost: {host[1]}\r\nTransfer-Encoding: chunked\r\n\r\n{SECRET}\r\n",
    ):
        with socket.create_connection(("127.0.0.1", port), 10) as connection:
            connection.sendall(raw.encode())
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass
    return answers


# -- requests in the log
def test_each_request_is_logged_once_in_words_of_ours(shared_gateway: LiveGateway, logged: Logged) -> None:
    lease = shared_gateway.lease(tenant="sandbox")
    with SignedBraket(shared_gateway, lease) as braket:
        braket.run_bell()
    shared_gateway.get(f"/api/v1/leases/{lease.id}?x={SECRET}")
    access = logged.access(shared_gateway)
    found = {(line["door"], line["operation"]): line for line in access}
    created = found["braket", "CreateQuantumTask"]
    principal = shared_gateway.gateway.operator.id
    assert {name: created[name] for name in ("method", "status", "principal", "tenant", "level")} == {
        "method": "POST",
        "status": 201,
        "principal": principal,
        "tenant": "sandbox",
        "level": "INFO",
    }
    assert created["ms"] > 0 and created["bytes"] > 20 and "code" not in created
    shown = found["control", "GET /api/v1/leases/{id}"]
    assert (shown["status"], shown["code"], shown["principal"]) == (400, "invalid-request", principal)
    assert len({line["request_id"] for line in access}) == len(access)
    assert lease.id not in logged.all


def test_nothing_that_was_sent_is_logged(shared_gateway: LiveGateway, logged: Logged) -> None:
    lease = shared_gateway.lease()
    answers = attack(shared_gateway, lease)
    assert len(logged.access(shared_gateway)) >= len(answers)
    assert SECRET not in logged.all
    assert SECRET.upper() not in logged.all
    assert lease.token not in logged.all


def test_nor_by_the_process_whose_log_goes_to_standard_error(gateway_process: StartProcess) -> None:
    gateway = gateway_process(environ={**os.environ, **JSON_TO_STDERR})
    lease = gateway.lease(tenant="research")
    answers = attack(gateway, lease)
    token = gateway.control_token
    assert gateway.stop() == 0
    said = gateway.errors()
    lines = [json.loads(line) for line in said.splitlines()]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    access = [line for line in lines if line["logger"] == "jupyter_qsec.gateway.access"]
    ids = {line["request_id"] for line in access}
    assert {answer.headers["x-request-id"] for answer in answers} <= ids
    assert [line for line in access if line.get("tenant") == "research"]
    for secret in (SECRET, SECRET.upper(), lease.token, token):
        assert secret not in said
    assert not (gateway.home / "logs").exists()


def test_by_default_the_log_is_text_in_a_file_without_requests(gateway_process: StartProcess) -> None:
    gateway = gateway_process()
    gateway.get(f"/api/v1/status?{SECRET}")
    gateway.stop()
    text = (gateway.home / "logs" / "gateway.log").read_text()
    assert "jupyter_qsec.gateway.process: serving on 127.0.0.1" in text
    assert "status" not in text
    assert gateway.errors() == ""


@pytest.mark.parametrize("name", ["JUPYTER_QSEC_LOG_FORMAT", "JUPYTER_QSEC_LOG"])
def test_a_setting_that_is_not_known_is_named(tmp_path: Path, name: str) -> None:
    before = logging.getLogger().handlers[:]
    with pytest.raises(InvalidRequestError, match=f"{name} must be "):
        log_to(tmp_path, {name: "yaml"})
    assert logging.getLogger().handlers == before


# -- ids
def test_every_answer_has_an_id_of_ours(shared_gateway: LiveGateway, issued: Issued) -> None:
    host = ("host", f"127.0.0.1:{shared_gateway.port}")
    own = [host, ("x-request-id", SECRET), ("x-amzn-requestid", SECRET)]
    seen = set()
    for target in (
        "/health",
        "/api/v1/status",
        "/nothing",
        "/aws/braket/devices",
        "/aws/s3/b",
        "/aws/sts",
        "/aws/denied/x",
    ):
        for method in ("GET", "POST", "BREW"):
            found = send(shared_gateway, method, target, own).headers["x-request-id"]
            assert UUID.match(found), (method, target)
            seen.add(found)
    assert len(seen) == 21
    braket, s3 = (SignedClient.of(shared_gateway, issued, service) for service in ("braket", "s3"))
    answers = {
        "x-amzn-requestid": (braket.send("POST", "/quantum-tasks", b'{"filters":[]}'), braket.send("GET", "/nothing")),
        "x-amz-request-id": (s3.send("GET", "/no-such-bucket/k"), s3.send("GET", "/")),
    }
    for name, given in answers.items():
        for answer in given:
            assert answer.headers[name] == answer.headers["x-request-id"]
    assert (
        f"<RequestId>{answers['x-amz-request-id'][0].headers['x-request-id']}<" in answers["x-amz-request-id"][0].text
    )


def test_the_audit_log_tells_of_a_request_under_the_same_id(live_gateway: LiveGateway) -> None:
    braket = SignedClient.of(live_gateway, live_gateway.lease())
    refused = replace(braket, signer=replace(braket.signer, secret="x" * 40)).send("POST", "/quantum-tasks", b"{}")
    unknown = live_gateway.get("/api/v1/status", "wrong")
    with SignedBraket(live_gateway, live_gateway.lease()) as client:
        with pytest.raises(AssertionError):
            client.create_bell(tags={"qsec:tenant": "research"})
        client.create_bell()
    events = [event for event in live_gateway.events() if "request_id" in event.get("details", {})]
    ids = [event["details"]["request_id"] for event in events]
    assert ids[:2] == [refused.headers["x-request-id"], unknown.headers["x-request-id"]]
    assert [event["kind"] for event in events] == [
        "request.rejected",
        "request.rejected",
        "task.refused",
        "task.submitted",
    ]
    assert len(set(ids)) == 4


# -- defects
def test_a_defect_is_logged_with_its_place_and_without_its_text(live_gateway: LiveGateway, logged: Logged) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        try:
            raise KeyError(SECRET)
        except KeyError as error:
            raise ValueError(f"could not parse {SECRET}") from error

    live_gateway.gateway.tasks.search = broken  # type: ignore[method-assign]  # a defect
    live_gateway.gateway.tasks.counts = broken  # type: ignore[method-assign]  # a defect
    braket = SignedClient.of(live_gateway, live_gateway.lease())
    searched, asked = braket.send("POST", "/quantum-tasks", b'{"filters":[]}'), live_gateway.get("/api/v1/status")
    assert (searched.status, asked.status_code) == (500, 500)
    errors = [line for line in logged.lines if "error" in line]
    assert [line["message"] for line in errors] == ["SearchQuantumTasks failed at braket", "GET /api/v1/status failed"]
    assert [line["request_id"] for line in errors] == [
        searched.headers["x-request-id"],
        asked.headers["x-request-id"],
    ]
    for line in errors:
        assert line["error"][0] == "builtins.ValueError"
        assert "builtins.KeyError" in line["error"]
        assert any("test_logs.py" in place and "broken" in place for place in line["error"])
    assert SECRET not in logged.all


def test_what_a_task_logs_belongs_to_no_request(live_gateway: LiveGateway, logged: Logged) -> None:
    async def broken(*_: Any) -> Any:
        raise ValueError(SECRET)

    live_gateway.gateway.executor.execute = broken  # type: ignore[method-assign, assignment]  # a defect
    with SignedBraket(live_gateway, live_gateway.lease()) as braket, pytest.raises(AssertionError):
        braket.run_bell(seconds=0.5)
    (line,) = [line for line in logged.lines if "the executor failed" in line["message"]]
    assert "request_id" not in line
    assert line["error"][0] == "builtins.ValueError"
    assert SECRET not in logged.all


def test_what_is_left_over_on_the_event_loop_is_logged_without_its_text(
    live_gateway: LiveGateway, logged: Logged
) -> None:
    async def leave() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(log_unhandled)
        loop.call_soon(lambda: int(SECRET))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        loop.call_exception_handler({"message": SECRET, "future": SECRET})

    live_gateway.call(leave())
    assert [line["message"] for line in logged.lines] == ["an exception was left over on the event loop"] * 2
    assert logged.lines[0]["error"][0] == "builtins.ValueError"
    assert SECRET not in logged.all


# -- forms
def formatted(record: logging.LogRecord) -> tuple[str, dict[str, Any]]:
    text, line = TextFormatter().format(record), JsonFormatter().format(record)
    assert "\n" not in line
    return text, json.loads(line)


def record(name: str, message: Any, *args: Any, error: BaseException | None = None, **extra: Any) -> logging.LogRecord:
    info = (type(error), error, error.__traceback__) if error is not None else None
    made = logging.LogRecord(name, logging.ERROR, __file__, 1, message, args, info)
    vars(made).update(extra)
    return made


def test_other_libraries_are_logged_without_their_arguments() -> None:
    for name in ("tornado.general", "asyncio", "jupyter_qsecret", "root"):
        text, line = formatted(record(name, "Malformed %s from %s", SECRET, SECRET))
        assert line["message"] == "Malformed %s from %s"
        assert SECRET not in text
    assert formatted(record("jupyter_qsec.x", "%d writes", 3))[1]["message"] == "3 writes"


def test_a_message_cannot_forge_a_line() -> None:
    text, line = formatted(record("jupyter_qsec.x", "a %s", 'b\n2026-01-01 INFO jupyter_qsec: forged\r{"x":1}'))
    assert len(text.splitlines()) == 1
    assert line["message"].startswith("a b\n2026")


def test_fields_never_replace_what_the_log_says_itself() -> None:
    fields = {"level": "DEBUG", "message": "x", "thing": object(), "empty": "", "n": 0}
    _, line = formatted(record("jupyter_qsec.x", "m", fields=fields))
    assert (line["level"], line["message"], line["thing"], line["n"]) == ("ERROR", "m", "object", 0)
    assert "empty" not in line


def test_an_exception_is_described_by_types_and_places() -> None:
    error: BaseException
    try:
        try:
            open(f"/{SECRET}/x")  # noqa: PTH123, SIM115  # fails
        except OSError:
            raise RuntimeError(SECRET)  # noqa: B904  # with its context
    except RuntimeError as caught:
        error = caught
    lines = describe(error)
    assert lines[0] == "builtins.RuntimeError"
    assert "builtins.FileNotFoundError errno 2" in lines
    assert SECRET not in str(lines)
    error.__context__ = error  # a chain that bites its tail has an end
    assert len(describe(error)) == 2
    text, line = formatted(record("jupyter_qsec.x", "m", error=error, exc_text=f"cached by another handler {SECRET}"))
    assert SECRET not in text + str(line)


async def test_an_id_ends_with_its_request() -> None:
    exchange = Exchange()
    begin(exchange)
    assert formatted(record("jupyter_qsec.x", "m"))[1]["request_id"] == exchange.id
    assert formatted(record("jupyter_qsec.x", "m"))[0].endswith(f"m [{exchange.id}]")
    exchange.ended = True
    assert "request_id" not in formatted(record("jupyter_qsec.x", "m"))[1]


def test_requests_at_the_same_time_keep_their_ids_apart(live_gateway: LiveGateway, logged: Logged) -> None:
    """A held poll of one client must not lend its id to what others do meanwhile."""
    lease = live_gateway.lease()
    task = submit_bell(live_gateway, lease)

    async def both() -> list[str]:
        async def one() -> str:
            exchange = Exchange()
            begin(exchange)
            await asyncio.sleep(0)
            logging.getLogger("jupyter_qsec.x").info("mine %s", exchange.id)
            return exchange.id

        return list(await asyncio.gather(*[one() for _ in range(5)]))

    ids = live_gateway.call(both())
    lines = [line for line in logged.lines if line["message"].startswith("mine ")]
    assert [line["request_id"] for line in lines] == ids == [line["message"][5:] for line in lines]
    assert task.id

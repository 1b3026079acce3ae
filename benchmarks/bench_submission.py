"""CreateQuantumTask over HTTP, durable: signature, lease, policy, nine quota counters, task row and audit record, with
real SigV4 signatures over keep-alive connections. Beside it a tornado server that reads the same requests and answers
what it always answers: the share of HTTP itself.

The measured gateway is a real process in which it is nobody's turn, so that the figure is that of
submissions; the second row has them run at the same time."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

from benchmarks import stack
from benchmarks.table import Row

SUBMISSIONS, RUNNING_SUBMISSIONS, CONNECTIONS, ROUNDS = 2_000, 500, 16, 3
_WANTED_PER_SECOND, _WANTED_P99_MS = 500, 60
_LONGEST_SECONDS = 15.0
ACCOUNT = "100000000001"  # as in `stack.UNLIMITED`
SV1 = "arn:aws:braket:::device/quantum-simulator/amazon/sv1"
BELL = "OPENQASM 3.0;\nbit[2] b;\nqubit[2] q;\nh q[0];\ncnot q[0], q[1];\nb[0] = measure q[0];\nb[1] = measure q[1];"
TARGET = "/aws/braket/quantum-task"


def rows() -> list[Row]:
    measured, peers, p99s = [], [], []
    for _ in range(ROUNDS):  # in turns, so that a busy moment of the machine falls on both
        with _waiting_gateway(), stack.running(tenants=stack.UNLIMITED, workers=1) as running:
            load = _load(running, SUBMISSIONS)
        with _canned() as port:
            peers.append(asyncio.run(_send(port, load.requests)).per_second)
        measured.append(load.outcome.per_second)
        p99s.append(load.outcome.percentile(99))
    with stack.running(tenants=stack.UNLIMITED, workers=1) as running:
        beside_runs = _load(running, RUNNING_SUBMISSIONS).outcome
    rate, p99, peer = statistics.median(measured), statistics.median(p99s), statistics.median(peers)
    return [
        Row(
            "submissions over HTTP, durable",
            rate,
            "/s",
            peer=f"canned answers {peer:,.0f} /s",
            ratio=rate / peer,
            target=f"{_WANTED_PER_SECOND} /s or more",
            ok=rate >= _WANTED_PER_SECOND,
        ),
        Row(
            f"the same, 99th percentile at {CONNECTIONS} connections",
            p99,
            "ms",
            target=f"{_WANTED_P99_MS} ms or less",
            ok=p99 <= _WANTED_P99_MS,
        ),
        Row(
            "the same while the tasks run",
            beside_runs.per_second,
            "/s",
            peer=f"p99 {beside_runs.percentile(99):.0f} ms",
        ),
    ]


@dataclass
class Outcome:
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        return len(self.latencies) / self.seconds

    def percentile(self, percent: int) -> float:
        """In milliseconds."""
        return 1000 * sorted(self.latencies)[min(len(self.latencies) - 1, len(self.latencies) * percent // 100)]


@dataclass
class Load:
    requests: list[bytes]
    outcome: Outcome


def _load(running: stack.Stack, count: int) -> Load:
    """Sign and send `count` submissions, and check that the gateway counted every one."""
    _, token_file = running.lease()
    credentials = running.credentials(token_file.read_text())
    signer = Signer(credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["Token"], running.port)
    asyncio.run(_send(running.port, [signer.submission() for _ in range(100)]))  # warm
    requests = [signer.submission() for _ in range(count)]
    outcome = asyncio.run(_send(running.port, requests))
    usages = running.control("GET", "/quotas?tenant=sandbox")["usages"]
    counted = {usage["scope"]: usage["used"] for usage in usages if usage["metric"] == "tasks"}
    assert counted["tenant:sandbox"] == len(outcome.latencies) + 100, "a submission was answered and not counted"
    return Load(requests, outcome)


class Signer:
    """AWS Signature Version 4 for one kind of request, with the signing key made once."""

    def __init__(self, access_key: str, secret: str, token: str, port: int) -> None:
        self._access_key, self._token, self._host = access_key, token, f"127.0.0.1:{port}"
        self._date = datetime.now(UTC).strftime("%Y%m%d")
        self._scope = f"{self._date}/us-east-1/braket/aws4_request"
        key = f"AWS4{secret}".encode()
        for part in (self._date, "us-east-1", "braket", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        self._key = key

    def submission(self) -> bytes:
        """A whole HTTP request for a new Bell task."""
        header = {"name": "braket.ir.openqasm.program", "version": "1"}
        body = json.dumps(
            {
                "deviceArn": SV1,
                "shots": 100,
                "action": json.dumps({"braketSchemaHeader": header, "source": BELL}),
                "deviceParameters": "{}",
                "outputS3Bucket": f"amazon-braket-us-east-1-{ACCOUNT}",
                "outputS3KeyPrefix": "tasks",
                "clientToken": str(uuid.uuid4()),
            }
        ).encode()
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        signed = {
            "content-type": "application/json",
            "host": self._host,
            "x-amz-date": moment,
            "x-amz-security-token": self._token,
        }
        names = ";".join(signed)
        lines = "".join(f"{name}:{value}\n" for name, value in signed.items())
        canonical = f"POST\n{TARGET}\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{moment}\n{self._scope}\n{digest}"
        signature = hmac.new(self._key, text.encode(), "sha256").hexdigest()
        head = "".join(f"{name}: {value}\r\n" for name, value in signed.items())
        credential = f"{self._access_key}/{self._scope}"
        return (
            f"POST {TARGET} HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n"
            f"Authorization: AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
            "\r\n\r\n"
        ).encode() + body


async def _send(port: int, requests: list[bytes]) -> Outcome:
    """Send all requests over `CONNECTIONS` connections, each one after the other; at most `_LONGEST_SECONDS`."""
    outcome, waiting = Outcome(), iter(requests)
    started = time.perf_counter()

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for request in waiting:
            sent = time.perf_counter()
            if sent - started > _LONGEST_SECONDS:
                break
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 201"):
                raise RuntimeError(f"the server answered {head[:80]!r}")
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            outcome.latencies.append(time.perf_counter() - sent)
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    outcome.seconds = time.perf_counter() - started
    return outcome


_WAITING = """
import sys
from jupyter_qsec.application.turns import Turns
from jupyter_qsec.gateway import __main__
assert Turns._may_start
Turns._may_start = lambda turns, tenant: False
sys.exit(__main__.main(sys.argv[1:]))
"""


@contextlib.contextmanager
def _waiting_gateway() -> Iterator[None]:
    """Within, `stack.start` starts gateways whose tasks wait."""

    def start(home: Path, *, workers: int = 0, port: int | None = None) -> subprocess.Popen[bytes]:
        options = ["serve", "--home", str(home), "--keystore", "file", "--workers", str(workers)]
        return subprocess.Popen(
            [sys.executable, "-c", _WAITING, *options], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
        )

    with patch.object(stack, "start", start):
        yield


_CANNED = """
import asyncio, json, sys
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

class Answer(RequestHandler):
    def post(self):
        json.loads(self.request.body)
        self.set_status(201)
        self.write({"quantumTaskArn": "arn:aws:braket:us-east-1:100000000001:quantum-task/" + "0" * 36})

async def main():
    sockets = bind_sockets(0, "127.0.0.1")
    HTTPServer(Application([(r"/.*", Answer)], log_function=lambda handler: None)).add_sockets(sockets)
    print(sockets[0].getsockname()[1], flush=True)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(0, ended.set)
    await ended.wait()

asyncio.run(main())
"""


@contextlib.contextmanager
def _canned() -> Iterator[int]:
    """The port of a tornado process that answers every submission alike."""
    process = subprocess.Popen([sys.executable, "-c", _CANNED], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdin is not None and process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.communicate(timeout=10)

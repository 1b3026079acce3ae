"""HTTP/1.1 as an AWS SDK speaks it, light enough for hundreds of clients in one process: signed requests, kept
connections, and the retries of botocore's default mode."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime

REGION = "us-east-1"
ATTEMPTS = 5
"""In all, as in botocore's default mode."""
RETRIED = frozenset({429, 500, 502, 503, 504})
READ_SECONDS = 60.0
KEPT = 10
"""Connections that a client keeps. These are botocore's defaults, too."""


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes = b""
    attempts: int = 1
    problem: str = ""
    """Why there is none, when `status` is 0."""


@dataclass
class Keys:
    """The synthetic credentials of one lease; signing keys are derived once a day and service, as SDKs do."""

    access_key: str
    secret: str
    token: str
    host: str
    _derived: dict[tuple[str, str], bytes] = field(default_factory=dict, repr=False)

    def request(self, service: str, method: str, target: str, body: bytes = b"") -> bytes:
        """A whole signed request. `target` has no query; for Braket it is encoded once, as botocore sends it."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        digest = hashlib.sha256(body).hexdigest()
        signed = {"host": self.host}
        if body:
            signed = {"content-type": "application/json", **signed}
        if service == "s3":
            signed["x-amz-content-sha256"] = digest
        signed |= {"x-amz-date": stamp, "x-amz-security-token": self.token}
        names = ";".join(signed)
        path = target if service == "s3" else target.replace("%", "%25")
        lines = "".join(f"{name}:{value}\n" for name, value in signed.items())
        canonical = f"{method}\n{path}\n\n{lines}\n{names}\n{digest}"
        scope = f"{stamp[:8]}/{REGION}/{service}/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        signature = hmac.new(self._key(stamp[:8], service), text.encode(), "sha256").hexdigest()
        head = "".join(f"{name}: {value}\r\n" for name, value in signed.items())
        return (
            f"{method} {target} HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n"
            f"Authorization: AWS4-HMAC-SHA256 Credential={self.access_key}/{scope}, SignedHeaders={names}, "
            f"Signature={signature}\r\n\r\n"
        ).encode() + body

    def _key(self, date: str, service: str) -> bytes:
        if (date, service) not in self._derived:
            key = f"AWS4{self.secret}".encode()
            for part in (date, REGION, service, "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._derived[date, service] = key
        return self._derived[date, service]


class Connections:
    """One client's connections: kept while the server keeps them, opened when none is free."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def exchange(self, request: bytes) -> Answer:
        """One request, one attempt. `OSError`, `EOFError` or `TimeoutError` when there is no answer."""
        async with asyncio.timeout(READ_SECONDS):
            reader, writer = await self._connection()
            try:
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                lowered = head.lower()
                length = int(lowered.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
                body = await reader.readexactly(length)
            except BaseException:
                writer.close()
                raise
        if b"\r\nconnection: close" in lowered or len(self._free) >= KEPT:
            writer.close()
        else:
            self._free.append((reader, writer))
        return Answer(int(head[9:12]), body)

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._free:
            reader, writer = self._free.pop()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self._port)

    def close(self) -> None:
        for _, writer in self._free:
            writer.close()


class SdkClient:
    """Signs anew for each attempt, and tries again when botocore would."""

    def __init__(self, keys: Keys, port: int, chance: random.Random) -> None:
        self._keys = keys
        self._chance = chance
        self._connections = Connections(port)

    async def call(self, service: str, method: str, target: str, body: bytes = b"") -> Answer:
        """The answer, also when it is an error that is not repeated; status 0 when no attempt had one."""
        answer = Answer(0)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answer = await self._connections.exchange(self._keys.request(service, method, target, body))
            except (OSError, EOFError, TimeoutError) as error:
                answer = Answer(0, problem=type(error).__name__)
            answer = Answer(answer.status, answer.body, attempt, answer.problem)
            if answer.status and answer.status not in RETRIED:
                return answer
            if attempt < ATTEMPTS:
                await asyncio.sleep(self._chance.random() * 2 ** (attempt - 1))
        return answer

    def close(self) -> None:
        self._connections.close()

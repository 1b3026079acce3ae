"""Requests exactly as a test wants them on the wire, and what came back."""

from __future__ import annotations

import http.client
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.fakes.signer import Headers, Signer
from tests.gateway.livegateway import ControlAccess, Issued


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


def kind(answer: Answer) -> str:
    """The name of a Braket error."""
    return answer.headers.get("x-amzn-errortype", "")


def send(gateway: ControlAccess, method: str, target: str, headers: Headers, body: bytes = b"") -> Answer:
    """Nothing is added, nothing is normalised."""
    connection = http.client.HTTPConnection(gateway.url.removeprefix("http://"), timeout=30)
    try:
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders()
        if body:
            connection.send(body)
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, response.read())
    finally:
        connection.close()


@dataclass
class SignedClient:
    """Signs for one service with the credential of a lease, as the gateway gave it."""

    gateway: ControlAccess
    signer: Signer
    prefix: str

    @classmethod
    def of(cls, gateway: ControlAccess, lease: Issued, service: str = "braket", **changes: Any) -> SignedClient:
        given = gateway.get("/credentials", token=lease.token).json()
        signer = Signer(
            given["AccessKeyId"],
            given["SecretAccessKey"],
            given["Token"],
            **{"service": service, "host": gateway.url.removeprefix("http://"), **changes},
        )
        return cls(gateway, signer, f"/aws/{service}")

    def sign(self, method: str, path: str, body: bytes = b"", **options: Any) -> Headers:
        return self.signer.headers(method, self.prefix + path, body, **{"at": datetime.now(UTC), **options})

    def send(self, method: str, path: str, body: bytes = b"", headers: Headers | None = None, **options: Any) -> Answer:
        headers = self.sign(method, path, body, **options) if headers is None else headers
        return send(self.gateway, method, self.prefix + path, headers, body)

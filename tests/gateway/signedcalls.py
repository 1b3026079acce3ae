"""Signed Braket calls by botocore's own signer, without the weight of a whole SDK session."""

from __future__ import annotations

import json
import time
import uuid
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.fakes.world import BELL, SV1
from tests.gateway.livegateway import ControlAccess, Issued

REGION = "us-east-1"
_ACCOUNTS = {"sandbox": "000000000101", "research": "000000000202", "classroom": "000000000303"}


class SignedBraket:
    """One lease's Braket client."""

    def __init__(self, gateway: ControlAccess, lease: Issued, client: httpx.Client | None = None) -> None:
        """`client` has the connection to use; by default one of its own."""
        made = gateway.get("/credentials", lease.token).json()
        self._credentials = Credentials(made["AccessKeyId"], made["SecretAccessKey"], made["Token"])
        account = _ACCOUNTS[lease.lease["tenant"]]
        self.bucket = f"amazon-braket-{REGION}-{account}"
        self._client = client or gateway.client("")
        self._url = gateway.url

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def send(self, method: str, path: str, body: Any = None) -> httpx.Response:
        content = b"" if body is None else json.dumps(body).encode()
        request = AWSRequest(method, f"{self._url}/aws/braket{path}", data=content)
        if content:
            request.headers["Content-Type"] = "application/json"
        SigV4Auth(self._credentials, "braket", REGION).add_auth(request)
        return self._client.request(method, request.url, content=content, headers=dict(request.headers))

    def create_bell(self, **changes: Any) -> str:
        """The new task's id."""
        body = {
            "deviceArn": SV1,
            "shots": 100,
            "action": BELL,
            "deviceParameters": "{}",
            "outputS3Bucket": self.bucket,
            "outputS3KeyPrefix": "tasks",
            "clientToken": str(uuid.uuid4()),
        }
        answer = self.send("POST", "/quantum-task", body | changes)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["quantumTaskArn"].rpartition("/")[2])

    def run_bell(self, *, seconds: float = 30) -> str:
        """Create a Bell task and wait until it is COMPLETED; its id."""
        task_id = self.create_bell()
        account = self.bucket.rpartition("-")[2]
        arn = f"arn:aws:braket:{REGION}:{account}:quantum-task/{task_id}"
        deadline = time.monotonic() + seconds
        state = ""
        while state != "COMPLETED" and time.monotonic() < deadline:
            answer = self.send("GET", f"/quantum-task/{quote(arn, safe='')}")
            assert answer.status_code == 200, answer.text
            state = answer.json()["status"]
        assert state == "COMPLETED"
        return task_id

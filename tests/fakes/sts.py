"""AWS STS as far as AssumeRole: it checks the signature, the trust policy's conditions, and answers in STS's XML."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"


@dataclass
class FakeSts:
    """`keys` are the long-term keys that may call, `trusts` the roles with the external id that each demands."""

    keys: dict[str, str]
    trusts: dict[str, str]
    asked: list[dict[str, str]] = field(default_factory=list)
    """The parameters of each call that was signed rightly."""
    broken: int = 0
    """How many calls to answer with 503 before it works."""

    def __enter__(self) -> FakeSts:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, text = outer._answer(self, body)
                content = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/xml")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                """Tests print nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def _answer(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, str]:
        if self.broken:
            self.broken -= 1
            return 503, _error("ServiceUnavailable", "Try again.")
        parameters = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        authorization = request.headers.get("Authorization", "")
        key_id = authorization.partition("Credential=")[2].partition("/")[0]
        if key_id not in self.keys or self._signature(request, body, self.keys[key_id]) != authorization:
            return 403, _error("InvalidClientTokenId", f"The security token {key_id} is invalid.")
        self.asked.append(parameters)
        role = parameters["RoleArn"]
        if role not in self.trusts or parameters.get("ExternalId", "") != self.trusts[role]:
            return 403, _error("AccessDenied", f"{key_id} is not authorized to perform sts:AssumeRole on {role}")
        return 200, _assumed(role, parameters["RoleSessionName"], int(parameters["DurationSeconds"]))

    def _signature(self, request: BaseHTTPRequestHandler, body: bytes, secret: str) -> str:
        """The header that botocore makes of this request and this secret."""
        authorization = request.headers["Authorization"]
        key_id, _, scope = authorization.partition("Credential=")[2].partition(",")[0].partition("/")
        _, region, service, _ = scope.split("/")
        signed = authorization.partition("SignedHeaders=")[2].partition(",")[0].split(";")
        again = AWSRequest("POST", f"http://{request.headers['Host']}{request.path}", data=body)
        for name in signed:
            if name != "host":
                again.headers[name] = request.headers[name]
        signer = SigV4Auth(Credentials(key_id, secret), service, region)
        again.context["timestamp"] = request.headers["X-Amz-Date"]
        canonical = signer.canonical_request(again)
        signature = signer.signature(signer.string_to_sign(again, canonical), again)
        return f"{authorization.rpartition('Signature=')[0]}Signature={signature}"


def _assumed(role: str, session: str, seconds: int) -> str:
    account, name = role.split(":")[4], role.rpartition("/")[2]
    until = (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return (
        f'<AssumeRoleResponse xmlns="{_NAMESPACE}"><AssumeRoleResult><AssumedRoleUser>'
        f"<AssumedRoleId>AROAEXAMPLE:{session}</AssumedRoleId>"
        f"<Arn>arn:aws:sts::{account}:assumed-role/{name}/{session}</Arn></AssumedRoleUser><Credentials>"
        f"<AccessKeyId>ASIAEXAMPLEEXAMPLE12</AccessKeyId><SecretAccessKey>{'s' * 40}</SecretAccessKey>"
        f"<SessionToken>{'t' * 200}</SessionToken><Expiration>{until}</Expiration></Credentials>"
        "</AssumeRoleResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></AssumeRoleResponse>"
    )


def _error(code: str, message: str) -> str:
    return (
        f'<ErrorResponse xmlns="{_NAMESPACE}"><Error><Type>Sender</Type><Code>{code}</Code>'
        f"<Message>{message}</Message></Error><RequestId>1</RequestId></ErrorResponse>"
    )

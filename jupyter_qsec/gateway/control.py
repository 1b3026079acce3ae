"""The control API: one handler that authenticates, reads, calls the endpoint and writes the answer or the problem."""

from __future__ import annotations

import hmac
import json
import logging
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from tornado.web import HTTPError, RequestHandler

from jupyter_qsec.application.callers import Caller, Operator
from jupyter_qsec.application.tokens import is_of_lease
from jupyter_qsec.domain.errors import (
    DeniedError,
    InvalidRequestError,
    NotFoundError,
    QsecError,
    TooLargeError,
    UnauthenticatedError,
)
from jupyter_qsec.gateway import control_evidence, control_general, control_leases, control_secrets, control_tasks
from jupyter_qsec.gateway.connections import AttendedHandler
from jupyter_qsec.gateway.control_request import (
    MAX_BODY,
    Access,
    Answer,
    Call,
    Endpoint,
    Text,
    body_fields,
    query_fields,
)

if TYPE_CHECKING:
    from jupyter_qsec.bootstrap import Gateway

_log = logging.getLogger(__name__)

ENDPOINTS: tuple[Endpoint, ...] = (
    *control_general.ENDPOINTS,
    *control_leases.ENDPOINTS,
    *control_tasks.ENDPOINTS,
    *control_evidence.ENDPOINTS,
    *control_secrets.ENDPOINTS,
)

STATUS: Mapping[str, int] = {
    "invalid-request": 400,
    "too-large": 413,
    "unauthenticated": 401,
    "signature-invalid": 401,
    "signature-expired": 401,
    "signature-replayed": 401,
    "lease-revoked": 403,
    "lease-expired": 403,
    "denied": 403,
    "quota-exceeded": 402,
    "not-found": 404,
    "method-not-allowed": 405,
    "conflict": 409,
    "claim-lost": 409,
    "not-recorded": 503,
    "state-directory": 503,
    "key-store": 503,
    "unavailable": 503,
    "internal": 500,
}
_READING = ("GET", "HEAD", "OPTIONS")
_TOKEN = re.compile(r"[\x21-\x7e]{1,8192}\Z")  # tokens of workloads have some 2,000 characters


class MethodNotAllowedError(InvalidRequestError):
    """The path exists, the method does not."""

    code = "method-not-allowed"


def routes(
    gateway: Gateway, control_token: str, metrics_token: str = ""
) -> list[tuple[str, type[RequestHandler], dict[str, Any]]]:
    """Tornado routes of the control API; everything below `/api/` that is not an endpoint is refused here too.

    `metrics_token` opens `/metrics` and nothing else; empty: there is none."""
    by_pattern: dict[str, dict[str, Endpoint]] = {}
    for endpoint in ENDPOINTS:
        by_pattern.setdefault(endpoint.pattern, {})[endpoint.method] = endpoint
    shared = {"gateway": gateway, "control_token": control_token, "metrics_token": metrics_token}
    found: list[tuple[str, type[RequestHandler], dict[str, Any]]] = [
        (pattern, ControlHandler, {**shared, "endpoints": endpoints}) for pattern, endpoints in by_pattern.items()
    ]
    return [*found, (r"/api(?:/.*)?\Z", ControlHandler, {**shared, "endpoints": {}})]


class ControlHandler(AttendedHandler):
    """Serves the endpoints of one path."""

    SUPPORTED_METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")

    def initialize(
        self, gateway: Gateway, control_token: str, metrics_token: str, endpoints: Mapping[str, Endpoint]
    ) -> None:
        self._gateway = gateway
        self._control_token = control_token
        self._metrics_token = metrics_token
        self._endpoints = endpoints
        endpoint = endpoints.get(self.request.method or "")
        self.exchange.door = "control"
        if endpoint is not None:
            self.exchange.operation = f"{endpoint.method} {endpoint.path}"

    def set_default_headers(self) -> None:
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("X-Request-Id", self.exchange.id)
        self.clear_header("Server")

    def check_xsrf_cookie(self) -> None:
        """No cookie authenticates here, so there is nothing that another site could ride on."""

    async def get(self, **path: str) -> None:
        await self._serve("GET", path)

    async def post(self, **path: str) -> None:
        await self._serve("POST", path)

    async def put(self, **path: str) -> None:
        await self._serve("PUT", path)

    async def delete(self, **path: str) -> None:
        await self._serve("DELETE", path)

    async def patch(self, **path: str) -> None:
        await self._serve("PATCH", path)

    async def head(self, **path: str) -> None:
        await self._serve("HEAD", path)

    async def options(self, **path: str) -> None:
        await self._serve("OPTIONS", path)

    async def _serve(self, method: str, path: Mapping[str, str]) -> None:
        try:
            answer = await self._answer(method, path)
            if isinstance(answer, Text):
                self._finish(200, answer.content, answer.content_type)
            else:
                self._write(answer.status, answer.body, "application/json")
        except QsecError as error:
            self._problem(error)
        except Exception:  # noqa: BLE001 - a defect must answer as a refusal, and its text must not reach the client
            _log.exception("%s failed", self.exchange.operation)
            self._problem(QsecError("The request failed here.", remedy="The gateway's log says why."))

    async def _answer(self, method: str, path: Mapping[str, str]) -> Answer | Text:
        endpoint = self._endpoints.get(method)
        token = self._token()
        if endpoint is not None and (endpoint.access is Access.OPEN or self._is_scraper(endpoint, token)):
            asker: Caller | Operator | None = None
        else:
            asker = await self._authenticate(method, token)
            self.exchange.principal = asker.principal.id
            self.exchange.tenant = asker.tenant.id if isinstance(asker, Caller) else ""
        if not self._endpoints:
            raise NotFoundError("There is no such resource.")
        if endpoint is None:
            self.set_header("Allow", ", ".join(sorted(self._endpoints)))
            raise MethodNotAllowedError(f"{method} is not offered here.")
        await self._check_access(endpoint, asker)
        if len(self.request.body) > MAX_BODY:
            raise TooLargeError("The body is larger than 1 MB.")
        body = body_fields(self.request.body) if method != "GET" else body_fields(b"")
        query = query_fields(self.request.query_arguments)
        return await endpoint.handle(Call(self._gateway, asker, path, query, body, token))

    def _token(self) -> str:
        """The bearer token; botocore sends the lease token without a scheme."""
        header = str(self.request.headers.get("Authorization", ""))
        scheme, _, rest = header.partition(" ")
        token = rest.strip() if scheme.lower() == "bearer" else header
        return token if _TOKEN.match(token) else ""

    def _is_scraper(self, endpoint: Endpoint, token: str) -> bool:
        """Whether this is the monitoring system, which holds a token of its own for one endpoint."""
        if endpoint.access is not Access.METRICS or not self._metrics_token:
            return False
        return hmac.compare_digest(token.encode(), self._metrics_token.encode())

    async def _authenticate(self, method: str, token: str) -> Caller | Operator:
        source = self.request.remote_ip or ""
        try:
            if token and hmac.compare_digest(token.encode(), self._control_token.encode()):
                return Operator(self._gateway.operator, source)
            if not token:
                raise UnauthenticatedError("This call needs a bearer token.")
            if self._gateway.identities is not None and not is_of_lease(token):
                identity = await self._gateway.identities.identify(token)
                if method not in _READING and not identity.may_write:
                    raise DeniedError("This token may only read.", reasons=("hub-scope",))
                return Operator(identity.principal, source, identity.tenant, identity.project)
            lease = await self._gateway.leasing.lease_of_token(token)
            return await self._gateway.leasing.caller(
                lease.id,
                user_agent=str(self.request.headers.get("User-Agent", "")),
                source=source,
                request_id=self.exchange.id,
            )
        except QsecError as error:
            await self._rejected(error)
            raise

    async def _check_access(self, endpoint: Endpoint, asker: Caller | Operator | None) -> None:
        operator = isinstance(asker, Operator)
        if (endpoint.access is Access.OPERATOR and not operator) or (
            endpoint.access is Access.METRICS and isinstance(asker, Caller)
        ):
            message = "This call needs the control token; a lease token is not enough."
        elif endpoint.access is Access.LEASE_ONLY and operator:
            message = "Credentials are given to holders of a lease only."
        else:
            return
        error = _Forbidden(message)
        await self._rejected(error, asker)
        raise error

    async def _rejected(self, error: QsecError, asker: Caller | Operator | None = None) -> None:
        await self._gateway.recorder.rejected(
            "control",
            self.request.remote_ip or "",
            error.code,
            error.message,
            principal=asker.principal.id if asker else "",
            tenant=asker.tenant.id if isinstance(asker, Caller) else "",
            subject=f"{self.request.method} {self.request.path}",
            request_id=self.exchange.id,
        )

    def _problem(self, error: QsecError) -> None:
        self.exchange.code = error.code
        status = STATUS.get(error.code, 500)
        if status == HTTPStatus.UNAUTHORIZED:
            self.set_header("WWW-Authenticate", 'Bearer realm="jupyter-qsec"')
        body = problem(error, status)
        self._write(status, body, "application/problem+json")

    def _write(self, status: int, body: Mapping[str, Any], content_type: str) -> None:
        self._finish(status, json.dumps(body, separators=(",", ":")), content_type)

    def _finish(self, status: int, content: str | bytes, content_type: str) -> None:
        self.set_status(status)
        self.set_header("Content-Type", content_type)
        self.finish(content)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """What tornado itself refuses (an argument that is not UTF-8, a malformed query)."""
        _, error, _ = kwargs.get("exc_info", (None, None, None))
        detail = error.reason if isinstance(error, HTTPError) and error.reason else ""
        failure = InvalidRequestError if status_code < HTTPStatus.INTERNAL_SERVER_ERROR else QsecError
        self.exchange.code = failure.code
        self._write(
            status_code, problem(failure(detail or "The request failed."), status_code), "application/problem+json"
        )

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Tornado would log the request with its query; refusals are on record already."""
        if not isinstance(value, HTTPError):
            _log.error("%s failed", self.exchange.operation, exc_info=(typ, value, tb))


class _Forbidden(QsecError):
    code = "denied"


def problem(error: QsecError, status: int) -> dict[str, Any]:
    """Problem details (RFC 9457) with the domain's code and remedy."""
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": error.message,
        "code": error.code,
        "remedy": error.remedy,
    }


__all__: Sequence[str] = ["ENDPOINTS", "STATUS", "ControlHandler", "problem", "routes"]

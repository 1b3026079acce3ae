"""The HTTP server: routes, hosts, sizes, and bodies that are read only for those who may send one."""

from __future__ import annotations

import json
import logging
import ssl
from collections.abc import Collection, Sequence
from typing import Any
from urllib.parse import quote

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPServerRequest
from tornado.web import Application, HTTPError, RequestHandler, stream_request_body

from jupyter_qsec.domain.errors import QsecError, UnavailableError
from jupyter_qsec.gateway.braket import BraketService
from jupyter_qsec.gateway.connections import AttendedHandler, BoundedServer, Connections, most_connections
from jupyter_qsec.gateway.denied import PREFIX as DENIED_PREFIX
from jupyter_qsec.gateway.denied import DeniedDoor
from jupyter_qsec.gateway.frontdoor import Arrival, FrontDoor, Gateway
from jupyter_qsec.gateway.s3 import S3Service
from jupyter_qsec.gateway.sts import StsService
from jupyter_qsec.gateway.wire import WireResponse

MAX_HEADER_BYTES = 32 << 10
MAX_BODY_BYTES = 65 << 20
"""What is read from a connection at most; each front door sets a smaller bound of its own."""
MAX_SMALL_BODY_BYTES = 2 << 20
"""For every route but the front doors."""
BODY_SECONDS = 120.0
IDLE_SECONDS = 300.0
_NO_BROWSERS = ("/aws/", "/credentials")

_access_log = logging.getLogger("jupyter_qsec.gateway.access")
_log = logging.getLogger(__name__)


def make_app(gateway: Gateway, control_routes: Sequence[Any], authorities: Collection[str]) -> GatewayApplication:
    """All routes of a gateway. `authorities` are the hosts with ports that clients may address it by."""
    services = (BraketService(gateway), S3Service(gateway), StsService())
    doors = [
        (service.prefix + r"(?:/.*)?\Z", FrontDoorHandler, {"door": FrontDoor(gateway, service)})
        for service in services
    ]
    denied = (DENIED_PREFIX + r"(?:/.*)?\Z", DeniedHandler, {"door": DeniedDoor(gateway)})
    return GatewayApplication(gateway, [*doors, denied, *control_routes], authorities)


def make_server(app: GatewayApplication, tls: ssl.SSLContext | None = None) -> HTTPServer:
    """A server with bounds on headers, bodies and time. tornado sets TCP_NODELAY when it finishes an answer."""
    logging.getLogger("tornado.general").addFilter(_discreet)
    server = BoundedServer(
        app,
        ssl_options=tls,
        no_keep_alive=False,
        xheaders=False,
        max_header_size=MAX_HEADER_BYTES,
        max_body_size=MAX_BODY_BYTES,
        max_buffer_size=MAX_BODY_BYTES + MAX_HEADER_BYTES,
        body_timeout=BODY_SECONDS,
        idle_connection_timeout=IDLE_SECONDS,
    )
    server.connections = app.connections
    return server


def _discreet(record: logging.LogRecord) -> bool:
    """tornado quotes malformed headers, and a malformed header may be the one with the token."""
    return not str(record.msg).startswith("Malformed HTTP message")


class GatewayApplication(Application):
    """Refuses foreign hosts and browsers before any handler is chosen."""

    def __init__(self, gateway: Gateway, routes: Sequence[Any], authorities: Collection[str]) -> None:
        super().__init__(list(routes), default_handler_class=NotFoundHandler, log_function=_log_access)
        self._gateway = gateway
        self._authorities = frozenset(authorities)
        self.connections = Connections(most_connections())

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> Any:
        """A page in a browser can make its own name point here (DNS rebinding), but then it sends that name."""
        if not (request.path or "").startswith("/aws/"):
            request.connection.set_max_body_size(MAX_SMALL_BODY_BYTES)  # type: ignore[union-attr]  # set by the server
        refusal = self._refusal(request)
        if refusal is not None:
            arguments = {"gateway": self._gateway, "code": refusal[0], "detail": refusal[1]}
            return self.get_handler_delegate(request, RefusedHandler, arguments)
        return super().find_handler(request, **kwargs)

    def _refusal(self, request: HTTPServerRequest) -> tuple[str, str] | None:
        if request.host.lower() not in self._authorities:
            return "host-refused", "The Host header does not name this gateway."
        if "Origin" in request.headers and (request.path or "").startswith(_NO_BROWSERS):
            return "origin-refused", "Requests from web pages are not accepted here."
        return None


class _Handler(AttendedHandler):
    """What all handlers of this module share."""

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")

    def compute_etag(self) -> str | None:
        return None

    def check_etag_header(self) -> bool:
        return False

    def check_xsrf_cookie(self) -> None:
        """No cookie authenticates here, so there is nothing that another site could ride on."""

    def arrival(self) -> Arrival:
        request = self.request
        return Arrival(
            request.method or "", request.uri or "", tuple(request.headers.get_all()), request.remote_ip or ""
        )

    def send(self, response: WireResponse) -> None:
        self.set_status(response.status)
        self.clear_header("Content-Type")
        if response.content_type:
            self.set_header("Content-Type", response.content_type)
        for name, value in response.headers.items():
            self.set_header(name, value)
        self.finish(response.body or None)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps({"message": "The request failed.", "status": status_code}))

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """tornado would log the request with its query and headers."""
        if not isinstance(value, HTTPError):
            _log.error("%s %s failed", self.request.method, self.request.path, exc_info=(typ, value, tb))


@stream_request_body
class FrontDoorHandler(_Handler):
    """Serves one AWS service. A refusal is decided on the head; the body of a refused request is read and dropped, so
    that the client gets the answer rather than a broken connection."""

    def initialize(self, door: FrontDoor) -> None:
        self._door = door
        self._chunks: list[bytes] = []
        self._problem: QsecError | None = None

    async def prepare(self) -> None:
        try:
            arrival = self.arrival()
            self._door.admit(arrival)
            if not self.attend(int(arrival.header("content-length") or 0)):
                raise UnavailableError("The gateway receives as much as it can hold at the moment. Try again.")
        except QsecError as error:
            self._problem = error
            # A client that asked whether to send its body learns now; so does one with more than would ever be read.
            length = self.request.headers.get("Content-Length", "0")
            number = length.isascii() and length.isdigit()
            if "Expect" in self.request.headers or not number or int(length[:12]) > MAX_BODY_BYTES:
                await self._serve()

    def data_received(self, chunk: bytes) -> None:
        if self._problem is None:
            self._chunks.append(chunk)

    async def _serve(self) -> None:
        arrival = self.arrival()
        if self._problem is not None:
            self.send(await self._door.refuse(arrival, self._problem))
        else:
            self.send(await self._door.serve(arrival, b"".join(self._chunks)))

    get = head = post = put = delete = patch = options = _serve


class _BodylessHandler(_Handler):
    """Answers whatever was sent: anybody may send it, so nothing of a body is kept."""

    def data_received(self, chunk: bytes) -> None:
        """Read, so that the client gets the answer rather than a broken connection, and dropped."""

    async def _serve(self, *_: str, **__: str) -> None:
        raise NotImplementedError

    async def get(self, *_: str, **__: str) -> None:
        await self._serve()

    head = post = put = delete = patch = options = get


@stream_request_body
class DeniedHandler(_BodylessHandler):
    """Serves the route of all services that are not offered."""

    def initialize(self, door: DeniedDoor) -> None:
        self._door = door

    async def _serve(self, *_: str, **__: str) -> None:
        self.send(await self._door.serve(self.arrival()))


@stream_request_body
class RefusedHandler(_BodylessHandler):
    """Answers what was sent to another host or by a web page, and has it recorded."""

    def initialize(self, gateway: Gateway, code: str, detail: str) -> None:
        self._gateway = gateway
        self._code = code
        self._detail = detail

    async def _serve(self, *_: str, **__: str) -> None:
        source = self.request.remote_ip or ""
        about = quote(self.request.headers.get("Origin", self.request.host)[:100], safe=":/.-")
        await self._gateway.recorder.rejected("host", source, self._code, self._detail, subject=about)
        self.set_status(403)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps({"code": self._code, "message": self._detail}))


@stream_request_body
class NotFoundHandler(_BodylessHandler):
    async def _serve(self, *_: str, **__: str) -> None:
        self.set_status(404)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps({"code": "not-found", "message": "There is nothing here."}))


def _log_access(handler: RequestHandler) -> None:
    """Method, path and status; never the query, which may carry names, nor anything of the body."""
    request = handler.request
    milliseconds = 1000.0 * request.request_time()
    _access_log.debug("%s %s %d %.1f ms", request.method, request.path, handler.get_status(), milliseconds)

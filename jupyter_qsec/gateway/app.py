"""The HTTP server: routes, hosts, sizes, and bodies that are read only for those who may send one."""

from __future__ import annotations

import json
import logging
import ssl
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import quote

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPServerRequest
from tornado.iostream import IOStream
from tornado.web import Application, HTTPError, RequestHandler, stream_request_body

from jupyter_qsec.adapters.metering import Metrics
from jupyter_qsec.domain.errors import QsecError, UnavailableError
from jupyter_qsec.gateway.braket import CREATE_TASK, BraketService
from jupyter_qsec.gateway.connections import AttendedHandler, BoundedServer, Connections, most_connections
from jupyter_qsec.gateway.denied import PREFIX as DENIED_PREFIX
from jupyter_qsec.gateway.denied import DeniedDoor
from jupyter_qsec.gateway.exchange import Exchange, begin
from jupyter_qsec.gateway.frontdoor import Arrival, FrontDoor, Gateway
from jupyter_qsec.gateway.replaymemory import Memory
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
_WATCHED = ("/health", "/metrics")
"""Also under the address that the connection came to: who watches each of several gateways has no name for one."""

_access_log = logging.getLogger("jupyter_qsec.gateway.access")
_log = logging.getLogger(__name__)


class MeteredGateway(Gateway, Protocol):
    """A gateway whose requests are counted."""

    @property
    def metrics(self) -> Metrics: ...


def make_app(
    gateway: MeteredGateway, control_routes: Sequence[Any], authorities: Collection[str], proxied: str = ""
) -> GatewayApplication:
    """All routes of a gateway. `authorities` are the hosts with ports that clients may address it by; what lies below
    the path `proxied` comes through the hub's proxy, under the hub's name."""
    services = (BraketService(gateway), S3Service(gateway), StsService())
    doors = [FrontDoor(gateway, service) for service in services]
    fronts = [(door.service.prefix + r"(?:/.*)?\Z", FrontDoorHandler, {"door": door}) for door in doors]
    denied = (DENIED_PREFIX + r"(?:/.*)?\Z", DeniedHandler, {"door": DeniedDoor(gateway)})
    return GatewayApplication(gateway, doors, [*fronts, denied, *control_routes], authorities, proxied)


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

    def __init__(
        self,
        gateway: MeteredGateway,
        doors: Sequence[FrontDoor],
        routes: Sequence[Any],
        authorities: Collection[str],
        proxied: str = "",
    ) -> None:
        super().__init__(list(routes), default_handler_class=NotFoundHandler)
        self._gateway = gateway
        self._authorities = frozenset(authorities)
        self._proxied = proxied
        self.connections = Connections(most_connections())
        self._doors = doors

    def recall(self, memories: Mapping[str, Memory]) -> None:
        """Take up what the front doors saw of signatures before the gateway was started again."""
        for door in self._doors:
            door.recall(memories)

    def seal(self) -> dict[str, Memory]:
        """Let the front doors take nothing more; what they saw of signatures, for the next start."""
        sealed = {door.service.name: door.seal() for door in self._doors}
        return {name: memory for name, memory in sealed.items() if memory is not None}

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> Any:
        """A page in a browser can make its own name point here (DNS rebinding), but then it sends that name."""
        if not (request.path or "").startswith("/aws/"):
            request.connection.set_max_body_size(MAX_SMALL_BODY_BYTES)  # type: ignore[union-attr]  # set by the server
        refusal = self._refusal(request)
        if refusal is not None:
            arguments = {"gateway": self._gateway, "code": refusal[0], "detail": refusal[1]}
            return self.get_handler_delegate(request, RefusedHandler, arguments)
        return super().find_handler(request, **kwargs)

    def log_request(self, handler: RequestHandler) -> None:
        """Called by tornado once for each request, when its answer is complete."""
        if isinstance(handler, AttendedHandler):
            seconds = max(0.0, handler.request.request_time())
            self._count(handler.exchange, handler.get_status(), seconds)
            if _access_log.isEnabledFor(logging.INFO):
                _log_access(handler, seconds)
            handler.exchange.ended = True

    def _count(self, exchange: Exchange, status: int, seconds: float) -> None:
        metrics = self._gateway.metrics
        metrics.answered(exchange.door, exchange.operation, status, seconds)
        if exchange.code:
            metrics.refused(exchange.door, exchange.code)
            if exchange.operation == CREATE_TASK and exchange.tenant:
                metrics.submission_refused(exchange.tenant, exchange.code)

    def _refusal(self, request: HTTPServerRequest) -> tuple[str, str] | None:
        path = request.path or ""
        named = request.host.lower() in self._authorities
        watched = path in _WATCHED and request.host == _own_address(request)
        # Sealed cookies and form tokens guard the dashboard: of a foreign name there are none.
        proxied = bool(self._proxied) and path.startswith(self._proxied)
        if not (named or watched or proxied):
            return "host-refused", "The Host header does not name this gateway."
        if "Origin" in request.headers and path.startswith(_NO_BROWSERS):
            return "origin-refused", "Requests from web pages are not accepted here."
        return None


def _own_address(request: HTTPServerRequest) -> str:
    """Where the connection came to, as a Host header says it. A page that makes its own name point here sends that
    name, never this."""
    stream: IOStream | None = getattr(request.connection, "stream", None)
    if stream is None or stream.socket is None:
        return ""
    address, port = stream.socket.getsockname()[:2]
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


class _Handler(AttendedHandler):
    """What all handlers of this module share."""

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("X-Request-Id", self.exchange.id)

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
        self.exchange.code = "invalid-request" if status_code < 500 else "internal"
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps({"message": "The request failed.", "status": status_code}))

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """tornado would log the request with its query and headers."""
        if not isinstance(value, HTTPError):
            _log.error("%s failed at %s", self.exchange.operation, self.exchange.door, exc_info=(typ, value, tb))


@stream_request_body
class FrontDoorHandler(_Handler):
    """Serves one AWS service. A refusal is decided on the head; the body of a refused request is read and dropped, so
    that the client gets the answer rather than a broken connection."""

    def initialize(self, door: FrontDoor) -> None:
        self._door = door
        self._chunks: list[bytes] = []
        self._problem: QsecError | None = None
        self.exchange.door, self.exchange.operation = door.service.name, door.operation(self.arrival())

    async def prepare(self) -> None:
        begin(self.exchange)
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

    def send(self, response: WireResponse) -> None:
        self.set_header(self._door.service.request_id_header, self.exchange.id)
        super().send(response)

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
        self.exchange.door = "denied"

    async def _serve(self, *_: str, **__: str) -> None:
        self.send(await self._door.serve(self.arrival()))


@stream_request_body
class RefusedHandler(_BodylessHandler):
    """Answers what was sent to another host or by a web page, and has it recorded."""

    def initialize(self, gateway: Gateway, code: str, detail: str) -> None:
        self._gateway = gateway
        self._code = code
        self._detail = detail
        self.exchange.door, self.exchange.code = "host", code

    async def _serve(self, *_: str, **__: str) -> None:
        source = self.request.remote_ip or ""
        about = quote(self.request.headers.get("Origin", self.request.host)[:100], safe=":/.-")
        await self._gateway.recorder.rejected(
            "host", source, self._code, self._detail, subject=about, request_id=self.exchange.id
        )
        self.set_status(403)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps({"code": self._code, "message": self._detail}))


@stream_request_body
class NotFoundHandler(_BodylessHandler):
    async def _serve(self, *_: str, **__: str) -> None:
        self.exchange.code = "not-found"
        self.set_status(404)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps({"code": "not-found", "message": "There is nothing here."}))


def _log_access(handler: AttendedHandler, seconds: float) -> None:
    """Who did what and how it went, in words of ours: no path, no query, no header, nothing of a body."""
    exchange, method = handler.exchange, handler.request.method
    fields = {
        "request_id": exchange.id,
        "method": method if method in RequestHandler.SUPPORTED_METHODS else "other",
        "door": exchange.door,
        "operation": exchange.operation,
        "status": handler.get_status(),
        "ms": round(1000 * seconds, 1),
        "bytes": handler.sent,
        "code": exchange.code,
        "principal": exchange.principal,
        "tenant": exchange.tenant,
    }
    _access_log.info(
        "%s %s %d",
        exchange.door,
        exchange.operation,
        handler.get_status(),
        extra={"fields": fields, "exchange": exchange},
    )

"""What clients may hold of a gateway at most: connections, and memory for bodies that are on their way."""

from __future__ import annotations

import asyncio
import logging
import resource
from contextlib import suppress
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.web import RequestHandler

from jupyter_qsec.gateway.exchange import Exchange, begin

MAX_CONNECTIONS = 2048
MAX_RECEIVING_BYTES = 256 << 20
SMALL_BODY_BYTES = 1 << 20
"""Bodies up to this size always have room: a submission is never kept waiting by uploads."""
_DESCRIPTORS = 8192

_log = logging.getLogger(__name__)


class Connections:
    """The open connections, those with a request that is being answered apart from the others.

    Anybody on the machine may connect. When all places are taken, the connection that has been without a request for
    the longest gives way: an honest client's pool opens another, and a flood only pushes itself out.
    """

    def __init__(self, most: int = MAX_CONNECTIONS, receiving: int = MAX_RECEIVING_BYTES) -> None:
        self.most = most
        self._room = receiving
        self._quiet: dict[IOStream, None] = {}  # the longest without a request first
        self._busy: dict[IOStream, int] = {}  # with the room that its body was given
        self._empty = asyncio.Event()

    def opened(self, stream: IOStream) -> bool:
        """Take a place for a new connection; `False` when all are taken by requests."""
        while len(self._quiet) + len(self._busy) >= self.most:
            if not self._quiet:
                return False
            oldest = next(iter(self._quiet))
            del self._quiet[oldest]
            oldest.close()
        self._quiet[stream] = None
        return True

    def busy(self, stream: IOStream, body: int = 0) -> bool:
        """A request begins; `False` when there is no room for its body."""
        room = body if body > SMALL_BODY_BYTES else 0
        if room > self._room:
            return False
        self._room -= room
        self._quiet.pop(stream, None)
        self._busy[stream] = room
        return True

    def quiet(self, stream: IOStream) -> None:
        """The request is answered."""
        if stream in self._busy:
            self._room += self._busy.pop(stream)
            self._quiet[stream] = None

    def closed(self, stream: IOStream) -> None:
        self._quiet.pop(stream, None)
        self._room += self._busy.pop(stream, 0)
        if not self._quiet and not self._busy:
            self._empty.set()

    def close_quiet(self) -> None:
        """Close the connections that have no request."""
        for stream in list(self._quiet):
            stream.close()

    async def emptied(self, seconds: float) -> None:
        """Return when no connection is open any more, at the latest after `seconds`."""
        if self._quiet or self._busy:
            self._empty.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), seconds)


class BoundedServer(HTTPServer):
    """An HTTP server that keeps to the bounds of `connections`."""

    connections: Connections

    def handle_stream(self, stream: IOStream, address: Any) -> None:
        if self.connections.opened(stream):
            super().handle_stream(stream, address)
        else:
            stream.close()

    def on_close(self, server_conn: Any) -> None:
        super().on_close(server_conn)
        self.connections.closed(server_conn.stream)


class AttendedHandler(RequestHandler):
    """A handler whose connection keeps its place while it answers, and whose request has an id."""

    _attended: IOStream | None = None
    _exchange: Exchange | None = None

    @property
    def exchange(self) -> Exchange:
        if self._exchange is None:
            self._exchange = Exchange()
        return self._exchange

    @property
    def sent(self) -> int:
        """Bytes of the answer's body."""
        length = self._headers.get("Content-Length", "")
        return int(length) if length.isdigit() and self.request.method != "HEAD" else 0

    def prepare(self) -> Any:
        begin(self.exchange)
        self.attend()

    def attend(self, body: int = 0) -> bool:
        """Keep the connection's place; `False` when there is no room for a body of that size."""
        connections: Connections | None = getattr(self.application, "connections", None)
        stream = getattr(self.request.connection, "stream", None)
        if connections is None or stream is None:
            return True
        self._attended = stream
        return connections.busy(stream, body)

    def on_finish(self) -> None:
        connections: Connections | None = getattr(self.application, "connections", None)
        if connections is not None and self._attended is not None:
            connections.quiet(self._attended)


def most_connections() -> int:
    """Ask the system for file descriptors enough, and keep some for files, workers and the database."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        except (ValueError, OSError):  # macOS has a lower bound of its own
            _log.warning("the limit of open files stays at %d", soft)
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else max(16, min(MAX_CONNECTIONS, soft // 2))

"""Answers on the gateway's port while no gateway can run, so that a kernel's call fails at once and says why.

Each answer has the shape of the protocol that was spoken there, with a status that no AWS SDK retries.
"""

from __future__ import annotations

import http.client
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ThreadingMixIn
from typing import Any
from xml.sax.saxutils import escape

_MAX_DISCARDED = 1 << 20
_SECONDS_PER_CONNECTION = 5.0


def refusal(path: str, reason: str, content_type: str = "") -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body for a request; `reason` is one sentence."""
    text = f"the qsec gateway is not running: {reason}"
    form = content_type.startswith("application/x-www-form-urlencoded")  # AWS's query protocols, which answer in XML
    if path.startswith("/aws/") and (form or path.startswith(("/aws/s3", "/aws/sts"))):
        error = f"<Error><Code>AccessDenied</Code><Message>{escape(text)}</Message></Error>"
        if not path.startswith("/aws/s3"):
            error = f"<Response><Errors>{error}</Errors></Response>"
        return 403, {"Content-Type": "application/xml"}, f'<?xml version="1.0" encoding="UTF-8"?>\n{error}'.encode()
    if path.startswith("/aws/"):
        headers = {"Content-Type": "application/json", "x-amzn-ErrorType": "AccessDeniedException"}
        return 403, headers, json.dumps({"message": text}).encode()
    problem = {
        "type": "about:blank",
        "title": "The gateway is not running",
        "status": 503,
        "detail": text,
        "code": "unavailable",
        "remedy": "See 'jupyter qsec doctor'.",
    }
    if path.startswith("/health"):
        problem["reason"] = reason
    return 503, {"Content-Type": "application/problem+json"}, json.dumps(problem).encode()


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _SECONDS_PER_CONNECTION
    server_version = "jupyter-qsec"
    sys_version = ""

    def _answer(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if length.isdecimal() and len(length) < 10:
            # Read what was sent, within bounds: a client that still writes would see a reset instead of the reason.
            self.rfile.read(min(int(length), _MAX_DISCARDED))
        status, headers, body = refusal(self.path, self.server.reason, self.headers.get("Content-Type", ""))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _answer

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: requests carry signatures and tokens."""


class _Server(ThreadingMixIn, HTTPServer):
    daemon_threads = True
    reason = ""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is its own affair."""


class Responder:
    """Serves refusals on a listening socket that somebody else owns."""

    def __init__(self, listener: socket.socket, reason: str) -> None:
        self._server = _Server(listener.getsockname(), _Handler, bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = listener.dup()
        self._server.reason = reason
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.2,), name="qsec-responder", daemon=True
        )
        self._thread.start()

    def explain(self, reason: str) -> None:
        """Give another reason from now on."""
        self._server.reason = reason

    def close(self) -> None:
        """Stop answering; the listening socket itself stays open with its owner."""
        self._server.shutdown()
        self._thread.join(5)
        self._server.server_close()


def responders_reason(port: int | None) -> str:
    """Why no gateway runs, as the responder on this port says; empty when something else, or nothing, answers."""
    if port is None:
        return ""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/health")
        value = json.loads(connection.getresponse().read(65_536))
    except (OSError, http.client.HTTPException, ValueError):
        return ""
    finally:
        connection.close()
    return str(value.get("reason") or "")[:1000] if isinstance(value, dict) else ""

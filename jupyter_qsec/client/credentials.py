"""Hands the credentials of a gateway elsewhere on to the kernels of this machine.

botocore fetches container credentials over plain http from loopback alone, and over https without any private
authority: so each server of a hub answers `/credentials` on loopback and asks its gateway over TLS.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ThreadingMixIn
from typing import Any

import httpx

from jupyter_qsec.client.endpoints import RemoteAddress
from jupyter_qsec.client.home import HOST
from jupyter_qsec.domain.certificates import certificate_problem

PATH = "/credentials"
_AT_ONCE = 32
_SECONDS = 10.0
_MAX_TOKEN = 1024
_MAX_ANSWER = 64 << 10


class CredentialListener:
    """Serves until `close`. Holds no token: each request brings the one of its lease."""

    def __init__(self, address: RemoteAddress) -> None:
        self._http = httpx.Client(
            base_url=address.url, verify=address.trust(), timeout=_SECONDS, trust_env=False, follow_redirects=False
        )
        self._server = _Server((HOST, 0), self._fetch)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.2,), name="qsec-credentials", daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._server.server_port}{PATH}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join(5)
        self._server.server_close()
        self._http.close()

    def _fetch(self, token: str) -> tuple[int, bytes]:
        """The gateway's answer, or a reason why there is none; never the token or an address."""
        try:
            with self._http.stream("GET", PATH, headers={"Authorization": token}) as answer:
                content = b""
                for chunk in answer.iter_bytes():
                    content += chunk
                    if len(content) > _MAX_ANSWER:
                        return _problem(502, "The gateway's answer is larger than credentials can be.")
                return answer.status_code, content
        except httpx.HTTPError as error:
            reason = certificate_problem(error) or type(error).__name__
            return _problem(503, f"The qsec gateway cannot be reached ({reason}).")


def _problem(status: int, text: str) -> tuple[int, bytes]:
    return status, json.dumps({"code": "unavailable", "message": text}).encode()


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _SECONDS
    server_version = "jupyter-qsec"
    sys_version = ""

    def do_GET(self) -> None:
        token = self.headers.get("Authorization", "")
        if self.path != PATH:
            self._answer(*_problem(404, "There is nothing here."))
        elif self.headers.get("Host", "").lower() not in self._names() or "Origin" in self.headers:
            # A page in a browser can make its own name point here, but then it sends that name.
            self._answer(*_problem(403, "Requests from web pages are not accepted here."))
        elif not token or len(token) > _MAX_TOKEN or not token.isascii() or not token.isprintable():
            self._answer(*_problem(401, "This call needs the token of a lease."))
        elif not self.server.slots.acquire(blocking=False):
            self._answer(*_problem(503, "Too many requests at once. Try again."))
        else:
            try:
                self._answer(*self.server.fetch(token))
            finally:
                self.server.slots.release()

    def _names(self) -> set[str]:
        return {f"{name}:{self.server.server_port}" for name in (HOST, "localhost")}

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: requests carry tokens."""


class _Server(ThreadingMixIn, HTTPServer):
    daemon_threads = True

    def __init__(self, where: tuple[str, int], fetch: Callable[[str], tuple[int, bytes]]) -> None:
        super().__init__(where, _Handler)
        self.fetch = fetch
        self.slots = threading.BoundedSemaphore(_AT_ONCE)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is its own affair."""

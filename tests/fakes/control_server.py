"""A stand-in for the gateway's control API: holds the lock of a state directory and answers from dictionaries."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from jupyter_qsec.client.home import QsecHome

Reply = tuple[int, Any]


class ControlServer:
    """Serves `routes`: `METHOD /path` (without query) to what it answers, or to a function of query and body."""

    def __init__(self, home: QsecHome) -> None:
        self.routes: dict[str, Reply | Callable[[str, Any], Reply]] = {"GET /health": (200, {"status": "ok"})}
        self.asked: list[str] = []
        home.ensure()
        self._token = home.control_token()
        self._lock = os.open(home.gateway_lock, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = json.loads(self.rfile.read(length)) if length else None
                status, value = outer._reply(self.command, self.path, self.headers.get("Authorization", ""), body)
                content = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_GET

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        about = {"version": 1, "pid": os.getpid(), "port": self.port, "instance": "ab", "started_at": None}
        home.gateway_file.touch(0o600)
        home.gateway_file.write_text(json.dumps(about))
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def _reply(self, method: str, target: str, authorization: str, body: Any) -> Reply:
        path, _, query = target.partition("?")
        self.asked.append(f"{method} {target}")
        if authorization != f"Bearer {self._token}":
            return 401, {"code": "unauthenticated", "detail": "This call needs a token."}
        found = self.routes.get(f"{method} {path}")
        if found is None:
            return 404, {"code": "not-found", "detail": f"There is no {path}."}
        return found(query, body) if callable(found) else found

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        os.close(self._lock)

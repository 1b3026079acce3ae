"""A TLS server with a good or a bad certificate, that notes all it was sent: what must not be told to it."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from jupyter_qsec.gateway.certificates import AUTHORITY, AUTHORITY_KEY, make_certificates

BAD = {"expired": "its certificate has expired", "other-name": "its certificate is for another name"}
"""Kinds of certificates of a known authority that nobody may accept, and what is said of them."""
_TLS_RECORD = b"\x16"


def certificates_of_one_authority(folder: Path) -> Path:
    """Certificates of one authority for `localhost`: `good`, `expired`, and `other-name`, in folders of these names."""
    make_certificates(folder / "good", ["localhost"])
    for kind in BAD:
        (folder / kind).mkdir(mode=0o700)
        for name in (AUTHORITY, AUTHORITY_KEY):
            shutil.copy(folder / "good" / name, folder / kind)
    make_certificates(folder / "expired", ["localhost"], now=datetime.now(UTC) - timedelta(days=400))
    make_certificates(folder / "other-name", ["elsewhere.example.org"])
    return folder


class TlsServer:
    """Answers as told, whoever asks and however."""

    def __init__(self, folder: Path) -> None:
        """`folder` has the certificate."""
        self.answer: tuple[int, bytes] = (200, b"{}")
        self.asked: list[tuple[str, str | None]] = []
        self.in_the_clear: list[bytes] = []
        """What came without TLS."""
        self.refused = 0
        """How many have ended the handshake."""
        outer = self
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "gateway.pem", folder / "gateway.key")

        class Handler(BaseHTTPRequestHandler):
            def _any(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.asked.append((self.path, self.headers.get("Authorization")))
                status, body = outer.answer
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = _any

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def finish_request(self, request: Any, client_address: Any) -> None:
                request.settimeout(10)
                first = request.recv(4096, socket.MSG_PEEK)
                if not first.startswith(_TLS_RECORD):
                    outer.in_the_clear += [first] if first else []
                    super().finish_request(request, client_address)
                    return
                try:
                    secured = context.wrap_socket(request, server_side=True)
                except OSError:
                    outer.refused += 1
                    return
                with secured:
                    super().finish_request(secured, client_address)

            def handle_error(self, *_: object) -> None:
                """Clients that went away."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"https://localhost:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    @property
    def was_told(self) -> list[Any]:
        """All that anybody sent to it but handshakes."""
        return [*self.asked, *self.in_the_clear]

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join(5)
        self.server.server_close()


@contextmanager
def serving(folder: Path, answer: Any = None) -> Iterator[TlsServer]:
    """With the certificate in a folder, and what it answers as JSON."""
    server = TlsServer(folder)
    server.answer = (200, json.dumps(answer or {}).encode())
    try:
        yield server
    finally:
        server.close()

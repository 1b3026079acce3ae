"""A stand-in for the gateway as a process: speaks the contract of `docs/interfaces.md` (lock, gateway.json, ready line,
parent pipe, exit codes) and answers each request with its process id. Run as a script."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import socket
import sys
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def command(home: Path, listener: int, parent: int, options: Sequence[str]) -> list[str]:
    """For `GatewaySupervisor(command=…)`."""
    return [sys.executable, __file__, "--home", str(home), "--fd", str(listener), "--parent-fd", str(parent), *options]


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"status": "ok", "pid": os.getpid()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--parent-fd", type=int, required=True)
    parser.add_argument("--exit", type=int)
    parser.add_argument("--mute", action="store_true")
    options = parser.parse_args()
    failing = options.home / "fail-next"
    if options.exit is not None or failing.exists():
        sys.stderr.write("first line\nfake: the disk is full\n")
        sys.exit(options.exit if options.exit is not None else int(failing.read_text()))
    lock = os.open(options.home / "gateway.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        sys.exit(3)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = socket.socket(fileno=options.fd)
    if options.mute:
        threading.Event().wait()
    draft = options.home / ".gateway.json"
    draft.touch(0o600)
    port = server.socket.getsockname()[1]
    draft.write_text(json.dumps({"version": 1, "pid": os.getpid(), "port": port, "instance": "f", "started_at": None}))
    draft.replace(options.home / "gateway.json")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(json.dumps({"event": "ready", "port": port}) + "\n")
    sys.stdout.flush()
    os.read(options.parent_fd, 1)


if __name__ == "__main__":
    main()

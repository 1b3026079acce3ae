"""A real gateway process with one lease, and the environment that a kernel under that lease has."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_qsec.client.endpoints import Endpoints
from jupyter_qsec.kernels.environment import kernel_environment

READY_SECONDS = 60.0


@dataclass
class Stack:
    """A running gateway and how to reach it."""

    port: int
    home: Path
    folder: Path
    """Holds the state directory and the token files."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def control(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """A call to the control API as the operating-system account."""
        request = urllib.request.Request(  # noqa: S310  # the gateway's own loopback address
            f"{self.url}/api/v1{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {(self.home / 'control.token').read_text().strip()}",
                "Content-Type": "application/json",
            },
        )
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            document: dict[str, Any] = json.loads(answer.read())
        return document

    def credentials(self, token: str) -> dict[str, Any]:
        """The synthetic AWS credentials of the lease with that token."""
        request = urllib.request.Request(f"{self.url}/credentials", headers={"Authorization": token})  # noqa: S310  # as above
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            document: dict[str, Any] = json.loads(answer.read())
        return document

    def lease(self, **ask: Any) -> tuple[dict[str, Any], Path]:
        """A new lease and the file with its token."""
        answer = self.control("POST", "/leases", {"label": "measurement", **ask})
        token_file = self.folder / f"{answer['lease']['id']}.token"
        token_file.touch(mode=0o600)
        token_file.write_text(answer["token"])
        return answer["lease"], token_file

    def environment(self, token_file: Path) -> dict[str, str]:
        """The variables of `docs/interfaces.md`, for a process that works under the lease."""
        return kernel_environment({}, endpoints=Endpoints.on_loopback(self.url), token_file=token_file)


UNLIMITED = """
[[tenant]]
id = "sandbox"
name = "Sandbox"
account = "100000000001"
purpose = "tutorial"
environment = "sandbox"
max_running = 16
[[tenant.project]]
id = "bench"
name = "Measurements"
"""


@contextlib.contextmanager
def within(variables: Mapping[str, str]) -> Iterator[None]:
    """This process with these variables, and afterwards as it was: the next benchmark has an environment of its own."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def running(*, workers: int = 0, tenants: str = "", port: int | None = None) -> Iterator[Stack]:
    """Start a gateway on a new state directory and end it afterwards."""
    with tempfile.TemporaryDirectory(prefix="qsec-stack-") as name:
        folder = Path(name)
        home = folder / "home"
        home.mkdir(mode=0o700)
        if tenants:
            (home / "tenants.toml").touch(mode=0o600)
            (home / "tenants.toml").write_text(tenants)
        process = start(home, workers=workers, port=port)
        try:
            yield Stack(ready_port(process), home, folder)
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()


def start(home: Path, *, workers: int = 0, port: int | None = None) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "jupyter_qsec.gateway", "serve", "--home", str(home), "--keystore", "file"]
    command += ["--workers", str(workers)] if workers else []
    command += ["--port", str(port)] if port is not None else []
    return subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)


def ready_port(process: subprocess.Popen[bytes]) -> int:
    """The port of a gateway that was started with its standard output in a pipe, once it serves."""
    assert process.stdout is not None
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        readable, _, _ = select.select([process.stdout], [], [], 0.2)
        if readable:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"the gateway ended with code {process.wait()}")
            return int(json.loads(line)["port"])
    raise RuntimeError("the gateway was not ready in time")

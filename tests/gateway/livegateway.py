"""A real gateway for tests: in this process on a loop of its own thread, or as a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx
from tornado.httpserver import HTTPServer

from jupyter_qsec.bootstrap import Gateway, GatewayConfig, build
from jupyter_qsec.client.endpoints import Endpoints
from jupyter_qsec.domain.task import QuantumTask
from jupyter_qsec.gateway import control
from jupyter_qsec.gateway.app import make_app, make_server
from jupyter_qsec.gateway.listening import Place, listen
from jupyter_qsec.kernels.environment import kernel_environment
from tests.fakes.world import request_of

T = TypeVar("T")
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Loopback is plain HTTP; an empty context spares each client the reading of all certificates."""
CONTROL_TOKEN = "control-token-of-this-test-0123456789"
METRICS_TOKEN = "metrics-token-of-this-test-9876543210"
DEVICE = "arn:aws:braket:::device/quantum-simulator/amazon/sv1"


@dataclass
class Issued:
    """A lease as the control API gave it."""

    lease: dict[str, Any]
    token: str

    @property
    def id(self) -> str:
        return str(self.lease["id"])


class ControlAccess:
    """What both kinds of gateway offer a test. Needs `url` and `control_token`."""

    url: str
    control_token: str

    def client(self, token: str | None = None) -> httpx.Client:
        """A client with the control token, another token, or none (an empty text)."""
        token = self.control_token if token is None else token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=30, verify=_NO_TLS)

    def get(self, path: str, token: str | None = None) -> httpx.Response:
        with self.client(token) as client:
            return client.get(path)

    def post(self, path: str, body: Any = None, token: str | None = None) -> httpx.Response:
        with self.client(token) as client:
            return client.post(path, json={} if body is None else body)

    def lease(self, **fields: Any) -> Issued:
        answer = self.post("/api/v1/leases", fields)
        assert answer.status_code == 201, answer.text
        return Issued(**answer.json())

    def environment(self, token_file: Path) -> dict[str, str]:
        """The environment of a kernel under this gateway (docs/interfaces.md)."""
        return kernel_environment({}, endpoints=Endpoints.on_loopback(self.url), token_file=token_file)


class LiveGateway(ControlAccess):
    """The real gateway, all parts real, in this process. `gateway` is what `bootstrap` built; `call` runs a coroutine
    on its loop."""

    control_token = CONTROL_TOKEN
    gateway: Gateway

    def __init__(self, home: Path, **config: Any) -> None:
        self.home = home
        home.mkdir(mode=0o700, exist_ok=True)
        settings: dict[str, Any] = {"keystore": "file", "workers": 1, **config}
        self._config = GatewayConfig(home=home, **settings)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="gateway", daemon=True)
        self._server: HTTPServer | None = None
        self.port = 0

    @property
    def url(self) -> str:  # type: ignore[override]  # known only once it listens
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Self:
        self._thread.start()
        self.call(self._start())
        return self

    async def _start(self) -> None:
        self.gateway = await build(self._config)
        await self.gateway.start()
        listening = listen(Place())
        self.port = listening.port
        routes = control.routes(self.gateway, self.control_token, METRICS_TOKEN)
        self._server = make_server(make_app(self.gateway, routes, listening.authorities))
        self._server.add_sockets([listening.socket])

    def pause(self, tenant: str) -> None:
        """None of the tenant's tasks starts from now on."""
        self.call(self.gateway.pausing.pause(self.gateway.operator, tenant, "in a test"))

    async def _stop(self) -> None:
        if self._server is not None:
            self._server.stop()
            await self._server.close_all_connections()
        if hasattr(self, "gateway"):
            await self.gateway.close()

    def stop(self) -> None:
        try:
            self.call(self._stop())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            self._loop.close()

    def call(self, coroutine: Coroutine[Any, Any, T], timeout: float = 60) -> T:
        future: Future[T] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        return future.result(timeout)

    def events(self) -> list[dict[str, Any]]:
        """The audit log's events, in order."""
        records = self.call(self.gateway.store.audit_records(0, 10_000))
        return [json.loads(record.leaf) for record in records]


@dataclass
class GatewayProcess(ControlAccess):
    """`python -m jupyter_qsec.gateway serve`."""

    home: Path
    arguments: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    pass_fds: tuple[int, ...] = ()
    port: int = 0

    def start(self) -> Self:
        """Start it and wait until it serves; `AssertionError` with what it said when it does not."""
        self.launch()
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait(10)
            raise AssertionError(f"the gateway ended with {code}: {self.errors()}")
        ready = json.loads(line)
        assert ready["event"] == "ready"
        self.port = ready["port"]
        return self

    def launch(self) -> Self:
        """Start it without waiting."""
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "jupyter_qsec.gateway", "serve", "--home", str(self.home)),
                *("--keystore", "file", "--workers", "1"),
                *self.arguments,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=dict(self.environ),
            pass_fds=self.pass_fds,
        )
        return self

    @property
    def url(self) -> str:  # type: ignore[override]  # known only once it listens
        return f"http://127.0.0.1:{self.port}"

    @property
    def control_token(self) -> str:  # type: ignore[override]  # made by the gateway
        return (self.home / "control.token").read_text()

    def errors(self) -> str:
        """Everything it wrote to standard error; only after it has ended."""
        assert self.process.stderr is not None
        return self.process.stderr.read()

    def kill(self) -> None:
        """As the kernel's OOM killer would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.terminate()
        return self.process.wait(20)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


def submit_bell(gateway: LiveGateway, lease: Issued, **changes: Any) -> QuantumTask:
    """Submit a Bell task through the use case, as a signed CreateQuantumTask does."""

    async def submit() -> QuantumTask:
        caller = await gateway.gateway.leasing.caller(lease.id)
        return await gateway.gateway.submissions.submit(caller, request_of(caller, **changes))

    return gateway.call(submit())


def run_bell(gateway: LiveGateway, lease: Issued, **changes: Any) -> QuantumTask:
    """Submit a Bell task and wait until it has ended."""
    task = submit_bell(gateway, lease, **changes)

    async def ended() -> QuantumTask:
        caller = await gateway.gateway.leasing.caller(lease.id)
        return await gateway.gateway.tasks.get(caller, task.id, wait=60)

    return gateway.call(ended())

"""Starts real kernels the way Jupyter does and talks to them as a client."""

from __future__ import annotations

import os
import queue
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from jupyter_qsec.kernels.observer import KernelFinding, KernelReport

_SECONDS = 30.0


@dataclass
class CellResult:
    """What one execution gave."""

    reply: dict[str, Any]
    messages: list[dict[str, Any]] = field(default_factory=list)

    @property
    def status(self) -> str:
        return str(self.reply["status"])

    @property
    def text(self) -> str:
        """All stream text."""
        return "".join(m["content"]["text"] for m in self.messages if m["msg_type"] == "stream")

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["msg_type"] == kind]

    def __contains__(self, text: str) -> bool:
        """Whether a text occurs anywhere in what came, buffers included."""
        return text in repr(self.reply) + repr(self.messages)


class RecordingObserver:
    """Implements `KernelObserver`."""

    def __init__(self) -> None:
        self.reports: dict[str, KernelReport] = {}
        self.found: list[KernelFinding] = []
        self.ended: list[str] = []
        self.without_relay: list[str] = []

    def kernel_started(self, kernel_id: str, report: KernelReport) -> None:
        self.reports[kernel_id] = report

    def findings(self, kernel_id: str, findings: list[KernelFinding]) -> None:
        self.found += findings

    def relay_ended(self, kernel_id: str) -> None:
        self.without_relay.append(kernel_id)

    def kernel_ended(self, kernel_id: str) -> None:
        self.ended.append(kernel_id)


class Kernel:
    """One kernel, its manager and one client."""

    def __init__(self, name: str = "python3", *, cwd: str | None = None, **options: Any) -> None:
        self.manager = KernelManager(kernel_name=name, **options)
        environment = dict(os.environ)
        environment["JPY_SESSION_NAME"] = "notebooks/first-task.ipynb"
        environment.pop("PYTEST_CURRENT_TEST", None)  # under it ipykernel does not watch its file descriptors
        self.manager.start_kernel(env=environment, cwd=cwd or os.environ["HOME"])
        self.client = self.connect()

    @property
    def id(self) -> str:
        return str(self.manager.kernel_id)

    @property
    def pid(self) -> int:
        return int(self.manager.provisioner.pid)  # type: ignore[union-attr]  # a started kernel has a provisioner

    @property
    def provisioner(self) -> Any:
        return self.manager.provisioner

    def connect(self) -> BlockingKernelClient:
        client: BlockingKernelClient = self.manager.client()
        client.session.session = uuid.uuid4().hex  # two clients of one name would take each other's replies
        client.start_channels()
        client.wait_for_ready(timeout=60)
        return client

    def reconnect(self) -> None:
        self.client.stop_channels()
        self.client = self.connect()

    def run(self, code: str, *, client: BlockingKernelClient | None = None, **options: Any) -> CellResult:
        """Execute and collect everything up to idle and the reply."""
        client = client or self.client
        return self.collect(client.execute(code, **options), client=client)

    def send(self, code: str, *, cell_id: str = "") -> str:
        """Execute as a notebook does, with the cell's id; gives the message id."""
        message = self.client.session.msg(
            "execute_request",
            {
                "code": code,
                "silent": False,
                "store_history": True,
                "user_expressions": {},
                "allow_stdin": False,
                "stop_on_error": True,
            },
            metadata={"cellId": cell_id} if cell_id else {},
        )
        self.client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def request(self, kind: str, content: dict[str, Any], *, channel: str = "shell") -> CellResult:
        """Send any request and collect what comes of it."""
        message = self.client.session.msg(kind, content)
        getattr(self.client, f"{channel}_channel").send(message)
        return self.collect(message["header"]["msg_id"], channel=channel)

    def collect(
        self,
        request: str,
        *,
        client: BlockingKernelClient | None = None,
        channel: str = "shell",
        seconds: float = _SECONDS,
    ) -> CellResult:
        client = client or self.client
        deadline = time.monotonic() + seconds
        messages = []
        while True:
            message = client.get_iopub_msg(timeout=max(0.01, deadline - time.monotonic()))
            if message["parent_header"].get("msg_id") != request:
                continue
            messages.append(message)
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                break
        get = getattr(client, f"get_{channel}_msg")
        while True:
            reply = get(timeout=max(0.01, deadline - time.monotonic()))
            if reply["parent_header"].get("msg_id") == request:
                return CellResult(reply["content"], messages)

    def later(self, condition: Callable[[dict[str, Any]], bool], seconds: float = _SECONDS) -> dict[str, Any]:
        """The first published message from now on that fits."""
        deadline = time.monotonic() + seconds
        while True:
            message: dict[str, Any] = self.client.get_iopub_msg(timeout=max(0.01, deadline - time.monotonic()))
            if condition(message):
                return message

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def drain(client: BlockingKernelClient) -> None:
    """Forget what was published so far."""
    while True:
        try:
            client.get_iopub_msg(timeout=0.05)
        except queue.Empty:
            return

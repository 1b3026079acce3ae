"""Starts `jupyter server` with the extension as a person would, and talks to it over REST and kernel messages."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import httpx
import nbformat
from jupyter_client.blocking.client import BlockingKernelClient

from tests.fakes.waiting import wait_for

_START_SECONDS = 60.0


@dataclass
class CellResult:
    """What one execution gave to a client."""

    status: str
    text: str = ""
    """Everything printed, shown or raised, joined."""
    messages: list[dict[str, Any]] = field(default_factory=list)

    def cell(self, source: str) -> dict[str, Any]:
        """The cell as Lab saves it, with what came of it."""
        kinds = ("stream", "error", "execute_result", "display_data")
        outputs = [nbformat.v4.output_from_msg(found) for found in self.messages if found["msg_type"] in kinds]
        return dict(nbformat.v4.new_code_cell(source, outputs=outputs))


class RealServer:
    """One server process below one home directory."""

    # Not credentials of anything: the id and secret of AWS's documentation, with their middles changed.
    PLANTED_ID: ClassVar[str] = "AKIAPLANTEDQSEC00001"
    PLANTED_SECRET: ClassVar[str] = "pLaNtEdRoOt/K7MDENG+bPxRfiCYqsecPLANTED0"
    PLANTED_HUB_TOKEN: ClassVar[str] = "feedc0dedeadbeeffeedc0dedeadbeef"

    def __init__(
        self, home: Path, *options: str, environment: dict[str, str] | None = None, protected: bool = True
    ) -> None:
        """`protected=False` starts the same server without the extension: what the controls are measured against."""
        self.protected = protected
        self.home = home
        self.root = home / "notebooks"
        self.root.mkdir(parents=True, exist_ok=True)
        self.qsec_home = home / "qsec"
        self.runtime = home / "runtime"
        self.options = options
        self.log = home.parent / "server.log"
        self.environment = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "JUPYTER_QSEC_HOME": str(self.qsec_home),
            "JUPYTER_RUNTIME_DIR": str(self.runtime),
            "AWS_ACCESS_KEY_ID": self.PLANTED_ID,
            "AWS_SECRET_ACCESS_KEY": self.PLANTED_SECRET,
            "JUPYTERHUB_API_TOKEN": self.PLANTED_HUB_TOKEN,
            **(environment or {}),
        }
        self.process: subprocess.Popen[bytes] | None = None
        self._clients: list[BlockingKernelClient] = []

    # -- the process
    def start(self) -> None:
        self._plant()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                env=self.environment,
                cwd=self.root,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        info = wait_for(self._server_info, f"the server (its log: {self.log})", _START_SECONDS)
        self.token = info["token"]
        self.http = httpx.Client(
            base_url=info["url"], headers={"Authorization": f"token {self.token}"}, timeout=60, trust_env=False
        )
        wait_for(self._answers, "the server's REST", _START_SECONDS)

    def command(self) -> list[str]:
        return [
            sys.executable,
            "-m",
            "jupyter_server",
            "--no-browser",
            "--ServerApp.port=0",
            "--ServerApp.ip=127.0.0.1",
            f"--ServerApp.root_dir={self.root}",
            "--ServerApp.allow_root=True",
            f"--ServerApp.jpserver_extensions=jupyter_qsec={self.protected}",
            *self.options,
        ]

    def _plant(self) -> None:
        """Put the root credential where people have it."""
        folder = self.home / ".aws"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "credentials").write_text(
            f"[default]\naws_access_key_id = {self.PLANTED_ID}\naws_secret_access_key = {self.PLANTED_SECRET}\n"
        )

    def _server_info(self) -> Any:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended: {self.log.read_text()[-4000:]}")
        for path in self.runtime.glob("jpserver-*.json"):
            try:
                return json.loads(path.read_text())
            except ValueError:
                return None
        return None

    def _answers(self) -> bool:
        try:
            return self.http.get("api/status").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        for client in self._clients:
            client.stop_channels()
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(10)
        self.http.close()

    # -- the extension
    def qsec(self, path: str) -> Any:
        answer = self.http.get(f"jupyter-qsec/{path}")
        answer.raise_for_status()
        return answer.json()

    def wait_for_gateway(self) -> Any:
        """The status once the gateway runs."""

        def running() -> Any:
            status = self.qsec("status")
            return status if status["gateway"]["state"] == "running" else None

        return wait_for(running, "a running gateway", 60)

    # -- notebooks and kernels
    def save_notebook(self, name: str, cells: list[dict[str, Any]]) -> httpx.Response:
        content = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        return self.http.put(f"api/contents/{name}", json={"type": "notebook", "content": content})

    def start_session(self, path: str = "work.ipynb", kernel: str = "python3") -> str:
        """A session as Lab makes it; the kernel's id."""
        answer = self.http.post(
            "api/sessions", json={"path": path, "name": path, "type": "notebook", "kernel": {"name": kernel}}
        )
        answer.raise_for_status()
        return str(answer.json()["kernel"]["id"])

    def client(self, kernel_id: str) -> BlockingKernelClient:
        """A client on the channels that every client of this kernel uses."""
        client = BlockingKernelClient(connection_file=str(self.runtime / f"kernel-{kernel_id}.json"))
        client.load_connection_file()
        client.start_channels(hb=False)  # a heartbeat of one second is too strict for a loaded machine
        client.wait_for_ready(timeout=60)
        self._clients.append(client)
        return client

    @staticmethod
    def run(client: BlockingKernelClient, code: str, timeout: float = 90.0) -> CellResult:
        """Execute one cell and collect what a client sees until the kernel is idle again."""
        message_id = client.execute(code)
        reply = client._recv_reply(message_id, timeout=timeout)
        result = CellResult(reply["content"]["status"])
        parts: list[str] = []
        while True:
            try:
                message = client.get_iopub_msg(timeout=20)
            except queue.Empty as error:
                raise AssertionError(f"no idle after the reply to {code[:60]!r}") from error
            if message["parent_header"].get("msg_id") != message_id:
                continue
            result.messages.append(message)
            content, kind = message["content"], message["msg_type"]
            if kind == "stream":
                parts.append(content["text"])
            elif kind == "error":
                parts.append("\n".join(content["traceback"]))
            elif kind in ("execute_result", "display_data"):
                parts.append(str(content["data"].get("text/plain", "")))
            elif kind == "status" and content["execution_state"] == "idle":
                break
        result.text = "".join(parts)
        return result

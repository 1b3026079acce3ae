"""Binder: the steps of repo2docker in a clean place, then the first notebook through the server that they give.

Fetching and unpacking the dependencies takes minutes, so that here they come from the environment that runs the tests:
what `binder/requirements.txt` names, in its versions, and nothing else, with the simulators' compiled kernels. The
sidebar's packages come from this clone's cache. All else is real: a clone, a fresh virtual environment, an empty home,
`postBuild` and `start`. With `make binder` pip fetches everything.
"""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from tests.e2e.binderimage import BinderImage
from tests.e2e.realserver import RealServer

pytestmark = [pytest.mark.kernel, pytest.mark.xdist_group("binder"), pytest.mark.timeout(1200)]

NOTEBOOK = "examples/01-first-task.ipynb"
FETCH = os.environ.get("QSEC_TEST_BINDER") == "fetch"


class BinderServer(RealServer):
    """JupyterLab as Binder starts it: in the clone, through `binder/start`, with arguments of Binder's own."""

    def __init__(self, image: BinderImage) -> None:
        super().__init__(image.home)
        self.root.rmdir()
        self.root = image.clone
        self.qsec_home = image.home / ".jupyter-qsec"
        self.runtime = image.home / ".local/share/jupyter/runtime"
        self.environment = image.variables

    def command(self) -> list[str]:
        options = ["--no-browser", "--ip", "127.0.0.1", "--port", "0", "--IdentityProvider.token", uuid.uuid4().hex]
        return [
            str(self.root / "binder/start"),
            "jupyter",
            "lab",
            *options,
            "--allow-root",
            "--LabApp.base_url=/user/x/",
        ]

    def _plant(self) -> None:
        """Nothing: the home is empty."""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> BinderImage:
    image = BinderImage.at(tmp_path_factory.mktemp("binder"))
    image.check_out()
    if FETCH:
        image.install()
    else:
        image.install_from_here()
        image.compiled_kernels()
        image.fetched_packages_of_the_sidebar()
    image.post_build(fetch=FETCH)
    return image


@pytest.fixture(scope="module")
def server(image: BinderImage) -> Iterator[BinderServer]:
    server = BinderServer(image)
    server.start()
    try:
        yield server
    finally:
        server.stop()
    assert server.process is not None
    assert server.process.returncode == 0, "the signal to what Binder started ended the server in order"


@pytest.fixture(scope="module")
def executed(server: BinderServer) -> dict[str, list[dict[str, Any]]]:
    """Each code cell of the notebook and what the server sent for it."""
    server.wait_for_gateway()
    kernel_id = server.start_session(NOTEBOOK)
    cells = server.http.get(f"api/contents/{NOTEBOOK}").raise_for_status().json()["content"]["cells"]
    code = {cell["id"]: cell["source"] for cell in cells if cell["cell_type"] == "code"}
    return asyncio.run(_execute(server, kernel_id, code))


async def _execute(server: BinderServer, kernel_id: str, code: dict[str, str]) -> dict[str, list[dict[str, Any]]]:
    """Run cells in turn on the kernel's websocket, as a notebook in a browser does."""
    address = str(server.http.base_url.join(f"api/kernels/{kernel_id}/channels")).replace("http", "ws", 1)
    socket = await websocket_connect(HTTPRequest(address, headers={"Authorization": f"token {server.token}"}))
    try:
        return {cell_id: await asyncio.wait_for(_cell(socket, source), 120) for cell_id, source in code.items()}
    finally:
        socket.close()


async def _cell(socket: Any, source: str) -> list[dict[str, Any]]:
    request = uuid.uuid4().hex
    header = {"msg_id": request, "msg_type": "execute_request", "session": "binder", "username": "", "version": "5.3"}
    content = {"code": source, "silent": False, "store_history": True, "allow_stdin": False, "stop_on_error": True}
    message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
    await socket.write_message(json.dumps(message))
    messages: list[dict[str, Any]] = []
    waiting = {"reply", "idle"}
    while waiting:
        text = await socket.read_message()
        assert text is not None, "the server closed the kernel's websocket"
        answer = json.loads(text)
        if answer["parent_header"].get("msg_id") == request:
            messages.append(answer)
            if answer["msg_type"] == "execute_reply":
                waiting.discard("reply")
            elif answer["content"].get("execution_state") == "idle":
                waiting.discard("idle")
    return messages


def shown(messages: list[dict[str, Any]], form: str) -> list[str]:
    """What was displayed in this form."""
    return [data[form] for message in messages if form in (data := message["content"].get("data", {}))]


def test_the_build_leaves_nothing_that_only_it_needed(image: BinderImage) -> None:
    assert [name for name in ("node_modules", ".yarn", "labextension/lib") if (image.clone / name).exists()] == []


def test_the_server_takes_the_place_of_start(server: BinderServer) -> None:
    assert server.process is not None
    assert [path.name for path in server.runtime.glob("jpserver-*.json")] == [f"jpserver-{server.process.pid}.json"]


def test_it_opens_the_first_notebook_with_the_sidebar(server: BinderServer) -> None:
    page = server.http.get("", follow_redirects=True).raise_for_status()
    assert page.url.path == f"/user/x/lab/tree/{NOTEBOOK}"
    config = json.loads(page.text.partition('id="jupyter-config-data"')[2].partition(">")[2].partition("</script>")[0])
    [sidebar] = [entry for entry in config["federated_extensions"] if entry["name"] == "jupyter_qsec"]
    assert server.http.get(f"lab/extensions/jupyter_qsec/{sidebar['load']}").status_code == 200
    assert config["news"] == {"disabled": True}


def test_the_notebook_runs(executed: dict[str, list[dict[str, Any]]]) -> None:
    replies = [
        message for messages in executed.values() for message in messages if message["msg_type"] == "execute_reply"
    ]
    assert [reply["content"]["status"] for reply in replies] == ["ok"] * len(executed)
    errors = [
        message["content"] for messages in executed.values() for message in messages if message["msg_type"] == "error"
    ]
    assert errors == []


def test_its_histograms_are_there(executed: dict[str, list[dict[str, Any]]]) -> None:
    assert shown(executed["plot"], "image/png")
    assert any("<svg" in html for html in shown(executed["ghz"], "text/html"))


def test_its_tasks_completed_in_the_sandbox(server: BinderServer, executed: dict[str, list[dict[str, Any]]]) -> None:
    assert executed
    tasks = server.qsec("tasks")["tasks"]
    assert [(task["tenant"], task["project"], task["state"]) for task in tasks] == [
        ("sandbox", "first-steps", "COMPLETED")
    ] * 2
    [kernel] = server.qsec("kernels")["kernels"]
    assert kernel["lease"]["tenant"] == "sandbox"


def test_its_state_lies_in_the_home(server: BinderServer, executed: dict[str, list[dict[str, Any]]]) -> None:
    assert executed
    assert server.qsec_home.is_dir()
    assert Path(server.qsec_home).stat().st_mode & 0o077 == 0

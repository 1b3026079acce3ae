"""The life of a leased kernel: start, restart, death in every form, end."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Awaitable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.ioloop.manager import AsyncIOLoopKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from traitlets.config import Config

from jupyter_qsec.domain.errors import UnavailableError
from jupyter_qsec.kernels.observer import KernelReport
from tests.fakes import echo_kernel
from tests.fakes.kernel_driver import Kernel
from tests.fakes.kernel_home import PLANTED_KEY_ID, PLANTED_SECRET, PRIVATE_KEY, SERVER_TOKEN
from tests.fakes.waiting import wait_for
from tests.server.conftest import KernelWorld

pytestmark = pytest.mark.kernel


def token_of(kernel: Kernel) -> str:
    return str(kernel.provisioner._session.folder.token_file.read_text())


def write_spec(world: KernelWorld, name: str, **content: Any) -> None:
    folder = Path(world.home.environment["JUPYTER_DATA_DIR"]) / "kernels" / name
    folder.mkdir(parents=True, exist_ok=True)
    ipykernel = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": ipykernel, "display_name": name, "language": "python"} | content
    (folder / "kernel.json").write_text(json.dumps(spec))


def test_no_credential_is_in_the_environment_and_the_lease_is(kernel: Kernel) -> None:
    kernel.run("import json, os")
    environment = json.loads(kernel.run("print(json.dumps(dict(os.environ)))").text.replace("[REDACTED", "REDACTED"))
    values = " ".join(environment.values())
    for secret in (PLANTED_KEY_ID, PLANTED_SECRET, SERVER_TOKEN):
        assert secret not in values
    assert environment["JUPYTER_QSEC_KERNEL"] == "1"
    assert environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"].endswith("/credentials")
    assert environment["TOKENIZERS_PARALLELISM"] == "false"
    digest = kernel.run(
        "import hashlib; p = os.environ['AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE']\n"
        "print(hashlib.sha256(open(p, 'rb').read()).hexdigest(), oct(os.stat(p).st_mode))"
    )
    import hashlib

    assert digest.text == f"{hashlib.sha256(token_of(kernel).encode()).hexdigest()} 0o100600\n"


def test_neither_key_nor_token_is_on_a_command_line(kernel: Kernel) -> None:
    session = kernel.provisioner._session
    secrets = (token_of(kernel).encode(), kernel.provisioner._kernel_endpoint.key, kernel.manager.session.key)
    for pid in (kernel.pid, session.relay.pid):
        command = Path(f"/proc/{pid}/cmdline").read_bytes() if sys.platform == "linux" else b""
        assert not [secret for secret in secrets if secret in command]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_relay_is_not_dumpable(kernel: Kernel) -> None:
    status = Path(f"/proc/{kernel.provisioner._session.relay.pid}/environ").stat()
    assert (status.st_uid, os.getuid()) == (0, os.getuid())  # the kernel gives the files of such a process to root
    if os.getuid() != 0:
        with pytest.raises(PermissionError):
            Path(f"/proc/{kernel.provisioner._session.relay.pid}/environ").read_bytes()
    limits = Path(f"/proc/{kernel.provisioner._session.relay.pid}/limits").read_text()
    assert next(line.split()[4:6] for line in limits.splitlines() if line.startswith("Max core")) == ["0", "0"]


def test_a_kernelspec_cannot_bring_a_secret_in_under_another_name(kernel_world: KernelWorld) -> None:
    write_spec(
        kernel_world,
        "smuggler",
        env={"INNOCENT": "${AWS_SECRET_ACCESS_KEY}", "LANG": "x-${JUPYTER_TOKEN}"},
        metadata={"kernel_provisioner": {"provisioner_name": "local-provisioner", "config": {}}},
    )
    kernel = kernel_world.start("smuggler")
    text = kernel.run("import os; print([v[::-1] for v in os.environ.values()])").text
    assert PLANTED_SECRET[::-1] not in text
    assert SERVER_TOKEN[::-1] not in text


def test_the_magics_are_there(kernel: Kernel) -> None:
    assert kernel.run("print('qsubmit' in get_ipython().magics_manager.magics['cell'])").text == "True\n"


def test_a_restart_keeps_the_lease_and_renews_everything_else(kernel_world: KernelWorld) -> None:
    kernel = kernel_world.start()
    session = kernel.provisioner._session
    lease, key, relay = session.held.lease["id"], kernel.provisioner._kernel_endpoint.key, session.relay.pid
    kernel.run("x = 1")
    kernel.manager.restart_kernel()
    kernel.reconnect()
    assert kernel.run("print('x' in globals())").text == "False\n"
    assert kernel.run("print('AKIA' + 'QSEC7PLANTED5Q2X')").text == "[REDACTED:aws-access-key]\n"
    assert session.held.lease["id"] == lease
    assert session.held.active
    assert kernel.provisioner._kernel_endpoint.key != key
    assert session.relay.pid != relay
    assert not Path(f"/proc/{relay}").exists()


def test_a_restart_after_a_revocation_brings_a_new_lease(kernel_world: KernelWorld) -> None:
    kernel = kernel_world.start()
    held = kernel.provisioner._session.held
    before = held.lease["id"]
    held.revoke("by hand")
    kernel.manager.restart_kernel(now=True)
    kernel.reconnect()
    assert held.active
    assert held.lease["id"] != before


def test_interrupting_reaches_the_kernel_and_its_children(kernel: Kernel) -> None:
    request = kernel.send("import subprocess, time\nprint('running', flush=True)\nsubprocess.run(['sleep', '60'])")
    kernel.later(lambda m: m["msg_type"] == "stream" and "running" in m["content"]["text"])
    kernel.manager.interrupt_kernel()
    result = kernel.collect(request)
    assert result.status == "error"
    assert result.reply["ename"] == "KeyboardInterrupt"
    assert kernel.run("print('alive')").text == "alive\n"


def test_the_end_revokes_the_lease_and_leaves_nothing(kernel_world: KernelWorld) -> None:
    kernel = Kernel()
    session = kernel.provisioner._session
    folder, relay, held = session.folder.path, session.relay.pid, session.held
    lease = held.lease["id"]
    kernel.close()
    wait_for(lambda: held.lease["state"] == "revoked", "the revocation")
    assert kernel_world.api.stored[lease].revoked_because == "the kernel ended"
    assert not folder.exists()
    assert not Path(f"/proc/{relay}").exists()
    assert kernel.id in kernel_world.seen.ended


def test_a_kernel_without_its_relay_counts_as_dead(kernel_world: KernelWorld) -> None:
    kernel = kernel_world.start()
    pid = kernel.pid
    os.kill(kernel.provisioner._session.relay.pid, signal.SIGKILL)
    wait_for(lambda: not kernel.manager.is_alive(), "the kernel to count as dead")
    assert kernel.id in kernel_world.seen.without_relay
    wait_for(lambda: not Path(f"/proc/{pid}/root").exists() or _zombie(pid), "the kernel's process to end")
    kernel.manager.restart_kernel(now=True)
    kernel.reconnect()
    assert kernel.run("print('again')").text == "again\n"


def _zombie(pid: int) -> bool:
    return ") Z " in Path(f"/proc/{pid}/stat").read_text()


async def test_a_killed_kernel_is_restarted_with_its_lease(kernel_world: KernelWorld) -> None:
    quickly = Config(AsyncIOLoopKernelRestarter={"time_to_dead": 0.2})
    manager = AsyncIOLoopKernelManager(kernel_name="python3", config=quickly)
    await manager.start_kernel(env=dict(os.environ))
    try:
        provisioner: Any = manager.provisioner
        held, pid = provisioner._session.held, provisioner.pid
        lease = held.lease["id"]
        before = kernel_world.seen.reports[manager.kernel_id]
        os.kill(pid, signal.SIGKILL)
        reports = kernel_world.seen.reports
        await asyncio.to_thread(wait_for, lambda: reports[manager.kernel_id] is not before, "the restart")
        ready = manager.ready
        assert isinstance(ready, asyncio.Future)
        await asyncio.wait_for(ready, 20)
        assert provisioner.pid != pid
        assert held.lease["id"] == lease
        assert held.active
    finally:
        await manager.shutdown_kernel(now=True)


def reported_anew(reports: dict[str, KernelReport], kernel_id: str, before: KernelReport) -> bool:
    return reports[kernel_id] is not before


class Watched(Kernel):
    """A kernel whose manager restarts it when it dies, as a server's does, on an event loop beside the test."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        quickly = Config(AsyncIOLoopKernelRestarter={"time_to_dead": 0.2})
        self.manager: Any = AsyncIOLoopKernelManager(kernel_name="python3", config=quickly)
        self._done(self.manager.start_kernel(env=dict(os.environ)))
        self.client = self.connect()

    def _done(self, work: Awaitable[Any]) -> None:
        async def done() -> None:
            await work

        asyncio.run_coroutine_threadsafe(done(), self._loop).result(60)

    def connect(self) -> BlockingKernelClient:
        client = BlockingKernelClient()
        client.load_connection_info(self.manager.get_connection_info())
        client.start_channels()
        client.wait_for_ready(timeout=60)
        return client

    def close(self) -> None:
        self.client.stop_channels()
        self._done(self.manager.shutdown_kernel(now=True))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def test_a_kernel_that_ends_itself_comes_back_with_its_lease_and_redacted(kernel_world: KernelWorld) -> None:
    """Twice, so that nothing is left of the first relay that the second restart would miss."""
    kernel = Watched()
    try:
        session, reports = kernel.provisioner._session, kernel_world.seen.reports
        lease = session.held.lease["id"]
        for _ in range(2):
            before, relay = reports[kernel.id], session.relay.pid
            kernel.send("x = 1\nimport os; os._exit(1)")
            wait_for(partial(reported_anew, reports, kernel.id, before), "the restart")
            kernel.reconnect()
            assert session.relay.pid != relay and session.held.active and session.held.lease["id"] == lease
            assert kernel.run(SHOW_ALL).text == f"False [REDACTED:aws-access-key]{' [REDACTED:lease-token]' * 3}\n"
        session.held.new()
        shown = kernel.run(SHOW_ALL).text
        assert shown.count("[REDACTED:lease-token]") == 3, "a lease that came after the restart is known as well"
    finally:
        kernel.close()


SHOW_ALL = """
import os
token = open(os.environ['AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE']).read()
print('x' in globals(), 'AKIA' + 'QSEC7PLANTED5Q2X', token, token[::-1], token.encode().hex())
"""


def test_a_kernel_that_its_manager_drops_gives_its_lease_back(kernel_world: KernelWorld) -> None:
    """After too many deaths a kernel is removed from the server's map, and nobody calls its provisioner again."""
    held, kernel_id = _killed_and_dropped()

    def gone() -> bool:
        gc.collect()
        return bool(held.lease["state"] == "revoked") and kernel_id in kernel_world.seen.ended

    wait_for(gone, "the lease of the dropped kernel to end")


def _killed_and_dropped() -> tuple[Any, str]:
    kernel = Kernel()
    os.kill(kernel.pid, signal.SIGKILL)
    wait_for(lambda: not kernel.manager.is_alive(), "the kernel's death")
    kernel.provisioner.process.wait()
    kernel.client.stop_channels()
    kernel.manager.context.destroy(linger=0)
    return kernel.provisioner._session.held, kernel.id


def test_without_a_gateway_a_kernel_starts_scrubbed_and_unleased(kernel_world: KernelWorld) -> None:
    kernel_world.api.failure = UnavailableError("Nothing answers on the gateway's port.")
    try:
        kernel = kernel_world.start()
        report = kernel_world.seen.reports[kernel.id]
        assert report.lease_problem == "Nothing answers on the gateway's port."
        assert report.held is not None
        assert report.held.lease is None
        text = kernel.run(
            "import os; print(os.path.getsize(os.environ['AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE']) > 20)"
        ).text
        assert text == "True\n"
    finally:
        kernel_world.api.failure = None
    kernel_world.keeper.nudge()
    wait_for(lambda: report.held is not None and report.held.active, "the lease to come when the gateway is back")


def test_a_missing_program_is_told_as_ever(kernel_world: KernelWorld) -> None:
    write_spec(kernel_world, "missing", argv=["/nonexistent/program", "{connection_file}"])
    with pytest.raises(FileNotFoundError, match="/nonexistent/program"):
        Kernel("missing")


def test_a_port_that_somebody_took_is_replaced(kernel_world: KernelWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        from jupyter_client.connect import LocalPortCache

        find = LocalPortCache.find_available_port
        answers = iter([port])
        monkeypatch.setattr(
            LocalPortCache, "find_available_port", lambda self, ip: next(answers, None) or find(self, ip)
        )
        kernel = kernel_world.start()
        assert kernel.manager.shell_port != port
        assert kernel.run("print('here')").text == "here\n"


def test_notebooks_are_executed_without_a_server(kernel_world: KernelWorld) -> None:
    """As nbconvert and nbclient do it, which choose the provisioner by an environment variable."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("print('AKIA' + 'QSEC7PLANTED5Q2X')")])
    NotebookClient(notebook, kernel_name="python3", timeout=60).execute(cwd=str(kernel_world.home.path))
    assert notebook.cells[0].outputs[0]["text"] == "[REDACTED:aws-access-key]\n"


# -- kernels that know nothing of IPython
@pytest.fixture(scope="module")
def echo(kernel_world: KernelWorld) -> Kernel:
    write_spec(
        kernel_world,
        "echo",
        argv=[sys.executable, echo_kernel.__file__, "-f", "{connection_file}"],
        language="echo",
    )
    return kernel_world.start("echo")


def test_another_language_runs_and_is_redacted(echo: Kernel) -> None:
    assert KernelSpecManager().get_kernel_spec("echo").language == "echo"
    assert echo.run("key: AKIAQSEC7PLANTED5Q2X\n").text == "key: [REDACTED:aws-access-key]\n"


def test_in_another_language_a_private_key_stops_the_cell_and_the_queue_behind_it(echo: Kernel) -> None:
    requests = [echo.send("sleep 0.3"), echo.send(f"x\n{PRIVATE_KEY}"), echo.send("third"), echo.send("fourth")]
    replies: dict[str, dict[str, Any]] = {}
    published: list[dict[str, Any]] = []
    while len(replies) < 4:
        reply = echo.client.get_shell_msg(timeout=20)
        replies[reply["parent_header"]["msg_id"]] = reply["content"]
    while len([m for m in published if m["content"].get("execution_state") == "idle"]) < 4:
        published.append(echo.client.get_iopub_msg(timeout=20))
    assert [replies[request]["status"] for request in requests] == ["ok", "error", "aborted", "aborted"]
    assert replies[requests[1]]["evalue"].startswith("line 2: private key")
    of_blocked = [m["msg_type"] for m in published if m["parent_header"].get("msg_id") == requests[1]]
    assert of_blocked == ["status", "error", "status"]
    text = "".join(m["content"]["text"] for m in published if m["msg_type"] == "stream")
    assert text == "sleep 0.3"
    wait_for(lambda: echo.run("later").text == "later", "the queue to go on")


def test_in_another_language_other_requests_are_answered(echo: Kernel) -> None:
    assert echo.request("kernel_info_request", {}).reply["status"] == "ok"
    assert echo.request("comm_info_request", {}).reply["status"] == "ok"

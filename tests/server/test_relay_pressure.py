"""More output than anybody reads, from a real kernel: nothing is lost, and nothing fills up."""

from __future__ import annotations

import os
import queue
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fakes.kernel_driver import Kernel, drain
from tests.fakes.waiting import wait_for
from tests.server.test_relay import KEY, MARK, SPLIT_KEY

pytestmark = pytest.mark.kernel

MANY = 20_000
"""More single messages than all bounds and buffers on the way hold."""
# Says when it runs, waits until it may write, says how far it is, and when it has written all.
FLOOD = """
import pathlib, sys, time
folder = pathlib.Path({folder!r})
(folder / "runs").touch()
while not (folder / "go").exists():
    time.sleep(0.01)
for n in range({many}):
    sys.stdout.write(f"{{n}}\\n")
    sys.stdout.flush()
    if n % 100 == 0:
        (folder / "written").write_text(str(n))
(folder / "written").write_text("all")
"""
ALL_OF_IT = "".join(f"{n}\n" for n in range(MANY))


@contextmanager
def standing_still(process: int) -> Iterator[None]:
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def begin_flood(kernel: Kernel, folder: Path) -> str:
    request = kernel.send(FLOOD.format(folder=str(folder), many=MANY))
    wait_for((folder / "runs").exists, "the cell to run")
    return request


def written(folder: Path) -> str:
    """How far the flood is once it stands still or has ended."""
    seen: list[str] = []

    def settled() -> bool:
        file = folder / "written"
        seen.append(file.read_text() if file.exists() else "")
        return seen[-1] == "all" or (len(seen) > 50 and bool(seen[-1]) and len(set(seen[-50:])) == 1)

    wait_for(settled, "the flood to end or stand still")
    return seen[-1]


def memory(process: int) -> int:
    """Resident megabytes."""
    status = Path(f"/proc/{process}/status").read_text("utf-8")
    return int(status.partition("VmRSS:")[2].split()[0]) >> 10


def test_a_kernel_waits_for_a_relay_that_falls_behind(kernel: Kernel, tmp_path: Path) -> None:
    request = begin_flood(kernel, tmp_path)
    with standing_still(kernel.provisioner._session.relay.pid):
        (tmp_path / "go").touch()
        assert written(tmp_path) != "all"
    assert kernel.collect(request, seconds=120).text == ALL_OF_IT


@pytest.mark.usefixtures("kernel_world")
def test_as_kernels_come_they_go_on_and_lose_the_same_output(tmp_path: Path) -> None:
    """Shows that the option of the publishing socket is what keeps the messages."""
    losing = Kernel()
    try:
        losing.run(
            "import zmq\nt = get_ipython().kernel.iopub_thread\nt.schedule(lambda: t.socket.set(zmq.XPUB_NODROP, 0))"
        )
        request = begin_flood(losing, tmp_path)
        with standing_still(losing.provisioner._session.relay.pid):
            (tmp_path / "go").touch()
            assert written(tmp_path) == "all"
        assert len(text_until_a_later_cell_ends(losing, request)) < len(ALL_OF_IT)
    finally:
        losing.close()


def text_until_a_later_cell_ends(kernel: Kernel, request: str) -> str:
    """The stream of a request whose own `idle` may be lost."""
    text = ""
    later = kernel.send("'later'")
    while True:
        try:
            message = kernel.client.get_iopub_msg(timeout=3)
        except queue.Empty:
            later = kernel.send("'later'")  # that one was dropped, too
            continue
        parent, kind = message["parent_header"].get("msg_id"), message["msg_type"]
        if parent == request and kind == "stream":
            text += message["content"]["text"]
        if parent == later and kind == "status" and message["content"]["execution_state"] == "idle":
            drain(kernel.client)
            return text


@pytest.mark.usefixtures("kernel_world")
def test_a_client_that_reads_late_loses_nothing_and_fills_no_memory(tmp_path: Path) -> None:
    kernel = Kernel()
    try:
        relay = kernel.provisioner._session.relay.pid
        before = memory(relay)
        request = begin_flood(kernel, tmp_path)
        (tmp_path / "go").touch()
        assert written(tmp_path) != "all"
        assert memory(relay) - before < 100
        assert kernel.collect(request, seconds=120).text == ALL_OF_IT
    finally:
        kernel.close()


def test_fifty_megabytes_arrive_without_the_key_in_their_midst(kernel: Kernel) -> None:
    result = kernel.run(
        "line = 'step 0123456789 loss 0.123 ' * 4 + '\\n'\n"
        "half = line * (25_000_000 // len(line))\n"
        f"print(half + {SPLIT_KEY} + '\\n' + half, end='')"
    )
    before, _, after = result.text.partition(f"{MARK}\n")
    assert before == after
    assert len(before) > 24_900_000
    assert KEY not in result.text


def test_a_client_that_comes_back_gets_what_is_published_from_then_on(kernel: Kernel, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    request = kernel.send(
        f"import pathlib, time\nprint('first', {SPLIT_KEY}, flush=True)\n"
        f"while not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.01)\nprint('second', {SPLIT_KEY})"
    )
    kernel.later(lambda m: m["msg_type"] == "stream")
    kernel.client.stop_channels()
    kernel.client = kernel.manager.client()
    kernel.client.start_channels()
    kernel.later(lambda m: m["msg_type"] == "iopub_welcome")
    gate.touch()
    second = kernel.later(lambda m: m["msg_type"] == "stream" and m["parent_header"]["msg_id"] == request)
    assert second["content"]["text"] == f"second {MARK}\n"
    kernel.reconnect()


def test_cells_in_a_subshell_run_beside_the_others_and_are_redacted(kernel: Kernel, tmp_path: Path) -> None:
    subshell = kernel.request("create_subshell_request", {}, channel="control").reply["subshell_id"]
    gate = tmp_path / "gate"
    kernel.send(f"import pathlib, time\nwhile not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.01)")
    message = kernel.client.session.msg(
        "execute_request", {"code": f"print({SPLIT_KEY}); open({str(gate)!r}, 'w').close()", "silent": False}
    )
    message["header"]["subshell_id"] = subshell
    kernel.client.shell_channel.send(message)
    assert kernel.collect(message["header"]["msg_id"]).text == f"{MARK}\n"
    kernel.request("delete_subshell_request", {"subshell_id": subshell}, channel="control")
    kernel.run("'after what waited'")

"""A hundred thousand tiny messages of several kinds from a real kernel: none is lost, none overtakes another, and the
relay's memory stays bounded whoever reads, and however late."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.fakes.kernel_driver import Kernel
from tests.server.conftest import KernelWorld
from tests.server.test_relay import MARK, SPLIT_KEY
from tests.server.test_relay_pressure import written

pytestmark = [pytest.mark.kernel, pytest.mark.long, pytest.mark.timeout(600)]

MANY = 100_000
IMPATIENT = "IOStream.flush timed out\n"
"""What ipykernel itself prints when it has waited for ten seconds; it loses nothing by it."""
MOST_MEGABYTES = 100
"""More than before the flood; what it says is several times that as messages."""
# Most are prints; every tenth is a display, and every seventh a print to the other stream. Some of them hold the key.
FLOOD = f"""
import pathlib, sys, time
from IPython.display import display
KEY = {SPLIT_KEY}
folder = pathlib.Path({{folder!r}})
while not (folder / "go").exists():
    time.sleep(0.01)
for n in range({MANY}):
    text = f"{{{{n}}}} {{{{KEY}}}}\\n" if n % 1000 == 999 else f"{{{{n}}}}\\n"
    if n % 10 == 5:
        display({{{{"text/plain": text}}}}, raw=True)
    else:
        stream = sys.stderr if n % 7 == 3 else sys.stdout
        stream.write(text)
        stream.flush()
    if n % 100 == 0:
        (folder / "written").write_text(str(n))
(folder / "written").write_text("all")
"""


def said(n: int) -> str:
    return f"{n} {MARK}\n" if n % 1000 == 999 else f"{n}\n"


EVERYTHING = [said(n) for n in range(MANY)]


@pytest.fixture
def flooding(kernel_world: KernelWorld, tmp_path: Path) -> Iterator[tuple[Kernel, str]]:
    """A kernel and the request of its cell, which writes once `go` is in the test's folder."""
    kernel = Kernel()
    try:
        yield kernel, kernel.send(FLOOD.format(folder=str(tmp_path)))
    finally:
        kernel.close()


def megabytes(process: int) -> int:
    return int(psutil.Process(process).memory_info().rss) >> 20


def test_nothing_is_lost_or_reordered_and_memory_is_bounded(flooding: tuple[Kernel, str], tmp_path: Path) -> None:
    kernel, request = flooding
    relay = kernel.provisioner._session.relay.pid
    before = megabytes(relay)
    (tmp_path / "go").touch()
    assert written(tmp_path) != "all", "a cell waits for those who read"
    most = megabytes(relay)
    lines: list[str] = []
    while True:
        message = kernel.client.get_iopub_msg(timeout=60)
        kind, content = message["msg_type"], message["content"]
        if message["parent_header"].get("msg_id") != request:
            continue
        if kind == "status" and content["execution_state"] == "idle":
            break
        if kind == "stream":
            lines += [line for line in content["text"].splitlines(keepends=True) if line != IMPATIENT]
        elif kind == "display_data":
            lines.append(content["data"]["text/plain"])
        if len(lines) % 500 == 0:
            most = max(most, megabytes(relay))
    assert lines == EVERYTHING, "as it was written, over both streams and the displays between them"
    assert most - before < MOST_MEGABYTES
    assert kernel.client.get_shell_msg(timeout=60)["content"]["status"] == "ok"

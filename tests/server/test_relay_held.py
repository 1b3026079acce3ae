"""What the relay holds of a text goes out before anything that a person would wait for, and at every kind of end."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from tests.fakes.kernel_driver import Kernel
from tests.server.conftest import KernelWorld

pytestmark = pytest.mark.kernel

BEGUN = "AKIA" + "QSEC7"
PRINT = f"print({BEGUN[:4]!r} + {BEGUN[4:]!r}, end='', flush=True)\n"


def until_shown(kernel: Kernel, wanted: str, seen: str = "") -> str:
    """What streams say from now on, until they have said this."""
    while not seen.endswith(wanted):
        message = kernel.later(lambda m: m["msg_type"] == "stream", 10)
        seen += message["content"]["text"]
    return seen


def test_before_a_question(kernel: Kernel) -> None:
    request = kernel.client.execute(PRINT + "answer = input()", allow_stdin=True)
    kernel.client.get_stdin_msg(timeout=20)
    assert until_shown(kernel, BEGUN) == BEGUN
    kernel.client.input("done")
    assert kernel.collect(request).status == "ok"


def test_at_an_interrupt(kernel: Kernel) -> None:
    request = kernel.send(PRINT + "import time; time.sleep(60)")
    shown = until_shown(kernel, BEGUN[:4])
    kernel.manager.interrupt_kernel()
    result = kernel.collect(request)
    assert shown + result.text == BEGUN and result.reply["ename"] == "KeyboardInterrupt"


def test_at_the_end_of_a_cell_and_not_before(kernel: Kernel) -> None:
    request = kernel.send(PRINT + "import time; time.sleep(0.5)\nprint('PLANTED5Q2X')")
    assert kernel.collect(request).text == BEGUN[:4] + "[REDACTED:aws-access-key]\n"
    assert kernel.run(PRINT).text == BEGUN


def test_when_the_kernel_dies(kernel_world: KernelWorld) -> None:
    kernel = kernel_world.start()
    kernel.send(PRINT + "import time; time.sleep(60)")
    shown = until_shown(kernel, BEGUN[:4])
    provisioner: Any = kernel.manager.provisioner
    provisioner.process.send_signal(signal.SIGKILL)
    kernel.manager.shutdown_kernel(now=True)
    assert until_shown(kernel, BEGUN, shown) == BEGUN

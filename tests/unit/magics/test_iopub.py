"""The bound of a kernel's publishing socket, with real sockets: also for a subscriber that comes late."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import zmq

from jupyter_qsec.magics.iopub import keep_every_message

MANY = 5_000


class Shell:
    """As much of IPython and its kernel as the extension uses; what is scheduled runs at once."""

    def __init__(self, socket: Any) -> None:
        self.kernel = SimpleNamespace(iopub_thread=SimpleNamespace(socket=socket, schedule=lambda call: call()))
        self.events = SimpleNamespace(register=self._register)
        self.before_cells: list[Callable[[], None]] = []

    def _register(self, name: str, call: Callable[[], None]) -> None:
        assert name == "pre_execute", "silent requests print, too"
        self.before_cells.append(call)

    def begin_a_cell(self) -> None:
        self.kernel.iopub_thread.socket.send(b"busy")
        for call in self.before_cells:
            call()


@pytest.fixture
def publisher() -> Iterator[Any]:
    with zmq.Context() as context, context.socket(zmq.PUB) as socket:
        socket.bind("inproc://iopub")
        yield socket


def arriving(publisher: Any, shell: Shell) -> int:
    """How many messages of one cell a subscriber gets that connects after the extension was loaded, and reads late."""
    with publisher.context.socket(zmq.SUB) as late:
        late.set(zmq.RCVHWM, 1)
        late.set(zmq.SUBSCRIBE, b"")
        late.connect("inproc://iopub")
        shell.begin_a_cell()
        for _ in range(MANY):
            publisher.send(b"x")
        count = 0
        while late.poll(50):
            count += late.recv() == b"x"
        return count


def test_a_subscriber_that_comes_late_loses_nothing(publisher: Any) -> None:
    shell = Shell(publisher)
    keep_every_message(shell)
    assert arriving(publisher, shell) == MANY


def test_with_the_bound_that_sockets_come_with_most_is_lost(publisher: Any) -> None:
    assert arriving(publisher, Shell(publisher)) < MANY // 2


def test_an_ipython_that_is_no_kernel_is_left_alone() -> None:
    keep_every_message(SimpleNamespace())

"""The publishing socket of a kernel, with real sockets."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import zmq

from jupyter_qsec.magics.iopub import keep_every_message

MANY = 5_000


@pytest.fixture
def publisher() -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context() as context, context.socket(zmq.PUB) as socket:
        socket.bind("inproc://iopub")
        yield socket


def arriving(publisher: zmq.Socket[bytes]) -> int:
    """How many messages arrive at a subscriber that reads only when no more can be published."""
    with publisher.context.socket(zmq.SUB) as late:
        late.set(zmq.SUBSCRIBE, b"")
        late.connect("inproc://iopub")
        sent = count = 0
        while sent < MANY:
            try:
                publisher.send(b"x", zmq.NOBLOCK)
                sent += 1
            except zmq.Again:
                count += read(late)
        return count + read(late)


def read(socket: Any) -> int:
    count = 0
    while socket.poll(0):
        count += socket.recv() == b"x"
    return count


def ipython_with(socket: Any) -> Any:
    """As much of IPython and its kernel as the extension uses; what is scheduled runs at once."""
    return SimpleNamespace(
        kernel=SimpleNamespace(iopub_thread=SimpleNamespace(socket=socket, schedule=lambda call: call()))
    )


def test_the_socket_waits_for_its_reader(publisher: zmq.Socket[bytes]) -> None:
    keep_every_message(ipython_with(publisher))
    assert arriving(publisher) == MANY


def test_as_kernels_come_it_drops_what_is_not_read(publisher: zmq.Socket[bytes]) -> None:
    assert arriving(publisher) < MANY // 2


def test_an_ipython_that_is_no_kernel_is_left_alone() -> None:
    keep_every_message(SimpleNamespace())

"""Clients that read fast, late or never, with real sockets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import zmq

from jupyter_qsec.kernels.relay.publishing import PATIENCE, Publisher
from tests.fakes.clock import FakeClock

BOUND = 5
MANY = 50


class Clients:
    """An XPUB socket and subscribers with a bound of `BOUND` messages on either side."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self.publisher = context.socket(zmq.XPUB)
        self.publisher.set(zmq.SNDHWM, BOUND)
        self.publisher.set(zmq.XPUB_VERBOSE, 1)
        self.publisher.bind("inproc://clients")
        self._context = context
        self.all: list[zmq.Socket[bytes]] = []

    def join(self) -> zmq.Socket[bytes]:
        client = self._context.socket(zmq.SUB)
        client.set(zmq.RCVHWM, BOUND)
        client.set(zmq.SUBSCRIBE, b"")
        client.connect("inproc://clients")
        assert self.publisher.recv() == b"\x01"
        self.all.append(client)
        return client

    def told(self, clock: FakeClock) -> Publisher:
        return Publisher(self.publisher, lambda: clock.now().timestamp())

    def close(self) -> None:
        for socket in (*self.all, self.publisher):
            socket.close(linger=0)


@pytest.fixture
def clients() -> Iterator[Clients]:
    with zmq.Context() as context:
        clients = Clients(context)
        try:
            yield clients
        finally:
            clients.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def read(client: zmq.Socket[bytes]) -> list[int]:
    got = []
    while client.poll(0):
        got.append(int(client.recv()))
    return got


def test_a_client_that_reads_late_gets_everything_in_order(clients: Clients, clock: FakeClock) -> None:
    late, publisher = clients.join(), clients.told(clock)
    for n in range(MANY):
        publisher.send([b"%d" % n])
    waits, got = publisher.waits, read(late)
    assert waits
    while publisher.waits:
        publisher.go_on()
        got += read(late)
    assert got == list(range(MANY))


def test_the_others_go_on_once_the_patience_with_a_client_is_over(clients: Clients, clock: FakeClock) -> None:
    stuck, other = clients.join(), clients.join()
    publisher = clients.told(clock)
    got = []
    for n in range(MANY):
        publisher.send([b"%d" % n])
        got += read(other)
    waits = publisher.waits
    assert waits
    clock.advance(seconds=PATIENCE)
    while publisher.waits:
        publisher.go_on()
        got += read(other)
    for n in range(MANY, 2 * MANY):
        publisher.send([b"%d" % n])
        assert not publisher.waits, "nobody waits for a client twice"
        got += read(other)
    assert got == list(range(2 * MANY))
    assert len(read(stuck)) < MANY


def test_patience_is_whole_again_for_a_client_that_has_read(clients: Clients, clock: FakeClock) -> None:
    slow, publisher = clients.join(), clients.told(clock)
    got = []
    for n in range(MANY):
        publisher.send([b"%d" % n])
    while publisher.waits:
        clock.advance(seconds=PATIENCE * 0.9)
        publisher.go_on()
        got += read(slow)
        publisher.go_on()
    assert got + read(slow) == list(range(MANY))


def test_without_clients_nothing_waits(clients: Clients, clock: FakeClock) -> None:
    publisher = clients.told(clock)
    for n in range(MANY):
        publisher.send([b"%d" % n])
    assert not publisher.waits


def test_at_the_end_nobody_is_waited_for(clients: Clients, clock: FakeClock) -> None:
    late = clients.join()
    publisher = clients.told(clock)
    for n in range(MANY):
        publisher.send([b"%d" % n])
    got = read(late)
    publisher.finish()
    assert not publisher.waits
    got += read(late)
    assert got == list(range(len(got))), "what there is room for comes in order"
    assert len(got) > 2 * BOUND

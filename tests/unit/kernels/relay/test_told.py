"""The relay hears what it is told before it looks at the next message: that may hold what was just told."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from jupyter_qsec.kernels.relay.assembly import assemble
from jupyter_qsec.kernels.relay.config import CHANNELS, Endpoint, RelayConfig, RelayUpdate
from jupyter_qsec.kernels.relay.sockets import Sockets
from jupyter_qsec.kernels.relay.switchboard import Switchboard
from jupyter_qsec.kernels.relay.wire import Signer, dump_object, new_header
from jupyter_qsec.scanning.policy import SourcePolicy

PORTS = {channel: n for n, channel in enumerate(CHANNELS, 1)}
SECRET = "horse-battery-staple-0001"


class Bench:
    """A switchboard between a kernel's publishing socket and a client's."""

    def __init__(self, folder: Path) -> None:
        client = Endpoint("ipc", str(folder / "c"), PORTS, b"client")
        kernel = Endpoint("ipc", str(folder / "k"), PORTS, b"kernel")
        self.context = zmq.Context()
        self.kernel = self.context.socket(zmq.XPUB)
        self.kernel.bind(kernel.url("iopub"))
        self.sockets = Sockets(client, kernel)
        self.client = self.context.socket(zmq.SUB)
        self.client.setsockopt(zmq.SUBSCRIBE, b"")
        self.client.connect(client.url("iopub"))
        assert self.kernel.poll(5000), "the relay has subscribed"
        assert self.sockets.client["iopub"].poll(5000), "so has the client"
        self.pipe, self.say = os.pipe()
        config = RelayConfig(client, kernel, "python", b"f" * 32, "")
        self.switchboard: Switchboard = assemble(config, self.sockets, lambda event: None)
        self._signer = Signer(b"kernel")

    def publish(self, text: str) -> None:
        content = dump_object({"data": {"text/plain": text}, "metadata": {}})
        header = dump_object(new_header("display_data", "s"))
        self.kernel.send_multipart(self._signer.seal([b"t"], header, b"{}", b"{}", content))

    def arrived(self) -> bool:
        """Whether what was published is at the relay."""
        return bool(self.sockets.kernel["iopub"].poll(10_000))

    def received(self, count: int) -> bytes:
        """The contents of so many displays, one behind the other."""
        displays: list[bytes] = []
        while len(displays) < count:
            assert self.client.poll(10_000)
            content = self.client.recv_multipart()[-1]
            displays += [content] if b'"text/plain"' in content else []
        return b"".join(displays)

    def close(self) -> None:
        self.sockets.close()
        self.context.destroy(linger=0)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()
    os.close(made.pipe)


def test_a_message_behind_the_one_at_work_is_looked_at_with_what_was_told_meanwhile(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = bench.switchboard._outgoing.handle
    handled: list[Any] = []

    def slow(envelope: Any, *, published: bool) -> Any:
        if not handled:  # while it is at the first message
            os.write(bench.say, RelayUpdate(SourcePolicy(), (), {SECRET: "aws-secret-key"}).to_line())
        handled.append(envelope)
        return handle(envelope, published=published)

    monkeypatch.setattr(bench.switchboard._outgoing, "handle", slow)
    bench.publish("at work")
    bench.publish(f"behind it {SECRET[::-1]}")
    os.set_blocking(bench.say, True)
    assert bench.arrived()
    bench.switchboard._control = bench.pipe
    bench.switchboard._said.register(bench.pipe)
    done = 0
    while done < 2:
        assert bench.arrived()
        bench.switchboard._turn({bench.sockets.kernel["iopub"]: zmq.POLLIN})
        done = len(handled)
    os.close(bench.say)
    shown = bench.received(2)
    assert b"at work" in shown and b"[REDACTED:aws-secret-key]" in shown
    assert SECRET[::-1].encode() not in shown


def test_what_came_with_the_configuration_counts_from_the_first_message_on(bench: Bench) -> None:
    bench.publish(f"early {SECRET[::-1]}")
    assert bench.arrived()
    os.close(bench.say)
    bench.switchboard.run(bench.pipe, RelayUpdate(SourcePolicy(), (), {SECRET: "aws-secret-key"}).to_line())
    shown = bench.received(1)
    assert b"early" in shown and SECRET[::-1].encode() not in shown

"""The loop that moves messages between the sockets of clients and kernel."""

from __future__ import annotations

import os
import select
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import partial

import zmq

from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.kernels.relay.config import RelayConfig, RelayUpdate
from jupyter_qsec.kernels.relay.hygiene import LiveToken
from jupyter_qsec.kernels.relay.incoming import Incoming, Step
from jupyter_qsec.kernels.relay.outgoing import Message, Outgoing
from jupyter_qsec.kernels.relay.publishing import RETRY, Publisher
from jupyter_qsec.kernels.relay.sockets import REQUEST_CHANNELS, Sockets, readable, receive, send
from jupyter_qsec.kernels.relay.wire import Json, Signer, WireError, dump_object, new_header

_BATCH = 128
_LAST_TURNS = 100
"""Enough for all that can wait; a kernel that is still running could go on for ever."""
_MAX_PINGS = 64
_MAX_PING = 1_024
_MAX_LINE = 4 << 20
_MAX_TOLD = 1 << 16


class Switchboard:
    """Moves messages until the control stream ends."""

    def __init__(
        self,
        config: RelayConfig,
        sockets: Sockets,
        outgoing: Outgoing,
        incoming: Incoming,
        token: LiveToken,
        follow: Callable[[RelayUpdate], None],
        note: Callable[[Json], None],
    ) -> None:
        self._sockets = sockets
        self._publisher = Publisher(sockets.client["iopub"])
        self._outgoing = outgoing
        self._incoming = incoming
        self._token = token
        self._follow = follow
        self._note = note
        self._client_signer = Signer(config.client.key, config.client.signature_scheme)
        self._kernel_signer = Signer(config.kernel.key, config.kernel.signature_scheme)
        self._pings: OrderedDict[tuple[bytes, ...], None] = OrderedDict()
        self._refused = 0
        self._line = b""
        self._control = -1
        self._said = select.poll()
        self._ended = False
        self._ways = self._in_order()

    def _in_order(self) -> list[tuple[zmq.Socket[bytes], Callable[[list[bytes]], None]]]:
        """Each socket with what becomes of its messages: what was published before replies, so that a cell's output is
        complete when its reply comes."""
        client, kernel = self._sockets.client, self._sockets.kernel
        return [
            (client["hb"], self._ping),
            (kernel["hb"], self._pong),
            (client["iopub"], self._subscribed),
            *((client[channel], partial(self._requested, channel)) for channel in REQUEST_CHANNELS),
            (kernel["iopub"], self._published),
            *((kernel[channel], partial(self._replied, channel)) for channel in REQUEST_CHANNELS),
        ]

    def run(self, control: int, told: bytes = b"") -> None:
        """Serve until `control`, a file descriptor, is at its end. `told` was read from it before."""
        self._control = control
        self._said.register(control, select.POLLIN)
        self._follow_lines(told)
        poller = zmq.Poller()
        for socket in (*self._sockets.client.values(), *self._sockets.kernel.values()):
            poller.register(socket, zmq.POLLIN)
        poller.register(control, zmq.POLLIN)
        published = self._sockets.kernel["iopub"]
        while True:
            waited = self._publisher.waits
            ready = dict(poller.poll(self._timeout()))
            self._listen()
            self._turn(ready)
            if waited != self._publisher.waits:
                # While a client falls behind, the kernel's output waits where the kernel notices.
                poller.register(published, zmq.POLLIN if waited else 0)
            if self._ended:
                break
        self._finish()

    def _listen(self) -> None:
        """Hear what the provisioner has said. To be called before each message: it may hold what was just told."""
        while not self._ended and self._said.poll(0):
            block = os.read(self._control, _MAX_TOLD)
            self._ended = not block
            self._follow_lines(block)

    def _follow_lines(self, block: bytes) -> None:
        *lines, self._line = (self._line + block).split(b"\n")
        for line in lines:
            try:
                self._follow(RelayUpdate.from_line(line))
            except InvalidRequestError as error:
                self._refuse(str(error))
        if len(self._line) > _MAX_LINE:
            self._line = b""

    def _timeout(self) -> int | None:
        if self._publisher.waits:
            return int(RETRY * 1000)
        deadline = self._outgoing.streams.deadline()
        return None if deadline is None else max(0, int((deadline - time.monotonic()) * 1000) + 1)

    def _turn(self, ready: dict[object, int]) -> None:
        self._token.refresh()
        self._publisher.go_on()
        for socket, take in self._ways:
            if socket in ready:
                self._drain(socket, take)
        for parts in self._outgoing.streams.due():
            self._to_client("iopub", (*parts, []))

    def _drain(self, socket: zmq.Socket[bytes], take: Callable[[list[bytes]], None]) -> None:
        for _ in range(_BATCH):
            try:
                frames = receive(socket)
            except zmq.Again:
                return
            self._listen()
            try:
                take(frames)
            except WireError as error:
                # Nobody on the other side could read it either; stock clients and kernels ignore such messages.
                self._refuse(str(error))
            except Exception as error:  # noqa: BLE001 - one message must not end the way for all others
                self._refuse(f"{type(error).__name__} while a message was handled.")
            if not readable(socket):
                return

    def _refuse(self, reason: str) -> None:
        self._refused += 1
        if self._refused <= 16:
            self._note({"event": "refused", "reason": reason})

    # -- kernel to clients
    def _published(self, frames: list[bytes]) -> None:
        envelope = self._kernel_signer.open(frames)
        if b'"iopub_welcome"' in envelope.header:
            return  # meant for us; each client gets its own
        if b'"execute_input"' in envelope.header:
            envelope = self._incoming.echoed(envelope)
        for message in self._outgoing.handle(envelope, published=True):
            self._to_client("iopub", message)

    def _replied(self, channel: str, frames: list[bytes]) -> None:
        envelope = self._kernel_signer.open(frames)
        if channel != "control" and not self._publisher.waits:
            # What this request printed may wait in the other socket or be held: it goes out first; a question, too, is
            # asked behind it.
            self._drain(self._sockets.kernel["iopub"], self._published)
        for message in self._outgoing.before_reply(envelope):
            self._to_client("iopub", message)
        for message in self._outgoing.handle(envelope, published=False):
            self._to_client(channel, message)
        if channel == "shell":
            self._take(channel, self._incoming.replied(envelope.parent))

    def _to_client(self, channel: str, message: Message) -> None:
        identities, header, parent, metadata, content, buffers = message
        frames = self._client_signer.seal(identities, header, parent, metadata, content, buffers)
        if channel == "iopub":
            self._publisher.send(frames)
        else:
            send(self._sockets.client[channel], frames)

    def _pong(self, frames: list[bytes]) -> None:
        """Only an echo of what a client sent comes back: a heartbeat is no way out for anything else."""
        if self._pings.pop(tuple(frames), 0) is None:
            send(self._sockets.client["hb"], frames)

    # -- clients to kernel
    def _requested(self, channel: str, frames: list[bytes]) -> None:
        self._token.refresh(at_once=channel == "shell")
        self._take(channel, self._incoming.handle(channel, self._client_signer.open(frames)))

    def _take(self, channel: str, steps: list[Step]) -> None:
        for way, identities, header, parent, metadata, content, buffers in steps:
            parts = [
                part if isinstance(part, bytes) else dump_object(part) for part in (header, parent, metadata, content)
            ]
            signer = self._kernel_signer if way == "kernel" else self._client_signer
            frames = signer.seal(identities, parts[0], parts[1], parts[2], parts[3], buffers)
            if way == "publish":
                self._publisher.send(frames)
            else:
                send((self._sockets.kernel if way == "kernel" else self._sockets.client)[channel], frames)

    def _ping(self, frames: list[bytes]) -> None:
        if sum(map(len, frames)) <= _MAX_PING:
            self._pings[tuple(frames)] = None
            while len(self._pings) > _MAX_PINGS:
                self._pings.popitem(last=False)
            send(self._sockets.kernel["hb"], frames)

    def _subscribed(self, frames: list[bytes]) -> None:
        """Greet a new subscriber as kernels with protocol 5.4 do: from now on it misses nothing."""
        if not frames or frames[0][:1] != b"\x01":
            return
        topic = frames[0][1:]
        header = dump_object(new_header("iopub_welcome", ""))
        content = dump_object({"subscription": topic.decode("utf-8", "replace")})
        self._to_client("iopub", ([topic], header, b"{}", b"{}", content, []))

    def _finish(self) -> None:
        """The kernel is gone or going: pass on what it still said, then close."""
        ready: dict[object, int] = dict.fromkeys(self._sockets.kernel.values(), zmq.POLLIN)
        for _ in range(_LAST_TURNS):
            self._turn(ready)
            if not self._sockets.kernel["iopub"].poll(0):
                break
        for parts in self._outgoing.streams.flush_all():
            self._to_client("iopub", (*parts, []))
        self._publisher.finish()
        self._sockets.close()

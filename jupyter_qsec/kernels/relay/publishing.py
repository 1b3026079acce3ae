"""Publishing to clients that do not all read equally fast: the kernel waits for the slowest, but not for ever."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import zmq

from jupyter_qsec.kernels.relay.sockets import send

PATIENCE = 60.0
"""Seconds without progress after which a client that does not read loses messages, so that the others go on."""
RETRY = 0.02
"""Seconds."""


class Publisher:
    """Sends through an XPUB socket in order, and without loss while every client has room for more.

    ZMQ has one bound for each client. Beyond it a socket either drops or refuses; this one refuses, and what was
    refused waits here, while the caller takes nothing new from the kernel.
    """

    def __init__(self, socket: zmq.Socket[bytes], clock: Callable[[], float] = time.monotonic) -> None:
        self._socket = socket
        self._clock = clock
        self._waiting: deque[list[bytes]] = deque()
        self._since: float | None = None
        """Since when some client has had no room."""
        self._keep_all(True)

    @property
    def waits(self) -> bool:
        """Whether something waits for a client: then nothing new should be taken from the kernel."""
        return bool(self._waiting)

    def send(self, frames: list[bytes]) -> None:
        """Publish, now or behind what waits."""
        if self._waiting or not self._sent(frames):
            self._waiting.append(frames)

    def go_on(self) -> None:
        """Publish what waits, as far as there is room. To be called every `RETRY` seconds while something waits."""
        while self._waiting and self._sent(self._waiting[0]):
            self._waiting.popleft()

    def finish(self) -> None:
        """Publish the rest to whoever has room for it."""
        self._keep_all(False)
        while self._waiting:
            self._take_note()
            send(self._socket, self._waiting.popleft(), wait=False)

    def _sent(self, frames: list[bytes]) -> bool:
        self._take_note()
        if self._has_room(frames):
            self._since = None
            return True
        now = self._clock()
        self._since = now if self._since is None else self._since
        if now - self._since < PATIENCE:
            return False
        self._keep_all(False)
        send(self._socket, frames, wait=False)
        self._keep_all(True)
        return True

    def _take_note(self) -> None:
        """Have ZMQ look at what clients have read."""
        self._socket.get(zmq.EVENTS)

    def _has_room(self, frames: list[bytes]) -> bool:
        """Whether every client had room for it; then it is sent."""
        try:
            send(self._socket, frames, wait=False)
        except zmq.Again:
            return False
        return True

    def _keep_all(self, keep: bool) -> None:
        self._socket.setsockopt(zmq.XPUB_NODROP, int(keep))

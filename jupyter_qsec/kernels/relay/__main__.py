"""The relay as a process. Sockets first, so that clients and kernel can connect while the scanner is being imported."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import resource
import signal
import sys
import threading
from collections import deque
from contextlib import suppress

import zmq

from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.kernels.relay.config import RelayConfig
from jupyter_qsec.kernels.relay.sockets import Sockets
from jupyter_qsec.kernels.relay.wire import Json

_MAX_CONFIG = 4 << 20
_MAX_QUEUED = 10_000
_PR_SET_DUMPABLE = 4
_RARELY = 20_000
"""Objects after which garbage is looked for; messages leave next to none in circles."""


class Events:
    """JSON lines to the provisioner. A provisioner that does not read must not stop the kernel's messages."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._queue: deque[bytes] = deque(maxlen=_MAX_QUEUED)
        self._changed = threading.Condition()
        self._writing = False
        threading.Thread(target=self._write, name="qsec-events", daemon=True).start()

    def send(self, event: Json) -> None:
        with self._changed:
            self._queue.append(json.dumps(event).encode("ascii") + b"\n")
            self._changed.notify_all()

    def drain(self, seconds: float) -> None:
        """Wait until everything is written, for so long at most."""
        with self._changed:
            self._changed.wait_for(lambda: not self._queue and not self._writing, seconds)

    def _write(self) -> None:
        with suppress(OSError):
            while True:
                with self._changed:
                    self._writing = False
                    self._changed.notify_all()
                    self._changed.wait_for(lambda: bool(self._queue))
                    line, self._writing = self._queue.popleft(), True
                while line:
                    line = line[os.write(self._descriptor, line) :]


def main() -> int:
    _harden()
    events = Events(os.dup(1))
    # Nothing but events may ever go to the provisioner's pipe, whatever a library prints.
    os.dup2(2, 1)
    try:
        line, behind = _read_line(0)
        config = RelayConfig.from_line(line)
    except InvalidRequestError as error:
        events.send({"event": "failed", "reason": "configuration", "detail": str(error)})
        events.drain(1)
        return 2
    try:
        sockets = Sockets(config.client, config.kernel)
    except zmq.ZMQError as error:
        events.send({"event": "failed", "reason": "address", "detail": str(error)})
        events.drain(1)
        return 4
    events.send({"event": "bound"})
    # Here, not above: this is the slow part, and until it is done messages wait in the sockets unread.
    from jupyter_qsec.kernels.relay.assembly import assemble
    from jupyter_qsec.scanning import plugins

    switchboard = assemble(config, sockets, events.send)
    # What the scanner is made of never becomes garbage: looking through it again and again would delay messages.
    gc.freeze()
    gc.set_threshold(_RARELY, 20, 20)
    events.send({"event": "ready"})
    # While the kernel starts, so that the first finding of a session need not wait for it.
    threading.Thread(target=plugins.warm, name="qsec-plugins", daemon=True).start()
    switchboard.run(0, behind)
    events.drain(1)
    return 0


def _read_line(descriptor: int) -> tuple[bytes, bytes]:
    """The first line that the provisioner sends, and what came with it of the next."""
    line = b""
    while b"\n" not in line:
        block = os.read(descriptor, _MAX_CONFIG)
        if not block or len(line) > _MAX_CONFIG:
            raise InvalidRequestError("The relay's configuration is incomplete.")
        line += block
    first, _, behind = line.partition(b"\n")
    return first, behind


def _harden() -> None:
    """This process sees secrets: no core file, no debugger, no part of the terminal's signals."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


if __name__ == "__main__":
    # Without the interpreter's tear-down: it would wait for threads and sockets that have nothing left to say.
    os._exit(main())

"""The listening socket, on loopback and nowhere else: bound here, or inherited from who starts the gateway."""

from __future__ import annotations

import errno
import socket

from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.gateway.exits import PortTakenError

LOOPBACK = "127.0.0.1"
_BACKLOG = 512


def bound(port: int) -> socket.socket:
    """A new listening socket; port 0 is any free one. `PortTakenError`."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            raise PortTakenError(
                f"Port {port} is taken by another program.", remedy="End that program, or choose another with --port."
            ) from None
        raise
    listener.setblocking(False)
    return listener


def inherited(descriptor: int) -> socket.socket:
    """The listening socket of this descriptor. `InvalidRequestError` when it is none, or not on loopback."""
    try:
        listener = socket.socket(fileno=descriptor)
    except OSError as error:
        raise InvalidRequestError(f"--fd {descriptor} is not a socket.") from error
    name = listener.getsockname()
    local = listener.family == socket.AF_INET and name[0] == LOOPBACK
    if not local or not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        listener.detach()  # it is the starter's: leave it open
        raise InvalidRequestError(f"--fd {descriptor} is not a socket that listens on {LOOPBACK}.")
    listener.setblocking(False)
    return listener

"""Keeps ipykernel from dropping output that is written faster than it is read.

A kernel publishes through a ZMQ socket that drops messages beyond 1,000 waiting ones (ZMQ's default high-water mark),
even the `idle` that ends a cell. With this the thread that publishes waits instead, and soon the cell that writes.
"""

from __future__ import annotations

from typing import Any


def keep_every_message(ipython: Any) -> None:
    """Let the kernel's publishing socket wait for its reader; an IPython that is no kernel is left alone."""
    thread = getattr(getattr(ipython, "kernel", None), "iopub_thread", None)
    if thread is None:
        return
    from zmq import XPUB_NODROP

    # On the thread that owns the socket: ZMQ's sockets are not made for two. PUB is XPUB underneath, with its options.
    thread.schedule(lambda: thread.socket.set(XPUB_NODROP, 1))


__all__ = ["keep_every_message"]

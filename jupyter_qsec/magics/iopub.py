"""Keeps ipykernel from dropping output that is written faster than it is sent.

A kernel publishes through a ZMQ socket that drops messages beyond 1,000 waiting ones (ZMQ's default high-water mark),
even the `idle` that ends a cell. With this it waits in the kernel's memory instead.
"""

from __future__ import annotations

from typing import Any

_NO_BOUND = 0


def keep_every_message(ipython: Any) -> None:
    """Lift the bound of the kernel's publishing socket; an IPython that is no kernel is left alone."""
    thread = getattr(getattr(ipython, "kernel", None), "iopub_thread", None)
    if thread is not None:
        from zmq import SNDHWM

        # On the thread that owns the socket: ZMQ's sockets are not made for two. It holds for connections that exist.
        thread.schedule(lambda: thread.socket.set(SNDHWM, _NO_BOUND))


__all__ = ["keep_every_message"]

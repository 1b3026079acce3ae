"""Keeps ipykernel from dropping output that is written faster than it is sent.

A kernel publishes through a ZMQ socket that drops messages beyond 1,000 waiting ones (ZMQ's default high-water mark),
even the `idle` that ends a cell. With this it waits in the kernel's memory instead.
"""

from __future__ import annotations

from typing import Any

_NO_BOUND = 0


def keep_every_message(ipython: Any) -> None:
    """Lift the bound of the kernel's publishing socket before each cell; an IPython that is no kernel is left alone.

    ZMQ applies it to the connections that the socket has taken note of, which it does when it sends: the relay's may
    come after this was loaded, but no cell runs before its `busy` was sent.
    """
    thread = getattr(getattr(ipython, "kernel", None), "iopub_thread", None)
    if thread is None:
        return
    from zmq import SNDHWM

    def lift(*_: object) -> None:
        # On the thread that owns the socket: ZMQ's sockets are not made for two.
        thread.schedule(lambda: thread.socket.set(SNDHWM, _NO_BOUND))

    ipython.events.register("pre_execute", lift)


__all__ = ["keep_every_message"]

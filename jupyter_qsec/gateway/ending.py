"""When a process of the gateway ends: asked by a signal, or because who started it is gone."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress

from jupyter_qsec.domain.errors import InvalidRequestError

_LOOK_SECONDS = 0.5


class Ending:
    """`asked` is set by SIGTERM, SIGINT, the end of the parent's pipe and, where that is wanted, of the parent."""

    def __init__(self, parent_fd: int | None = None, *, with_parent: bool = False) -> None:
        """On the running loop. `InvalidRequestError` when `parent_fd` is no open pipe."""
        self.asked = asyncio.Event()
        self.unhurried = False
        """SIGUSR1 asked: others serve already, so that clients may be given time to go there."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.asked.set)
        loop.add_signal_handler(signal.SIGUSR1, self._ask_unhurried)
        if parent_fd is not None:
            self._watch_pipe(parent_fd)
        self._watching = loop.create_task(self._watch_parent(os.getppid())) if with_parent else None

    def _ask_unhurried(self) -> None:
        self.unhurried = True
        self.asked.set()

    def _watch_pipe(self, descriptor: int) -> None:
        loop = asyncio.get_running_loop()
        try:
            os.set_blocking(descriptor, False)
        except OSError as error:
            raise InvalidRequestError(f"--parent-fd {descriptor} is not an open pipe.") from error

        def readable() -> None:
            with suppress(BlockingIOError):
                if not os.read(descriptor, 4096):
                    loop.remove_reader(descriptor)
                    self.asked.set()

        loop.add_reader(descriptor, readable)

    async def _watch_parent(self, parent: int) -> None:
        """A process whose parent ended gets another one, on every system."""
        while os.getppid() == parent:  # noqa: ASYNC110 - the system tells nobody
            await asyncio.sleep(_LOOK_SECONDS)
        self.asked.set()

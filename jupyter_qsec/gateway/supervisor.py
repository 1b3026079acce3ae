"""Several gateway processes on one socket and one PostgreSQL: starts them, replaces those that die, ends them.

SIGTERM ends all in order. SIGHUP replaces them one by one: the next one serves before the one before it ends, so that
no request fails. Each process holds a pipe of the supervisor's, so that it ends when the supervisor is gone, however.
The supervisor itself serves nothing, and holds no key and no database connection.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import signal
import sys
import time
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from jupyter_qsec.domain.errors import InvalidRequestError, QsecError
from jupyter_qsec.domain.times import rfc3339
from jupyter_qsec.gateway.ending import Ending
from jupyter_qsec.gateway.exits import EXIT_OK, EXIT_STATE, exit_code
from jupyter_qsec.gateway.launching import (
    ServeOptions,
    place_of,
    take_ambient_credentials,
    wants_ambient_credentials,
)
from jupyter_qsec.gateway.listening import listen
from jupyter_qsec.gateway.logs import log_to
from jupyter_qsec.gateway.statedir import StateDirectory

_log = logging.getLogger(__name__)

READY_SECONDS = 180.0
"""The first start on a machine compiles the simulators."""
END_SECONDS = 40.0
"""For answers, claims and the log's head; then it is killed."""
BACK_OFF = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
SETTLED_SECONDS = 60.0
"""A process that lived so long died of something else than its start."""


def supervise(options: ServeOptions, processes: int) -> int:
    """Run that many processes until asked to end; returns the exit code."""
    ambient = take_ambient_credentials(os.environ)
    os.umask(0o077)
    return exit_code(lambda: _supervise(options, processes, ambient))


def _supervise(options: ServeOptions, processes: int, ambient: Mapping[str, str]) -> int:
    if not os.environ.get("JUPYTER_QSEC_DATABASE_URL"):
        raise InvalidRequestError(
            f"{processes} processes cannot share an SQLite file.",
            remedy="Name a PostgreSQL database in JUPYTER_QSEC_DATABASE_URL, or leave --processes out.",
        )
    state = StateDirectory(options.home)
    try:
        log_to(options.home, os.environ, "gateway")
        return asyncio.run(_Supervisor(options, processes, state, ambient).run())
    finally:
        state.close()


def _named(option: str, value: object) -> tuple[str, ...]:
    """The option with its value, or nothing when there is none."""
    return (option, str(value)) if value else ()


@dataclass(eq=False)
class _Child:
    """One gateway process."""

    process: asyncio.subprocess.Process
    seat: int
    pipe: int
    """Our end: when it closes, the process ends."""
    started_at: float
    ready: asyncio.Future[bool] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    retired: bool = False
    """It was asked to end: nobody takes its place."""

    def ask(self, number: signal.Signals) -> None:
        self.retired = True
        with suppress(ProcessLookupError):
            self.process.send_signal(number)


class _Supervisor:
    def __init__(
        self, options: ServeOptions, processes: int, state: StateDirectory, ambient: Mapping[str, str]
    ) -> None:
        self._ambient = ambient
        self._options = options
        self._processes = processes
        self._state = state
        self._children: set[_Child] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._failures = 0
        self._ended = False
        self._rolling = asyncio.Lock()
        self._roll_waits = False

    async def run(self) -> int:
        options, loop = self._options, asyncio.get_running_loop()
        ending = Ending(options.parent_fd, with_parent=options.with_parent)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._in_background(self._roll()))
        place = self._place = place_of(options, self._state)
        listening = listen(place)
        self._listener, port = listening.socket, listening.port
        try:
            first = await self._start()
            if not await self._is_ready(first, ending.asked):
                if ending.asked.is_set():
                    return EXIT_OK
                return await first.process.wait() or EXIT_STATE
            self._state.save_port(port)
            started = rfc3339(datetime.now(UTC))
            self._state.announce(port, secrets.token_hex(16), started, listening.certificate)
            print(json.dumps({"event": "ready", "port": port}), flush=True)  # noqa: T201 - the starter waits for it
            _log.info("serving on %s, port %d, with %d processes", place.bind, port, self._processes)
            for _ in range(self._processes - 1):
                self._in_background(self._replace())
            await ending.asked.wait()
            _log.info("ending")
            return EXIT_OK
        finally:
            self._ended = True
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*[self._end(child, signal.SIGTERM) for child in list(self._children)])
            self._listener.close()

    # -- children
    async def _start(self) -> _Child:
        taken = {child.seat for child in self._children}
        seat = next(number for number in range(1, len(taken) + 2) if number not in taken)
        read, write = os.pipe()
        descriptor = self._listener.fileno()
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command(seat, descriptor, read),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                env={**os.environ, **(self._ambient if wants_ambient_credentials(self._options) else {})},
                pass_fds=(descriptor, read),
                start_new_session=True,  # Ctrl-C in a terminal is for the supervisor, which ends them in order
            )
        except BaseException:
            os.close(write)
            raise
        finally:
            os.close(read)
        child = _Child(process, seat, write, time.monotonic())
        self._children.add(child)
        self._in_background(self._attend(child))
        return child

    def _command(self, seat: int, descriptor: int, pipe: int) -> Sequence[str]:
        options = self._options
        return (
            *(sys.executable, "-P", "-m", "jupyter_qsec.gateway", "serve", "--home", str(options.home)),
            *("--fd", str(descriptor), "--parent-fd", str(pipe), "--seat", str(seat)),
            *("--keystore", options.keystore, "--workers", str(options.workers), "--identity", options.identity),
            *_named("--url", self._place.url),
            *_named("--certificate", self._place.certificate),
            *_named("--key", self._place.key),
            *_named("--config", options.settings),
            *_named("--shared", options.shared),
        )

    async def _attend(self, child: _Child) -> None:
        """Read what it says until it ends, and see to it that another takes its place."""
        assert child.process.stdout is not None  # noqa: S101 - the pipe was asked for above
        try:
            while line := await child.process.stdout.readline():
                if b'"ready"' in line and not child.ready.done():
                    child.ready.set_result(True)
            code = await child.process.wait()
        finally:
            if not child.ready.done():
                child.ready.set_result(False)
        self._forget(child)
        if child.retired or self._ended:
            return
        settled = time.monotonic() - child.started_at >= SETTLED_SECONDS
        self._failures = 0 if settled else self._failures + 1
        _log.error("process %d in seat %d ended with %d", child.process.pid, child.seat, code)
        self._in_background(self._replace())

    def _forget(self, child: _Child) -> None:
        if child in self._children:
            self._children.discard(child)
            os.close(child.pipe)

    async def _is_ready(self, child: _Child, ended: asyncio.Event) -> bool:
        waiting = asyncio.ensure_future(ended.wait())
        await asyncio.wait((child.ready, waiting), timeout=READY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        return child.ready.done() and child.ready.result()

    async def _replace(self) -> None:
        """Start one more, after a pause that grows while they die young."""
        await asyncio.sleep(BACK_OFF[min(self._failures, len(BACK_OFF)) - 1] if self._failures else 0)
        if sum(not child.retired for child in self._children) < self._processes:
            await self._start()

    async def _end(self, child: _Child, number: signal.Signals) -> None:
        child.ask(number)
        try:
            await asyncio.wait_for(child.process.wait(), END_SECONDS)
        except TimeoutError:
            _log.error("process %d does not end and is killed", child.process.pid)
            with suppress(ProcessLookupError):
                child.process.kill()
            await child.process.wait()
        self._forget(child)

    # -- one after the other
    async def _roll(self) -> None:
        """Replace all that serve now. Asked again meanwhile, once more."""
        if self._rolling.locked():
            self._roll_waits = True
            return
        async with self._rolling:
            for old in sorted(self._children, key=lambda child: child.seat):
                if old.retired or old not in self._children:
                    continue
                new = await self._start()
                if not await self._is_ready(new, asyncio.Event()):
                    new.retired = True
                    _log.error("a new process does not serve: the others stay as they are")
                    await self._end(new, signal.SIGTERM)
                    break
                _log.info("process %d takes the place of %d", new.process.pid, old.process.pid)
                await self._end(old, signal.SIGUSR1)
        if self._roll_waits:
            self._roll_waits = False
            self._in_background(self._roll())

    def _in_background(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            reason = error.message if isinstance(error, QsecError) else f"{type(error).__name__}: {error}"
            _log.error("%s", reason)
            if not self._ended and sum(not child.retired for child in self._children) < self._processes:
                self._failures += 1
                self._in_background(self._replace())

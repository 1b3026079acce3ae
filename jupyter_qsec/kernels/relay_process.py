"""The relay seen from the provisioner: started, told, listened to, ended."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from datetime import datetime
from typing import IO, Any, cast

from jupyter_qsec.domain.errors import UnavailableError
from jupyter_qsec.kernels.observer import KernelFinding
from jupyter_qsec.kernels.relay.config import RelayConfig, RelayUpdate

_COMMAND = (sys.executable, "-P", "-m", "jupyter_qsec.kernels.relay")
"""`-P`: a module in the working directory must not get into the process that sees everything."""
_MAX_LINE = 1_000_000
_END_SECONDS = 3.0
_TELL_SECONDS = 3.0
_START_SECONDS = 30.0


class RelayError(UnavailableError):
    """The relay did not come up. `address_taken`: one of the client side's ports is in use."""

    def __init__(self, message: str, *, address_taken: bool = False) -> None:
        super().__init__(message)
        self.address_taken = address_taken


class RelayProcess:
    """One relay. Its events are read on a thread of its own, so that it never waits for us."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Start the process; it waits for its configuration."""
        self._process = subprocess.Popen(
            _COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd="/",
            env=dict(environ),
            start_new_session=True,  # an interrupt in the server's terminal is not meant for it
        )
        self._input, self._output = cast(IO[bytes], self._process.stdin), cast(IO[bytes], self._process.stdout)
        os.set_blocking(self._input.fileno(), False)
        self._writing = threading.Lock()
        self._unsent = b""
        self._bound: Future[None] = Future()
        self._ready: Future[None] = Future()
        self._on_findings: Callable[[list[KernelFinding]], None] = lambda findings: None
        self._reader = threading.Thread(target=self._read, name="qsec-relay", daemon=True)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def bound(self) -> Future[None]:
        """Done when clients can connect; fails with `RelayError`."""
        return self._bound

    @property
    def ready(self) -> Future[None]:
        """Done when messages flow; fails with `RelayError`."""
        return self._ready

    def configure(self, config: RelayConfig, on_findings: Callable[[list[KernelFinding]], None]) -> None:
        """Tell it its work. `on_findings` is called on a thread of this object."""
        self._on_findings = on_findings
        self._reader.start()
        self._send(config.to_line(), _START_SECONDS)

    def follow(self, update: RelayUpdate) -> None:
        """Tell it what has changed; a relay that is gone needs nothing. It goes by it from the next message on that
        reaches it. `RelayError` when it does not listen for seconds."""
        self._send(update.to_line(), _TELL_SECONDS)

    def _send(self, line: bytes, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        with self._writing:
            # The end of a line for which there was no room goes first: half a line would spoil the next.
            for piece in (self._unsent, line):
                self._unsent = piece
                while self._unsent:
                    self._write(deadline)

    def _write(self, deadline: float) -> None:
        try:
            pipe = self._input.fileno()
            try:
                self._unsent = self._unsent[os.write(pipe, self._unsent) :]
            except BlockingIOError:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise RelayError("The relay of the kernel does not listen.") from None
                room = select.poll()
                room.register(pipe, select.POLLOUT)
                room.poll(left * 1000)
        except (OSError, ValueError):  # it died, or is at its end: the reader finds out
            self._unsent = b""

    def alive(self) -> bool:
        return self._process.poll() is None

    def end(self) -> None:
        """Let it pass on what it holds, then end it. Takes up to some seconds; safe to call again."""
        with suppress(OSError):
            self._input.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._reader.ident is not None:
            self._reader.join(_END_SECONDS)
        self._output.close()

    def _read(self) -> None:
        while line := self._output.readline(_MAX_LINE):
            try:
                self._take(json.loads(line))
            except (ValueError, TypeError, KeyError):
                continue  # a line that makes no sense tells nothing
        gone = RelayError("The relay of the kernel ended unexpectedly.")
        for future in (self._bound, self._ready):
            _fail(future, gone)

    def _take(self, event: dict[str, Any]) -> None:
        match event["event"]:
            case "bound":
                _succeed(self._bound)
            case "ready":
                _succeed(self._ready)
            case "failed":
                taken = event["reason"] == "address"
                error = RelayError(f"The relay of the kernel could not start: {event['detail']}.", address_taken=taken)
                _fail(self._bound, error)
                _fail(self._ready, error)
            case "findings":
                self._on_findings([_finding(item) for item in event["findings"]])
            case _:
                pass  # newer relays may tell more


def _finding(item: dict[str, Any]) -> KernelFinding:
    return KernelFinding(
        found_at=datetime.fromisoformat(item["found_at"]),
        place=str(item["place"]),
        line=int(item["line"]),
        kind=str(item["kind"]),
        preview=str(item["preview"]),
        fingerprint=str(item["fingerprint"]),
        action=item["action"],
        cell_id=str(item["cell_id"]),
        message_id=str(item["message_id"]),
    )


def relay_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What a relay needs to find its interpreter's packages, and nothing else."""
    names = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME")
    return {name: environ[name] for name in names if name in environ}


def _succeed(future: Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _fail(future: Future[None], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def start_relay() -> RelayProcess:
    """A new relay process of this interpreter."""
    return RelayProcess(relay_environment(os.environ))

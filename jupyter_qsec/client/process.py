"""One gateway process: started on an inherited listening socket, watched, ended."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from jupyter_qsec.domain.errors import UnavailableError

_TAIL = 8192
_END_SECONDS = 10.0
_MEANING = {
    2: "it was started with a wrong configuration",
    3: "its state directory cannot be used",
    4: "its port is taken",
    5: "its key store cannot be used",
    6: "it is incomplete",
}
PERMANENT_EXIT_CODES = frozenset({2, 5, 6})


def gateway_command(home: Path, listener: int, parent: int, options: Sequence[str] = ()) -> list[str]:
    """The command line of a supervised gateway. Nothing secret stands on it.

    `-P` keeps the working directory off the module path: a file of a notebook folder must never run in the gateway.
    """
    return [
        *(sys.executable, "-P", "-m", "jupyter_qsec.gateway", "serve"),
        *("--home", str(home), "--fd", str(listener), "--parent-fd", str(parent)),
        *options,
    ]


class GatewayProcess:
    """A started gateway. It ends by itself when this process ends: it watches the pipe whose other end is here."""

    def __init__(
        self,
        listener: socket.socket,
        home: Path,
        options: Sequence[str] = (),
        environ: Mapping[str, str] = os.environ,
        command: Callable[[Path, int, int, Sequence[str]], list[str]] = gateway_command,
    ) -> None:
        self._parent_read, self._parent_write = os.pipe()
        try:
            self._process = subprocess.Popen(
                command(home, listener.fileno(), self._parent_read, options),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=dict(environ),
                cwd=home,
                pass_fds=(listener.fileno(), self._parent_read),
                start_new_session=True,  # Ctrl-C in the terminal is for the server, which may ask and go on
            )
        except OSError as error:
            os.close(self._parent_write)
            raise UnavailableError(f"The gateway cannot be started: {error.strerror}.") from error
        finally:
            os.close(self._parent_read)
        self.pid = self._process.pid
        self._out = b""
        self._err = b""
        self._streams = {
            stream.fileno(): name
            for stream, name in ((self._process.stdout, "out"), (self._process.stderr, "err"))
            if stream is not None
        }
        for descriptor in self._streams:
            os.set_blocking(descriptor, False)
        self._pidfd: int | None = None
        if hasattr(os, "pidfd_open"):
            with suppress(OSError):
                self._pidfd = os.pidfd_open(self.pid)

    @property
    def exit_code(self) -> int | None:
        """`None` while it runs; negative for a signal, as `subprocess` tells it."""
        return self._process.poll()

    def watch(self, seconds: float, wake: int | None = None) -> None:
        """Wait until the process ends, says something, or `wake` becomes readable; at most so long. Drains its output,
        so that it never blocks on a full pipe."""
        watched = [*self._streams, *([] if self._pidfd is None else [self._pidfd]), *([] if wake is None else [wake])]
        # Without a pidfd (macOS) the end shows as end-of-file on its output, or at the latest after a second.
        readable, _, _ = select.select(watched, [], [], seconds if self._pidfd is not None else min(seconds, 1.0))
        for descriptor in readable:
            if descriptor in self._streams:
                self._drain(descriptor)

    def _drain(self, descriptor: int) -> None:
        with suppress(BlockingIOError):
            chunk = os.read(descriptor, 65_536)
            name = self._streams[descriptor]
            if not chunk:
                del self._streams[descriptor]
            elif name == "out":
                self._out = (self._out + chunk)[-_TAIL:]
            else:
                self._err = (self._err + chunk)[-_TAIL:]

    @property
    def ready(self) -> bool:
        """Whether it has said that it serves."""
        for line in self._out.splitlines():
            with suppress(ValueError):
                value = json.loads(line)
                if isinstance(value, dict) and value.get("event") == "ready":
                    return True
        return False

    def why_ended(self) -> str:
        """One sentence about an ended process."""
        for descriptor in list(self._streams):
            self._drain(descriptor)
        code = self.exit_code
        if code is None:
            return "it did not become ready in time"
        if code < 0:
            return f"it was ended by {signal.Signals(-code).name}"
        lines = [line.strip() for line in self._err.decode("utf-8", "replace").splitlines() if line.strip()]
        said = f": {lines[-1][:400]}" if lines else ""
        return f"{_MEANING.get(code, f'it ended with code {code}')}{said}"

    def end(self) -> None:
        """Ask it to end (close the pipe, SIGTERM), insist after ten seconds; returns when it is gone."""
        if self._parent_write >= 0:
            os.close(self._parent_write)
            self._parent_write = -1
        if self.exit_code is None:
            self._process.terminate()
            try:
                self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def close(self) -> None:
        """End it and give back its descriptors."""
        self.end()
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        self._streams.clear()

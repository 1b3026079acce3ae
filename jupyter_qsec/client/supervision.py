"""Sees to it that a gateway serves a state directory, and that its port never falls silent.

The supervisor that holds `supervisor.lock` binds the persisted port itself and passes the listening socket on. When its
gateway dies the socket stays open: connections queue until the next gateway accepts them. When no gateway can run, the
supervisor answers there itself and says why. Any other supervisor of the same directory shares that gateway, and takes
over when it ends. Independent of Jupyter: a server's extension and `jupyter qsec exec` use the same code.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from jupyter_qsec.client.endpoints import Endpoints
from jupyter_qsec.client.home import HOST, QsecHome, free_port, lock
from jupyter_qsec.client.process import PERMANENT_EXIT_CODES, GatewayProcess, gateway_command
from jupyter_qsec.client.responder import Responder, responders_reason
from jupyter_qsec.domain.errors import QsecError, StateDirectoryError, UnavailableError

_BACKLOG = 1024


class GatewayState(StrEnum):
    STARTING = "starting"
    RUNNING = "running"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class GatewayCondition:
    """What a supervisor knows of its gateway."""

    state: GatewayState
    reason: str = ""
    """Why it failed, or why it starts again; empty otherwise."""
    shared: bool = False
    """It is the gateway of another server, `exec` or terminal."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Times in seconds; tests shorten them."""

    ready: float = 60.0
    """A started gateway must serve within this."""
    attempts: int = 3
    """So many failed starts in a row are a failure that is told."""
    backoff: tuple[float, ...] = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
    settled: float = 60.0
    """After running for so long, the next death counts as the first."""
    poll: float = 0.5
    """How often a shared gateway is looked at."""
    foreign_port: float = 5.0
    """How long the port may be taken by nobody known before another is chosen."""
    retry: float = 15.0
    """How often a failed gateway is tried again."""


class GatewaySupervisor:
    """Runs on a thread of its own; `condition` may be read from anywhere."""

    def __init__(
        self,
        home: QsecHome,
        *,
        options: Sequence[str] = (),
        environ: Mapping[str, str] = os.environ,
        on_change: Callable[[GatewayCondition], None] | None = None,
        pace: Pace | None = None,
        log: logging.Logger | logging.LoggerAdapter[logging.Logger] | None = None,
        command: Callable[[Path, int, int, Sequence[str]], list[str]] = gateway_command,
    ) -> None:
        """`options` go to the gateway's command line (`--keystore file`); `on_change` is called on the supervisor's
        thread."""
        self.home = home
        self.condition = GatewayCondition(GatewayState.STOPPED)
        self._options, self._environ, self._command = tuple(options), environ, command
        self._on_change, self._pace = on_change, pace or Pace()
        self._log = log or logging.getLogger(__name__)
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._wake_read = self._wake_write = -1
        self._port: int | None = None
        self._listener: socket.socket | None = None
        self._lock: int | None = None
        self._responder: Responder | None = None
        self._process: GatewayProcess | None = None
        self._thread: threading.Thread | None = None

    # -- from outside
    def start(self) -> None:
        """Begin; returns at once."""
        if self._thread is None:
            self._wake_read, self._wake_write = os.pipe()
            self._set(GatewayState.STARTING)
            self._thread = threading.Thread(target=self._run, name="qsec-supervisor", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End our gateway and give the port back; returns when both are done."""
        self._stopping.set()
        if self._thread is not None:
            os.write(self._wake_write, b"x")
            self._thread.join()
            self._thread = None
            os.close(self._wake_read)
            os.close(self._wake_write)

    def wait_until(self, states: Sequence[GatewayState], seconds: float) -> GatewayCondition:
        """Block until the state is one of these or the time is up; the condition then."""
        with self._changed:
            self._changed.wait_for(lambda: self.condition.state in states, seconds)
            return self.condition

    @property
    def gateway_url(self) -> str:
        """Where kernels find the gateway, or the one who tells them why there is none."""
        try:
            port = self.home.choose_port(self._port)
        except QsecError:
            # The directory cannot even hold a port: one of our own, so that kernels get the reason as an answer.
            self._port = port = self._port or free_port()
        return f"http://{HOST}:{port}"

    @property
    def endpoints(self) -> Endpoints:
        """For leased processes of this machine."""
        return Endpoints.on_loopback(self.gateway_url)

    def control_token(self) -> str:
        """What the gateway wants from us. `StateDirectoryError` when it cannot be had."""
        return self.home.control_token()

    def trust(self) -> None:
        """Nobody's certificates: the gateway is asked over plain http on loopback."""

    @property
    def pid(self) -> int | None:
        """Of the gateway that this supervisor started."""
        return None if self._process is None else self._process.pid

    def require_ours(self) -> None:
        """Raise `UnavailableError` unless a token sent to the port can only reach a gateway of this directory: its
        listening socket is ours, or a running gateway holds the lock. A guard for `ControlClient`."""
        if self._listener is not None and self.condition.state is not GatewayState.FAILED:
            return
        if self.home.running_gateway() is None:
            raise UnavailableError(
                full_stop(f"The qsec gateway is not running: {self.condition.reason or self.condition.state}"),
                remedy="See 'jupyter qsec doctor'.",
            )

    # -- the thread
    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                try:
                    self._once()
                except (QsecError, OSError) as error:
                    self._fail(str(error))
                    self._pause(self._pace.retry)
                except Exception as error:  # noqa: BLE001 - a dead supervisor would leave kernels hanging without a word
                    self._log.exception("the supervision of the qsec gateway failed")
                    self._fail(f"its supervision failed ({type(error).__name__})")
                    self._pause(self._pace.retry)
        finally:
            self._let_go()
            self._set(GatewayState.STOPPED)

    def _once(self) -> None:
        """Become the owner of the port and run gateways on it, or share somebody else's until it ends."""
        self.home.ensure()
        self.home.control_token()
        if self._lock is None:
            self._lock = lock(self.home.supervisor_lock)
            if self._lock is None or not self._bind():
                self._share()
                return
        self._keep_running()

    def _bind(self) -> bool:
        """Listen on the persisted port; `False` when a gateway without supervisor serves there."""
        taken_since = time.monotonic()
        while not self._stopping.is_set():
            port = self.home.choose_port(self._port)
            self._drop_own_listener()
            try:
                self._listener = listen(port)
                return True
            except OSError as error:
                if self.home.running_gateway() is not None:
                    return False
                if time.monotonic() - taken_since > self._pace.foreign_port:
                    self._log.warning("port %d is taken by another program (%s)", port, error.strerror)
                    self.home.replace_port()
            self._pause(min(0.2, self._pace.poll))
        return False

    def _share(self) -> None:
        """Follow a gateway that somebody else runs; returns when it has ended or its supervisor has."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        self._drop_own_listener()
        if self.home.running_gateway() is not None:
            self._set(GatewayState.RUNNING, shared=True)
        elif reason := responders_reason(self.home.port()):
            self._set(GatewayState.FAILED, reason, shared=True)
        else:
            self._set(GatewayState.STARTING, "another server starts it", shared=True)
        self._pause(self._pace.poll)

    def _keep_running(self) -> None:
        """Run one gateway after the other until told to stop."""
        deaths = failures = 0
        while not self._stopping.is_set():
            if deaths or failures:
                self._pause(self._pace.backoff[min(deaths + failures, len(self._pace.backoff)) - 1])
                if self._stopping.is_set():
                    return
            self.home.ensure()
            reason, lived, permanent = self._run_one()
            if self._stopping.is_set():
                return
            self._log.warning("the qsec gateway ended: %s", reason)
            if lived is None:
                failures += 1
                if permanent or failures >= self._pace.attempts:
                    self._fail(reason)
                    self._pause(self._pace.retry)
                    failures = self._pace.attempts - 1
            else:
                failures = 0
                deaths = 1 if lived >= self._pace.settled else deaths + 1
                self._set(GatewayState.STARTING, f"{reason}; it is started again")

    def _run_one(self) -> tuple[str, float | None, bool]:
        """One gateway from start to end: why it ended, seconds it served (`None`: it never did), and whether
        starting it again is of no use."""
        if self._listener is None:
            raise StateDirectoryError("The port is not bound.")
        process = self._process = GatewayProcess(
            self._listener, self.home.path, self._options, self._environ, self._command
        )
        started = time.monotonic()
        ready_at: float | None = None
        try:
            while not self._stopping.is_set() and process.exit_code is None:
                process.watch(1.0 if ready_at is None else 60.0, self._wake_read)
                if ready_at is None and process.ready:
                    ready_at = time.monotonic()
                    self._silence()
                    self._set(GatewayState.RUNNING)
                elif ready_at is None and time.monotonic() - started > self._pace.ready:
                    return process.why_ended(), None, False
            if ready_at is None:
                return process.why_ended(), None, process.exit_code in PERMANENT_EXIT_CODES
            return process.why_ended(), time.monotonic() - ready_at, False
        finally:
            self._process = None
            process.close()

    # -- pieces
    def _fail(self, reason: str) -> None:
        """Tell everybody, the kernels on the port included."""
        if self._listener is None:
            # Without a usable state directory nobody can agree on a port: answer on the one that kernels were given.
            with suppress(OSError, QsecError):
                self._listener = listen(int(self.gateway_url.rpartition(":")[2]))
        if self._responder is not None:
            self._responder.explain(reason)
        elif self._listener is not None:
            self._responder = Responder(self._listener, reason)
        self._set(GatewayState.FAILED, reason)

    def _silence(self) -> None:
        if self._responder is not None:
            self._responder.close()
            self._responder = None

    def _drop_own_listener(self) -> None:
        """Before binding anew: what was bound while the state directory could not be used."""
        self._silence()
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _let_go(self) -> None:
        self._drop_own_listener()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _pause(self, seconds: float) -> None:
        if seconds > 0:
            select.select([self._wake_read], [], [], seconds)

    def _set(self, state: GatewayState, reason: str = "", *, shared: bool = False) -> None:
        condition = GatewayCondition(state, reason, shared)
        with self._changed:
            if condition == self.condition:
                return
            self.condition = condition
            self._changed.notify_all()
        if self._on_change is not None:
            self._on_change(condition)


def listen(port: int) -> socket.socket:
    """A listening socket on loopback. `OSError` when the port is taken."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def full_stop(text: str) -> str:
    """A sentence about a reason, which may be a sentence itself."""
    return text if text.endswith((".", "!", "?")) else f"{text}."

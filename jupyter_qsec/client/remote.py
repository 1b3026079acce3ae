"""A gateway that somebody else runs, as the hub's: it is watched here, neither started nor ended."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Sequence

from jupyter_qsec.client import wire
from jupyter_qsec.client.api import ControlClient
from jupyter_qsec.client.credentials import CredentialListener
from jupyter_qsec.client.endpoints import Endpoints, RemoteAddress
from jupyter_qsec.client.shown import TokenSource
from jupyter_qsec.client.supervision import GatewayCondition, GatewayState
from jupyter_qsec.domain.errors import QsecError

_WATCH_SECONDS, _RETRY_SECONDS = 10.0, 2.0
_TIMEOUT = 5.0


class RemoteGateway:
    """As `GatewaySupervisor` for whoever uses it; `condition` may be read from anywhere."""

    def __init__(
        self,
        address: RemoteAddress,
        *,
        on_change: Callable[[GatewayCondition], None] | None = None,
        watch_seconds: float = _WATCH_SECONDS,
        retry_seconds: float = _RETRY_SECONDS,
    ) -> None:
        """`on_change` is called on the watch's thread. `InvalidRequestError` for certificates that cannot be used."""
        self.address = address
        self.condition = GatewayCondition(GatewayState.STOPPED)
        self._trust = address.trust()
        self._client = ControlClient(address.url, address.token, timeout=_TIMEOUT, trust=self._trust)
        self._on_change = on_change
        self._watch_seconds, self._retry_seconds = watch_seconds, retry_seconds
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._listener: CredentialListener | None = None
        self._thread: threading.Thread | None = None
        self._known = False
        """Whether the gateway has told who we are since it was last away."""

    # -- from outside
    def start(self) -> None:
        """Begin to watch; returns at once."""
        if self._thread is None:
            self._listen()
            self._set(GatewayState.STARTING)
            self._thread = threading.Thread(target=self._watch, name="qsec-remote", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self._client.close()

    def wait_until(self, states: Sequence[GatewayState], seconds: float) -> GatewayCondition:
        """Block until the state is one of these or the time is up; the condition then."""
        with self._changed:
            self._changed.wait_for(lambda: self.condition.state in states, seconds)
            return self.condition

    @property
    def endpoints(self) -> Endpoints:
        return Endpoints(self.address.url, self._listen().url, self.address.ca_file)

    def control_token(self) -> TokenSource:
        return self.address.token

    def trust(self) -> ssl.SSLContext:
        return self._trust

    def require_ours(self) -> None:
        """Its certificate says whose gateway it is; on loopback, the hub's own configuration does."""

    # -- the thread
    def _watch(self) -> None:
        while not self._stopping.is_set():
            try:
                self._look()
            except Exception as error:  # noqa: BLE001 - without the watch the panel would show an old state for ever
                self._known = False
                self._set(GatewayState.FAILED, _reason(error))
            healthy = self.condition.state is GatewayState.RUNNING
            self._stopping.wait(self._watch_seconds if healthy else self._retry_seconds)
        self._set(GatewayState.STOPPED)

    def _look(self) -> None:
        """Who we are is asked once, because it costs the hub two questions; health each time."""
        if not self._known:
            self._client.status()
            self._known = True
        self._client.send(wire.get("/health"))
        self._set(GatewayState.RUNNING)

    def _listen(self) -> CredentialListener:
        with self._changed:
            if self._listener is None:
                self._listener = CredentialListener(self.address)
            return self._listener

    def _set(self, state: GatewayState, reason: str = "") -> None:
        condition = GatewayCondition(state, reason, shared=True)
        with self._changed:
            if condition == self.condition:
                return
            self.condition = condition
            self._changed.notify_all()
        if self._on_change is not None:
            self._on_change(condition)


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, QsecError) else f"its watch failed ({type(error).__name__})"

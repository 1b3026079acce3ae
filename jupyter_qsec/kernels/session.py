"""What one kernel holds while it lives: folder, lease, relay. Ended once, whatever becomes of the kernel."""

from __future__ import annotations

import atexit
import json
import logging
import os
import secrets
import shutil
import threading
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from jupyter_qsec.client.api import LeaseAsk
from jupyter_qsec.client.endpoints import Endpoints
from jupyter_qsec.client.held import HeldLease, write_no_token
from jupyter_qsec.client.home import QsecHome
from jupyter_qsec.client.registry import Registry
from jupyter_qsec.domain.errors import QsecError
from jupyter_qsec.kernels.folders import KernelFolder, make_folder
from jupyter_qsec.kernels.leases import endpoints, keeper
from jupyter_qsec.kernels.observer import KernelFinding
from jupyter_qsec.kernels.policies import SourcePolicies
from jupyter_qsec.kernels.relay.config import CHANNELS, Endpoint, RelayConfig, RelayUpdate
from jupyter_qsec.kernels.relay_process import RelayProcess, start_relay

# Where endpoints point when there is no state directory: the discard port, which nothing serves.
_NOWHERE = Endpoints.on_loopback("http://127.0.0.1:9")
# Leases are asked for over HTTP; a gateway that hangs must not hang the server's event loop.
_workers = ThreadPoolExecutor(max_workers=8, thread_name_prefix="qsec-kernel-lease")

_open: set[KernelSession] = set()


class KernelSession:
    """Made before the kernel's first start, kept over restarts, closed when the kernel is gone."""

    def __init__(self) -> None:
        self.folder: KernelFolder = make_folder()
        self.held: HeldLease | None = None
        self.problem = ""
        """Why there is no lease, when that is known before a keeper was asked."""
        self.relay: RelayProcess | None = None
        self._issued: Mapping[str, str] = {}
        """What the kernel must not show of its lease, each with its kind."""
        self._policies: SourcePolicies | None = None
        self._telling = threading.Lock()
        """Held from looking at what is to be told until it is told: the newest comes last."""
        self._behind = False
        """Whether the relay could not be told something."""
        self._told: tuple[str, object] = ("", None)
        """Whose policy the relay follows (empty while nobody knows the tenant), and which files of secrets."""
        self._asking: Future[HeldLease] | None = None
        self._closed = False
        self._home = QsecHome.default()
        self._registry = Registry(self._home)
        _open.add(self)

    # -- lease
    @property
    def endpoints(self) -> Endpoints:
        try:
            return endpoints()
        except QsecError as error:
            self.problem = str(error)
            return _NOWHERE

    @property
    def fingerprint_key(self) -> bytes:
        try:
            return self._home.fingerprint_key()
        except QsecError:
            if self._registry.keyed_here:
                raise  # with another key nothing that is registered would be found
            return secrets.token_bytes(32)  # findings of this kernel are then comparable among themselves only

    @property
    def lease_problem(self) -> str:
        held = self.held
        return self.problem or (held.problem if held is not None else "The gateway has not answered yet.")

    def take_lease(self, ask: LeaseAsk, then: Callable[[], None]) -> Future[HeldLease]:
        """Begin to take a lease, or a new one when the last has ended; `then` is called from a thread afterwards."""
        if self.held is None and not self.folder.token_file.exists():
            # Programs read this file at every refresh: without it they would fail obscurely.
            write_no_token(self.folder.token_file)
        if self._asking is None:
            self._asking = _workers.submit(self._acquire, ask)
        elif self.held is not None and self.held.lease is not None and not self.held.active:
            self._asking = _workers.submit(self._replace, self.held)
        self._asking.add_done_callback(lambda _: then())
        return self._asking

    def _acquire(self, ask: LeaseAsk) -> HeldLease:
        held = keeper().acquire(ask, self.folder.token_file, self._issue)
        self.held = held
        if self._closed:
            held.close("the kernel ended")
        return held

    def _issue(self, secrets: Mapping[str, str]) -> None:
        """Before the kernel can have them, on a thread. Raises `QsecError` when the relay does not know them then."""
        if secrets != self._issued or self._behind:
            self._issued = secrets
            self._tell()

    def _replace(self, held: HeldLease) -> HeldLease:
        with suppress(QsecError):  # the keeper has noted it as the problem
            held.new()
        return held

    @property
    def tenant(self) -> str:
        """Of the lease; empty while there is none."""
        lease = self.held.lease if self.held is not None else None
        return lease["tenant"] if lease is not None else ""

    # -- relay
    def kernel_endpoint(self, transport: str, ports: dict[str, int]) -> Endpoint:
        """A new address and key for the kernel's side, written to its own connection file."""
        # The kernel before could write here: nothing of it may stay.
        shutil.rmtree(self.folder.io, ignore_errors=True)
        self.folder.io.mkdir(mode=0o700, exist_ok=True)
        ip = "127.0.0.1" if transport == "tcp" else self.folder.socket_stem
        return Endpoint(transport, ip, ports, secrets.token_hex(32).encode("ascii"))

    def write_connection_file(self, endpoint: Endpoint, kernel_name: str) -> Path:
        """The connection file that only this kernel reads. Format: jupyter-client, "Making kernels for Jupyter"."""
        content = {f"{channel}_port": endpoint.ports[channel] for channel in CHANNELS} | {
            "ip": endpoint.ip,
            "transport": endpoint.transport,
            "key": endpoint.key.decode("ascii"),
            "signature_scheme": endpoint.signature_scheme,
            "kernel_name": kernel_name,
        }
        path = self.folder.connection_file
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(content, file)
        return path

    def start_relay(
        self,
        client: Endpoint,
        kernel: Endpoint,
        language: str,
        policies: SourcePolicies,
        on_findings: Callable[[list[KernelFinding]], None],
    ) -> RelayProcess:
        with self._telling:
            self._told = (self.tenant, self._registry.identity())
            config = RelayConfig(
                client=client,
                kernel=kernel,
                language=language,
                fingerprint_key=self.fingerprint_key,
                token_file=str(self.folder.token_file),
                source_policy=policies.for_tenant(self._told[0]),
                registered=self._registry.sets(),
                issued=self._issued,
            )
            relay = start_relay()
            relay.configure(config, on_findings)
            self._policies, self.relay, self._behind = policies, relay, False
        return relay

    def follow(self) -> None:
        """Tell the relay when the tenant (with the lease) or what is registered has changed. On a thread: a relay
        that is busy must not hold up the server."""
        relay, now = self.relay, (self.tenant, self._registry.identity())
        if relay is not None and self._told != now:
            self._told = now
            _workers.submit(self._follow)

    def _follow(self) -> None:
        try:
            self._tell()
        except QsecError as error:
            logging.getLogger(__name__).error("A kernel goes on with what was registered before: %s", error)

    def _tell(self) -> None:
        """Tell the relay all that it goes by, as it is now."""
        with self._telling:
            relay, policies = self.relay, self._policies
            if relay is None or policies is None:
                return  # it will be told at its start
            self._behind = True
            relay.follow(RelayUpdate(policies.for_tenant(self.tenant), self._registry.sets(), self._issued))
            self._behind = False

    def end_relay(self) -> None:
        relay, self.relay = self.relay, None
        if relay is not None:
            relay.end()

    # -- the end
    def close(self) -> None:
        """End relay and lease and delete the folder. Never raises; the revocation goes on in the background."""
        if self._closed:
            return
        self._closed = True
        _open.discard(self)
        self.end_relay()
        held = self.held
        if held is not None:
            # After the interpreter began to shut down no thread starts any more: then do it here.
            try:
                _workers.submit(held.close, "the kernel ended")
            except RuntimeError:
                held.close("the kernel ended")
        shutil.rmtree(self.folder.path, ignore_errors=True)


def weakly(method: Callable[..., None]) -> Callable[..., None]:
    """A bound method that does not keep its object alive, and does nothing once that is gone."""
    reference = weakref.WeakMethod(method)

    def call(*arguments: Any) -> None:
        found = reference()
        if found is not None:
            found(*arguments)

    return call


class Reaper:
    """Closes sessions whose provisioner was dropped.

    The garbage collector may find that out anywhere, also while locks are held: only a `SimpleQueue` may be touched
    there, and everything else is done on a thread.
    """

    def __init__(self) -> None:
        self._dropped: SimpleQueue[tuple[KernelSession, Callable[[], None]]] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def watch(self) -> None:
        """Be ready. To be called before the first session can be dropped."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="qsec-reaper", daemon=True)
            self._thread.start()

    def drop(self, session: KernelSession, then: Callable[[], None]) -> None:
        """Close the session soon, then call `then`. Safe within a finalizer."""
        self._dropped.put((session, then))

    def _run(self) -> None:
        while True:
            session, then = self._dropped.get()
            try:
                session.close()
                then()
            except Exception:
                logging.getLogger(__name__).exception("A dropped kernel could not be cleaned up.")


reaper = Reaper()


@atexit.register
def _close_all() -> None:
    """The program ends: no lease outlives it for longer than it must."""
    for session in list(_open):
        session.close()

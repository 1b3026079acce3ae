"""Starts kernels with a lease instead of credentials, behind a relay, confined where possible."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
import weakref
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

from jupyter_client.connect import KernelConnectionInfo, LocalPortCache

from jupyter_qsec.client.api import LeaseAsk
from jupyter_qsec.domain.lease import MAX_TEXT
from jupyter_qsec.kernels import confinement as confining
from jupyter_qsec.kernels.confinement import Confinement, ConfinementSpec
from jupyter_qsec.kernels.environment import kernel_environment, scrubbed
from jupyter_qsec.kernels.factory import install_default_provisioner
from jupyter_qsec.kernels.observer import KernelFinding, KernelReport, observer, on_loop
from jupyter_qsec.kernels.relay.config import CHANNELS, Endpoint
from jupyter_qsec.kernels.relay_process import RelayError, RelayProcess
from jupyter_qsec.kernels.reporting import report_by_lease
from jupyter_qsec.kernels.session import KernelSession, reaper, weakly
from jupyter_qsec.kernels.settings import KernelSettings

__all__ = ["QsecProvisioner", "install_default_provisioner"]

_LEASE_SECONDS = 3.0
"""How long a kernel's start waits for its lease; afterwards the lease comes when it comes."""
_VERDICT_SECONDS = 20.0
_PORT_ATTEMPTS = 4
_LOOK_SECONDS = 5.0
_MAGICS = "--IPKernelApp.extra_extensions=jupyter_qsec.magics"


class QsecProvisioner(KernelSettings):
    """Starts kernels on this machine as `LocalProvisioner` does, with what keeps secrets apart in between."""

    def __init__(self, *, kernel_id: str, kernel_spec: Any, parent: Any = None, **ignored: Any) -> None:
        """`ignored` comes from the kernelspec, which kernels can write: what protects from them is set elsewhere."""
        super().__init__(kernel_id=kernel_id, kernel_spec=kernel_spec, parent=parent)
        self._session: KernelSession | None = None
        self._finalizer: weakref.finalize[..., Any] | None = None
        self._environ: dict[str, str] = dict(os.environ)
        self._kernel_endpoint: Endpoint | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._report: KernelReport | None = None
        self._spec: ConfinementSpec | None = None
        self._looked = 0.0
        self._missed: RelayProcess | None = None
        """The relay whose end was told."""

    # -- what Jupyter calls
    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Prepare environment, command and lease. Credentials are out before anything is substituted or saved."""
        self._environ = dict(kwargs.get("env") or os.environ)
        if self._server() is None:
            report_by_lease()
        else:
            self._loop = asyncio.get_running_loop()
        session = self._session or self._open_session()
        asked = session.take_lease(self._lease_ask(), weakly(self._lease_changed))
        kwargs["env"] = scrubbed(self._environ, keep=self.keep_environment)
        kwargs = await super().pre_launch(**kwargs)
        kwargs["cmd"] = self._command(session, list(kwargs["cmd"]))
        await self._wait_for_lease(asked)
        return kwargs

    def _finalize_env(self, env: dict[str, str]) -> None:
        super()._finalize_env(env)
        session = self._opened()
        final = kernel_environment(
            env,
            endpoints=session.endpoints,
            token_file=session.folder.token_file,
            keep=self.keep_environment,
        )
        env.clear()
        env.update(final)

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Start relay and kernel at the same time; return when clients can connect."""
        session, endpoint = self._opened(), self._kernel_endpoint
        if endpoint is None:
            raise RuntimeError("The kernel was not prepared.")
        self._require_program(cmd, kwargs.get("env") or {}, kwargs.get("cwd"))
        language = str(getattr(self.kernel_spec, "language", "") or "")
        try:
            relay = session.start_relay(self._client_endpoint(), endpoint, language, self.policies, weakly(self._found))
            verdict = await self._launch(session, cmd, kwargs)
            await self._bind(session, relay, endpoint, language)
        except BaseException:
            await self.kill()
            await self.wait()
            await self._end_session()
            raise
        self._tell(session, verdict)
        return self.connection_info

    async def poll(self) -> int | None:
        """As for any local kernel; a kernel without its relay counts as dead and is made so."""
        status = await super().poll()
        relay = self._session.relay if self._session is not None else None
        if status is None and relay is not None and not relay.alive():
            await self.kill()
            if relay is not self._missed:  # Jupyter asks more than once
                self._missed = relay
                self.log.error("The relay of kernel %s ended; the kernel is stopped.", self.kernel_id)
                observer().relay_ended(self.kernel_id)
            return 1
        if status is None:
            self._look_again()
            self._follow()
        return status

    async def cleanup(self, restart: bool = False) -> None:
        """End the relay; without a restart the lease and the private folder too."""
        await super().cleanup(restart)
        if not restart:
            await self._end_session()
        elif self._session is not None:
            await asyncio.to_thread(self._session.end_relay)

    async def _end_session(self) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        if self._finalizer is not None:
            self._finalizer.detach()
        await asyncio.to_thread(session.close)
        observer().kernel_ended(self.kernel_id)

    # -- lease
    def _opened(self) -> KernelSession:
        if self._session is None:
            raise RuntimeError("The kernel was not prepared.")
        return self._session

    def _open_session(self) -> KernelSession:
        session = self._session = KernelSession()
        # A kernel that died for good is dropped by its manager without any further call.
        reaper.watch()
        self._finalizer = weakref.finalize(self, _abandon, session, self.kernel_id, self._loop)
        self._finalizer.atexit = False  # then all sessions are closed at once
        return session

    def _lease_ask(self) -> LeaseAsk:
        name = Path(self._path).name
        label = f"kernel {self._kernel_name}" + (f" · {name}" if name else "")
        return LeaseAsk(label=label[:MAX_TEXT], holder=f"kernel:{self.kernel_id}")

    async def _wait_for_lease(self, asked: Future[Any]) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(asked)), _LEASE_SECONDS)

    def _lease_changed(self) -> None:
        """The lease came after the kernel had started: tell again."""
        self._follow()
        if self._report is not None and self._session is not None:
            session, report = self._session, self._report
            if report.held is not session.held:
                verdict = Confinement(report.confinement_state, report.confinement_reasons)
                on_loop(self._loop, lambda: self._tell(session, verdict))

    def _follow(self) -> None:
        """Another lease may be of another tenant, with another policy; somebody may have registered a secret."""
        if self._session is not None:
            self._session.follow()

    # -- command
    def _command(self, session: KernelSession, cmd: list[str]) -> list[str]:
        """The kernel's command with its own connection file in place of the clients'."""
        transport = self._transport()
        ports = _free_ports() if transport == "tcp" else {name: number for number, name in enumerate(CHANNELS, 1)}
        self._kernel_endpoint = session.kernel_endpoint(transport, ports)
        own = str(session.write_connection_file(self._kernel_endpoint, self._kernel_name))
        public = self._manager.connection_file
        for path in dict.fromkeys((os.path.realpath(public), os.path.abspath(public), public)):  # noqa: PTH100 - as the manager writes it
            cmd = [own if item == path else item.replace(f"={path}", f"={own}") for item in cmd]
        if self._loads_magics(cmd):
            cmd.append(_MAGICS)
        return cmd

    def _loads_magics(self, cmd: list[str]) -> bool:
        """Only IPython's own kernel in this very environment is sure to have our magics."""
        return cmd[0] == sys.executable and "ipykernel_launcher" in cmd[1:4]

    def _transport(self) -> str:
        if self.kernel_transport != "auto":
            return str(self.kernel_transport)
        return "ipc" if str(self.kernel_spec.language).lower().startswith("python") else "tcp"

    def _require_program(self, cmd: list[str], env: dict[str, str], cwd: str | None) -> None:
        """Fail as a plain start would when there is no such program."""
        program = os.path.expanduser(cmd[0])  # noqa: PTH111 - as jupyter_client does
        base = cwd or os.getcwd()  # noqa: PTH109 - a plain string is wanted
        found = shutil.which(program, path=env.get("PATH")) or shutil.which(os.path.join(base, program))  # noqa: PTH118 - may be absolute
        if found is None:
            raise FileNotFoundError(f"No such program: {program}")

    # -- start
    async def _launch(self, session: KernelSession, cmd: list[str], kwargs: dict[str, Any]) -> Confinement:
        if not confining.supported():
            if self.confinement == "required":
                raise RuntimeError(f"Kernels must be confined, and {confining.OTHER_SYSTEM}.")
            await super().launch_kernel(cmd, **kwargs)
            return Confinement("unconfined", (confining.OTHER_SYSTEM,))
        spec = confining.plan(
            self.confinement,
            session.folder,
            environ=self._environ,
            needed=self._needed(kwargs.get("cwd")),
            extra=self.hidden_paths,
            listed=self.listed(kwargs.get("cwd"), cmd[0], self._environ),
        )
        self._spec = spec
        launch = confining.confine_command(cmd, spec)
        try:
            kwargs["pass_fds"] = (*kwargs.get("pass_fds", ()), *launch.pass_fds)
            await super().launch_kernel(launch.argv, **kwargs)
        except BaseException:
            launch.abandon()
            raise
        launch.started()
        verdict = await launch.verdict(_VERDICT_SECONDS)
        reasons = (*self._open_doors(), *verdict.reasons)
        if self.confinement == "off":
            reasons = ("confinement is switched off", *reasons)
        if reasons and self.confinement == "required":
            raise RuntimeError(f"The kernel cannot be confined, as is required: {'; '.join(reasons)}")
        return Confinement("unconfined" if reasons else "confined", reasons)

    def _look_again(self) -> None:
        """Something to hide may come into being after the start, where no cover lies."""
        session, spec, report = self._session, self._spec, self._report
        now = time.monotonic()
        if session is None or spec is None or report is None or now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        if report.confinement_state == "confined" and (appeared := confining.appeared(spec)):
            reasons = tuple(f"{path} appeared after the kernel had started; restart it" for path in appeared)
            self._tell(session, Confinement("unconfined", reasons))

    def _needed(self, cwd: str | None) -> list[str]:
        home = self._environ.get("HOME", "")
        return [cwd or os.getcwd(), home, sys.prefix, sys.base_prefix, sys.executable]  # noqa: PTH109 - as above

    def _open_doors(self) -> tuple[str, ...]:
        """Ways around every confinement that the server itself offers."""
        identity = getattr(self._server(), "identity_provider", None)
        if identity is not None and getattr(identity, "auth_enabled", True) is False:
            return ("the server asks for no token, so a kernel can open a terminal through it",)
        return ()

    async def _bind(self, session: KernelSession, relay: RelayProcess, kernel: Endpoint, language: str) -> None:
        """Wait until clients can connect. Ports that were taken meanwhile are replaced while nobody knows them."""
        first = self._report is None and self._manager.transport == "tcp"
        for attempt in range(_PORT_ATTEMPTS):
            try:
                await asyncio.wrap_future(relay.bound)
            except RelayError as error:
                if not (error.address_taken and first and attempt + 1 < _PORT_ATTEMPTS):
                    raise
                await asyncio.to_thread(session.end_relay)
                self._new_client_ports()
                relay = session.start_relay(
                    self._client_endpoint(), kernel, language, self.policies, weakly(self._found)
                )
            else:
                return

    def _new_client_ports(self) -> None:
        manager, cache = self._manager, LocalPortCache.instance()
        manager.cleanup_connection_file()
        for channel in CHANNELS:
            if self.ports_cached:
                cache.return_port(getattr(manager, f"{channel}_port"))
            setattr(manager, f"{channel}_port", cache.find_available_port(manager.ip))
        self.ports_cached = True
        manager.write_connection_file(jupyter_session=self._path)
        self.connection_info = manager.get_connection_info()

    def _client_endpoint(self) -> Endpoint:
        info: dict[str, Any] = dict(self.connection_info)
        return Endpoint(
            transport=info["transport"],
            ip=info["ip"],
            ports={channel: info[f"{channel}_port"] for channel in CHANNELS},
            key=info["key"],
            signature_scheme=info["signature_scheme"],
            curve_publickey=str(info.get("curve_publickey", "")).encode("ascii"),
            curve_secretkey=str(info.get("curve_secretkey", "")).encode("ascii"),
        )

    # -- telling
    def _tell(self, session: KernelSession, verdict: Confinement) -> None:
        report = self._report = KernelReport(
            kernel_id=self.kernel_id,
            name=self._kernel_name,
            path=self._path,
            held=session.held,
            lease_problem=session.lease_problem,
            confinement_state=verdict.state,
            confinement_reasons=verdict.reasons,
        )
        if session.held is not None:
            session.held.report_confinement(report.confinement)
        if report.lease_problem:
            self.log.warning("Kernel %s has no lease: %s", self.kernel_id, report.lease_problem)
        if verdict.state == "unconfined":
            self.log.warning("Kernel %s is unconfined: %s", self.kernel_id, "; ".join(verdict.reasons))
        observer().kernel_started(self.kernel_id, report)

    def _found(self, findings: list[KernelFinding]) -> None:
        on_loop(self._loop, lambda: observer().findings(self.kernel_id, findings))

    @property
    def _path(self) -> str:
        return self._environ.get("JPY_SESSION_NAME", "")

    @property
    def _kernel_name(self) -> str:
        return str(getattr(self.parent, "kernel_name", ""))

    @property
    def _manager(self) -> Any:
        if self.parent is None:
            raise RuntimeError("The qsec provisioner needs a kernel manager.")
        return self.parent

    def _server(self) -> Any:
        """The Jupyter Server that manages this kernel; `None` for a console or nbclient."""
        mapping = getattr(self.parent, "parent", None)
        server = getattr(mapping, "parent", None)
        return server if hasattr(server, "web_app") else None


def _abandon(session: KernelSession, kernel_id: str, loop: asyncio.AbstractEventLoop | None) -> None:
    reaper.drop(session, lambda: on_loop(loop, lambda: observer().kernel_ended(kernel_id)))


def _free_ports() -> dict[str, int]:
    cache = LocalPortCache.instance()
    return {channel: cache.find_available_port("127.0.0.1") for channel in CHANNELS}

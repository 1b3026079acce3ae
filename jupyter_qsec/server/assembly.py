"""Puts the extension's parts together, starts and stops them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from jupyter_core.utils import ensure_async
from tornado.ioloop import PeriodicCallback

from jupyter_qsec.client.home import QsecHome
from jupyter_qsec.client.registry import RegisteredHere
from jupyter_qsec.client.wire import FindingRecord
from jupyter_qsec.domain.activity import SessionLimits, TenantLimits
from jupyter_qsec.domain.errors import InvalidRequestError, QsecError
from jupyter_qsec.kernels import observer
from jupyter_qsec.kernels.leases import use_keeper
from jupyter_qsec.kernels.observer import KernelFinding, KernelReport
from jupyter_qsec.scanning.engine import Engine
from jupyter_qsec.scanning.finding import Finding
from jupyter_qsec.scanning.live import Together
from jupyter_qsec.scanning.scanner import Scanner, ScannerConfig
from jupyter_qsec.server.contents import SaveGuard
from jupyter_qsec.server.findings import FindingsBoard
from jupyter_qsec.server.kernelview import ServerKernels
from jupyter_qsec.server.notices import Log, Notices
from jupyter_qsec.server.opened import OpenedNotebooks
from jupyter_qsec.server.registry import KernelRegistry
from jupyter_qsec.server.sessions import SessionWatch
from jupyter_qsec.server.state import ExtensionState
from jupyter_qsec.server.supervisor import GatewayService, LeaseDefaults
from jupyter_qsec.server.terminals import TerminalWatch

_MAX_SEARCHED = 5 << 20
_FOREVER = timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class Defaults:
    """The configuration of `QsecExtension`, in its units."""

    tenant: str = ""
    project: str = ""
    idle_minutes: float = 60.0
    absolute_hours: float = 12.0
    warn_minutes: float = 5.0
    on_save: str = "redact"
    tenant_limits: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """By tenant: any of `idle_minutes`, `absolute_hours` and `warn_minutes`."""

    @property
    def limits(self) -> TenantLimits:
        """Raises `InvalidRequestError` for a name that is no limit."""
        own = {tenant: self._limits(settings) for tenant, settings in self.tenant_limits.items()}
        return TenantLimits(self._limits({}), own)

    def _limits(self, settings: Mapping[str, float]) -> SessionLimits:
        units = {
            "idle_minutes": self.idle_minutes,
            "absolute_hours": self.absolute_hours,
            "warn_minutes": self.warn_minutes,
        }
        if unknown := sorted(settings.keys() - units.keys()):
            raise InvalidRequestError(f"{unknown[0]!r} is no limit.", remedy=f"Limits are {', '.join(units)}.")
        units |= settings
        return SessionLimits(
            idle=timedelta(minutes=units["idle_minutes"]),
            absolute=timedelta(hours=units["absolute_hours"]),
            warn_before=timedelta(minutes=max(0.0, units["warn_minutes"])),
        )

    @property
    def leases(self) -> LeaseDefaults:
        every = (self.limits.common, *self.limits.tenants.values())
        absolute = max((limits.absolute if limits.absolute > timedelta(0) else _FOREVER) for limits in every)
        return LeaseDefaults(self.tenant, self.project, absolute if absolute > timedelta(0) else _FOREVER)


@dataclass(slots=True)
class ExtensionParts:
    """What runs beside the server."""

    state: ExtensionState
    reporter: Reporter
    notices: Notices
    terminals: TerminalWatch
    log: Log
    opened: OpenedNotebooks | None = None
    """Set once the contents manager is watched."""
    _ticking: PeriodicCallback | None = None
    _forwarding: asyncio.Task[None] | None = None
    _begun: bool = False

    async def begin(self, loop: asyncio.AbstractEventLoop, *, with_gateway: bool) -> None:
        """Start the gateway and the watches; returns at once."""
        if self._begun:
            return
        self._begun = True
        self.notices.bind(loop)
        if with_gateway:
            self.state.gateway.start()
        watch = self.state.sessions

        async def tick() -> None:
            await watch.tick()
            await self.terminals.tick()

        self._ticking = PeriodicCallback(tick, watch.period.total_seconds() * 1000)
        self._ticking.start()
        self._forwarding = loop.create_task(self.state.findings.forward())

    async def end(self) -> None:
        """Stop everything, in the order in which it depends on each other."""
        if self._ticking is not None:
            self._ticking.stop()
        if self._forwarding is not None:
            self._forwarding.cancel()
            with suppress(asyncio.CancelledError):
                await self._forwarding
            self._forwarding = None
        if self.opened is not None:
            await self.opened.settle()
        await self.state.sessions.settle()
        await self.reporter.settle()
        observer.register(None)
        use_keeper(None)
        await self.state.gateway.close()
        await asyncio.to_thread(self.state.gateway.stop)
        self.notices.bind(None)


@dataclass(slots=True)
class Reporter:
    """Passes events on to the gateway's record, without ever holding up what they are about."""

    gateway: GatewayService
    log: Log
    _under_way: set[asyncio.Task[None]] = field(default_factory=set)

    async def report(self, kind: str, lease_id: str, subject: str, details: dict[str, Any]) -> None:
        try:
            await self.gateway.api().report_event(kind, lease_id=lease_id, subject=subject[:500], details=details)
        except QsecError as error:
            self.log.warning("%s was not recorded: %s", kind, error)

    def soon(self, kind: str, lease_id: str, subject: str, details: dict[str, Any]) -> None:
        """As `report`, beside whatever runs; without an event loop there is nobody to report to."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.log.warning("%s was not recorded: no event loop runs", kind)
            return
        task = loop.create_task(self.report(kind, lease_id, subject, details))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def send_findings(self, findings: Sequence[FindingRecord]) -> int:
        return await self.gateway.api().report_findings(findings)

    async def settle(self) -> None:
        if self._under_way:
            await asyncio.gather(*self._under_way, return_exceptions=True)


def assemble(serverapp: Any, home: QsecHome, defaults: Defaults, options: Sequence[str], log: Log) -> ExtensionParts:
    """Build the parts and make them known to the provisioner. Starts no process and waits for nothing."""
    notices = Notices(serverapp.event_logger, log)
    gateway = GatewayService(home, notices, log, options=options, defaults=defaults.leases)
    reporter = Reporter(gateway, log)
    findings = FindingsBoard(reporter.send_findings, notices, log)
    kernels = ServerKernels(serverapp.kernel_manager, serverapp.session_manager)
    listener = KernelListener(kernels, findings, reporter, notices, serverapp.contents_manager)
    registry = listener.registry = KernelRegistry(listener.started, listener.found, listener.relay_ended)
    sessions = SessionWatch(defaults.limits, kernels, registry, notices, reporter.report, log)
    state = ExtensionState(gateway, registry, kernels, sessions, findings, defaults.on_save)
    use_keeper(gateway.keeper, lambda: gateway.endpoints)
    observer.register(registry)
    terminals = TerminalWatch(
        defaults.limits.of(defaults.tenant),
        lambda: serverapp.web_app.settings.get("terminal_manager"),
        reporter.report,
        log,
    )
    return ExtensionParts(state, reporter, notices, terminals, log)


class KernelListener:
    """Turns what the provisioner and the relay tell into findings and entries of the record."""

    registry: KernelRegistry

    def __init__(
        self, kernels: ServerKernels, findings: FindingsBoard, reporter: Reporter, notices: Notices, contents: Any
    ) -> None:
        self._kernels, self._findings, self._reporter, self._contents = kernels, findings, reporter, contents
        self._notices = notices
        self._tasks: set[asyncio.Task[None]] = set()

    def started(self, report: KernelReport, is_new: bool) -> None:
        """A kernel's start goes on record with or without a lease."""
        if not is_new:
            return
        lease = None if report.held is None else report.held.lease
        details: dict[str, Any] = {"kernel": report.kernel_id, "name": report.name, "confinement": report.confinement}
        if lease is None:
            details["problem"] = report.lease_problem[:500]
        self._reporter.soon(
            "kernel.unleased" if lease is None else "kernel.started",
            "" if lease is None else lease["id"],
            report.path,
            details,
        )

    def relay_ended(self, kernel_id: str) -> None:
        """On record, and told to whoever looks at the notebook: else it would look like any kernel that died."""
        self._soon(self._tell_of_relay(kernel_id))

    def found(self, kernel_id: str, findings: list[KernelFinding]) -> None:
        self._soon(self._add(kernel_id, findings))

    def _soon(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _path(self, kernel_id: str) -> str:
        report = self.registry.reports.get(kernel_id)
        return await self._kernels.path(kernel_id) or ("" if report is None else report.path)

    async def _tell_of_relay(self, kernel_id: str) -> None:
        path = await self._path(kernel_id)
        self._reporter.soon("kernel.relay-ended", self.registry.lease_id(kernel_id), path, {"kernel": kernel_id})
        self._notices.relay_ended(kernel_id, path)

    async def _add(self, kernel_id: str, findings: list[KernelFinding]) -> None:
        path = await self._path(kernel_id)
        numbers = await self._cell_numbers(path) if any(finding.cell_id for finding in findings) else {}
        lease_id = self.registry.lease_id(kernel_id)
        for finding in findings:
            self._findings.add(
                found_at=finding.found_at,
                kernel_id=kernel_id,
                lease_id=lease_id,
                path=path,
                cell=numbers.get(finding.cell_id, ""),
                cell_id=finding.cell_id,
                place=finding.place,
                line=finding.line,
                kind=finding.kind,
                preview=finding.preview,
                fingerprint=finding.fingerprint,
                action=finding.action,
            )
            if finding.action == "blocked":
                details = {"kernel": kernel_id, "kind": finding.kind, "fingerprint": finding.fingerprint}
                self._reporter.soon("cell.blocked", lease_id, path, details)

    async def _cell_numbers(self, path: str) -> dict[str, str]:
        """Numbers (from 1) of the saved notebook's cells by their ids; empty when it cannot be told cheaply."""
        try:
            about = await ensure_async(self._contents.get(path, content=False, type="notebook"))
            if (about.get("size") or 0) > _MAX_SEARCHED:
                return {}
            cells = (await ensure_async(self._contents.get(path, content=True, type="notebook")))["content"]["cells"]
            return {str(cell["id"]): str(number) for number, cell in enumerate(cells, 1) if cell.get("id")}
        except Exception:  # noqa: BLE001 - contents managers raise anything; a finding without its number is still shown
            return {}


def guard_saves(contents_manager: Any, parts: ExtensionParts, log: Log) -> None:
    """Let every save of a notebook pass the scanner, and every notebook that is opened."""
    state = parts.state
    try:
        key = state.gateway.home.fingerprint_key()
    except QsecError as error:
        log.warning("fingerprints of findings are good for this run only: %s", error)
        key = secrets.token_bytes(32)

    known = Together(RegisteredHere(state.gateway.home), state.gateway.issued)
    scanner = Scanner(ScannerConfig(key), engine=Engine.default(live=known))

    def saved(found: list[Finding], action: str) -> None:
        now = datetime.now(UTC)
        state.findings.add_many(
            {
                "found_at": now,
                "path": finding.path,
                "cell": finding.cell,
                "cell_id": finding.cell_id,
                "place": finding.place,
                "line": finding.line,
                "kind": finding.kind,
                "preview": finding.preview,
                "fingerprint": finding.fingerprint,
                "action": action,
            }
            for finding in found
        )
        if found and action in ("redacted", "refused"):
            details = {"findings": len(found), "kinds": ",".join(sorted({finding.kind for finding in found}))[:500]}
            parts.reporter.soon(f"save.{action}", "", found[0].path, details)

    SaveGuard(scanner, state.on_save, saved).attach(contents_manager)
    parts.opened = OpenedNotebooks(contents_manager, scanner, saved, log)
    parts.opened.attach()

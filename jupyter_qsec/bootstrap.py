"""Wires the adapters into the use cases: the one module of the gateway wing that knows every concrete class."""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import pwd
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from jupyter_qsec.adapters.catalogue import FileCatalogue, catalogue_of
from jupyter_qsec.adapters.clock import CommonClock, SystemClock
from jupyter_qsec.adapters.devices.embedded import EmbeddedDevices
from jupyter_qsec.adapters.identity.choice import identities_of
from jupyter_qsec.adapters.identity.hubapi import HubAddress
from jupyter_qsec.adapters.identity.hubroster import HubRoster
from jupyter_qsec.adapters.identity.jupyterhub import HubIdentities
from jupyter_qsec.adapters.identity.workload import WorkloadIdentities
from jupyter_qsec.adapters.keys import open_key_store
from jupyter_qsec.adapters.keys.signing import NoteSigner
from jupyter_qsec.adapters.metering import CountingPolicy, Metrics, Moment
from jupyter_qsec.adapters.policy import CedarPolicy, policies_in
from jupyter_qsec.adapters.privatefiles import ensure_private_directory, has_room
from jupyter_qsec.adapters.providers.awsroles import AwsRoles
from jupyter_qsec.adapters.providers.daskaddress import DaskCluster
from jupyter_qsec.adapters.providers.dasklog import logging_kept
from jupyter_qsec.adapters.providers.simulator import SimulatorExecutor
from jupyter_qsec.adapters.results import FileResultStore
from jupyter_qsec.adapters.store import PATIENCE_SECONDS, Database, PostgresDatabase, SqliteDatabase, SqlStore
from jupyter_qsec.application.claims import Signatures
from jupyter_qsec.application.departures import LOOK_SECONDS, Departures
from jupyter_qsec.application.dispatch import Dispatcher
from jupyter_qsec.application.health import FRESH_SECONDS as HEALTH_FRESH_SECONDS
from jupyter_qsec.application.health import Health
from jupyter_qsec.application.leasing import FRESH_SECONDS, Leasing
from jupyter_qsec.application.objects import Objects
from jupyter_qsec.application.pausing import Pausing
from jupyter_qsec.application.ports import (
    Catalogue,
    Devices,
    ExecutionLimits,
    Executor,
    Identities,
    KeyStore,
    Policy,
    ResultStore,
    Roster,
    Store,
)
from jupyter_qsec.application.providersessions import ProviderSessions
from jupyter_qsec.application.queueing import Dispatch
from jupyter_qsec.application.recording import Recorder, ReportLimit
from jupyter_qsec.application.rootsecrets import RootSecrets, root_key
from jupyter_qsec.application.rotation import Rotation
from jupyter_qsec.application.running import Runner
from jupyter_qsec.application.sharing import SharedDispatcher
from jupyter_qsec.application.submission import Submissions
from jupyter_qsec.application.taskbook import TaskBook
from jupyter_qsec.application.tasks import Tasks
from jupyter_qsec.application.tokens import CredentialForge
from jupyter_qsec.domain.audit import AuditEvent
from jupyter_qsec.domain.errors import InvalidRequestError, KeyStoreError, QsecError, StateDirectoryError
from jupyter_qsec.domain.principal import Principal, Role
from jupyter_qsec.domain.rootsecret import AUDIT_LOG, LEASES

_log = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 60.0
_FLUSH_SECONDS = 15.0
_TIME_SECONDS = 15.0
_SECRETS_SECONDS = {True: 1.0, False: 15.0}
"""Where other processes may replace root secrets, and where only what could not be read is tried again."""
_SCRAPE_SECONDS = 2.0


@dataclass(frozen=True)
class GatewayConfig:
    """How one gateway is set up."""

    home: Path
    """The state directory: exists, mode 0700, checked."""
    settings: Path | None = None
    """Where `tenants.toml` and `policies/` lie, only read; `None`: in the state directory."""
    shared: Path | None = None
    """Where keys, results and checkpoints lie, when gateways with state directories of their own share them and the
    database; `None`: in the state directory."""
    keystore: str = "auto"
    """`auto`, `keyring`, `file`, or the name of one that a package brings."""
    workers: int = 0
    """Simulator processes of its own; 0: as many as there are CPUs, 4 at most."""
    dask: DaskCluster | None = None
    """The Dask cluster that runs the simulations instead."""
    limits: ExecutionLimits = field(default_factory=ExecutionLimits)
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    witness: Path | None = None
    """A file elsewhere, best on another disk or host, that gets each published checkpoint too."""
    hub: HubAddress | None = None
    """The JupyterHub whose people and services use this gateway."""
    ambient: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The variables `AWS_*` that the gateway was started with."""
    database: str = field(default="", repr=False)
    """URL of a PostgreSQL database, which may hold a password; empty: SQLite in the state directory."""
    patience: float = PATIENCE_SECONDS
    """How long, in seconds, a database that went away is waited for."""
    health_seconds: float = HEALTH_FRESH_SECONDS
    """How long `/health` remembers what it saw."""


@dataclass
class Gateway:
    """Everything that the HTTP layer serves."""

    home: Path
    instance: str
    """Random, new at every start."""
    started_at: datetime
    operator: Principal
    """The operating-system account, whom the control token stands for."""
    secrets: RootSecrets
    clock: CommonClock
    catalogue: Catalogue
    policy: Policy
    store: Store
    results: ResultStore
    devices: Devices
    limits: ExecutionLimits
    executor: Executor
    recorder: Recorder
    reports: ReportLimit
    leasing: Leasing
    rotation: Rotation
    provider: ProviderSessions
    dispatcher: Dispatch
    submissions: Submissions
    tasks: Tasks
    pausing: Pausing
    objects: Objects
    health: Health
    metrics: Metrics
    identities: Identities | None = None
    """Who else than the operator and holders of leases may call; `None`: nobody."""
    roster: Roster | None = None
    """Whom the hub knows; `None`: there is no hub."""
    time: Callable[[], Awaitable[datetime]] | None = None
    """Tells the time that the gateways on one database have in common; `None`: there are no others."""
    signatures: Signatures | None = None
    """The record of request signatures that the processes of this gateway share; `None`: this one is alone."""
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    _checkpoint_size: int = 0
    _housekeeping: Sequence[asyncio.Task[None]] = ()

    async def start(self) -> None:
        """Open the store, take up what an earlier gateway left, begin the housekeeping."""
        await self.store.open()
        try:
            await self.agree_on_time()
            await self.store.record([self._own_event("gateway.started")])
            await self.secrets.open()
            await self.dispatcher.start()
        except BaseException:
            await self.close()
            raise
        loop = asyncio.get_running_loop()
        learning = _SECRETS_SECONDS[self.time is not None]
        self._housekeeping = (
            loop.create_task(self._every(self.checkpoint_seconds, self.publish_checkpoint), name="checkpoints"),
            loop.create_task(self._every(_FLUSH_SECONDS, self.recorder.flush), name="refusal counts"),
            loop.create_task(self._every(_TIME_SECONDS, self.agree_on_time), name="the common time"),
            loop.create_task(self._every(learning, self.secrets.learn), name="root secrets"),
        )
        if self.roster is not None:
            watch = self._every(LOOK_SECONDS, self._departures(self.roster).look)
            self._housekeeping = (*self._housekeeping, loop.create_task(watch, name="departures"))

    async def close(self) -> None:
        """Stop dispatching, publish the log's head, close the store."""
        for task in self._housekeeping:
            task.cancel()
        await asyncio.gather(*self._housekeeping, return_exceptions=True)
        await self.dispatcher.close()
        await self.health.close()
        try:
            await self.recorder.close()
            await self.store.record([self._own_event("gateway.stopped")])
            await self.publish_checkpoint()
        except QsecError as error:
            _log.error("the end could not be recorded: %s", error.message)
        await self.store.close()

    async def exposition(self) -> bytes:
        """The metrics of this moment. A store that does not answer soon leaves its own out."""
        problem = await self.health.problem()
        figures = None
        if not problem:
            with suppress(QsecError, TimeoutError):
                figures = await asyncio.wait_for(self.store.figures(self.clock.now()), _SCRAPE_SECONDS)
        running, waiting = self.dispatcher.load
        return self.metrics.exposition(
            Moment(
                now=self.clock.now(),
                waiting=waiting,
                running=running,
                workers=self.executor.capacity,
                busy=self.executor.busy,
                healthy=not problem,
                secrets=self.secrets.made(),
                figures=figures,
            )
        )

    def page_key(self) -> bytes:
        """Seals page tokens; the same in all processes."""
        return self._key_for(b"jupyter_qsec page tokens")

    def dashboard_key(self) -> bytes:
        """Seals what browsers keep; the same in all processes."""
        return self._key_for(b"jupyter_qsec dashboard")

    def _key_for(self, what: bytes) -> bytes:
        return hmac.digest(self.secrets.in_force(LEASES, self.clock.now().timestamp()), what, "sha256")

    async def agree_on_time(self) -> None:
        """Go by the database's clock where others share it: their machines may have the wrong time, or this one."""
        if self.time is not None:
            await self.clock.agree(self.time)

    async def publish_checkpoint(self) -> None:
        """Sign and publish the head when the log has grown since the last time."""
        size = await self.store.audit_size()
        if size != self._checkpoint_size:
            self._checkpoint_size = (await self.store.checkpoint()).size

    async def _every(self, seconds: float, action: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await action()
            except QsecError as error:
                _log.error("housekeeping: %s", error.message)
            except Exception:  # noqa: BLE001 - a defect here must cost one round, never the housekeeping
                _log.exception("housekeeping failed")

    def _departures(self, roster: Roster) -> Departures:
        return Departures(
            store=self.store,
            leasing=self.leasing,
            roster=roster,
            dispatcher=self.dispatcher,
            clock=self.clock,
            actor=self.operator,
        )

    def _own_event(self, kind: str) -> AuditEvent:
        return AuditEvent(
            kind, self.clock.now(), principal=self.operator.id, subject=self.instance, outcome="completed"
        )


def operating_system_principal() -> Principal:
    """The account that runs the gateway: identity on one machine. Environment variables such as `USER`
    are not believed."""
    try:
        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        name = f"uid-{os.geteuid()}"
    return Principal(f"os:{name}", name, roles=frozenset({Role.DEVELOPER, Role.WORKSPACE_ADMIN, Role.AUDITOR}))


def _keys(config: GatewayConfig) -> tuple[KeyStore, NoteSigner]:
    """The key store, and the log's signer."""
    choice = "file" if config.shared is not None and config.keystore == "auto" else config.keystore
    try:
        keys = open_key_store(choice, config.shared or config.home)
        return keys, NoteSigner(root_key(keys, AUDIT_LOG))
    except StateDirectoryError as error:
        raise KeyStoreError(error.message, remedy=error.remedy) from error


def _folder(config: GatewayConfig) -> Path:
    """Where keys, results and checkpoints lie. `InvalidRequestError` when they cannot be shared."""
    if config.shared is None:
        return config.home
    if not config.database:
        raise InvalidRequestError(
            "--shared is for gateways that share a PostgreSQL database.",
            remedy="Name one in JUPYTER_QSEC_DATABASE_URL, or leave --shared out.",
        )
    if config.keystore == "keyring":
        raise InvalidRequestError(
            "A keyring is one machine's, and --shared is for gateways on several.", remedy="Use --keystore file."
        )
    ensure_private_directory(config.shared)
    return config.shared


def _database(config: GatewayConfig) -> Database:
    return PostgresDatabase(config.database) if config.database else SqliteDatabase(config.home / "state.db")


def _executor(config: GatewayConfig) -> Executor:
    if config.dask is None:
        return SimulatorExecutor(config.workers or min(4, os.cpu_count() or 1), config.limits)
    try:
        with logging_kept():
            from jupyter_qsec.adapters.providers.daskexecutor import DaskExecutor
    except ImportError:
        raise InvalidRequestError(
            "Simulations on Dask need the package distributed.", remedy="Install jupyter_qsec[dask]."
        ) from None
    return DaskExecutor(config.dask, config.limits)


def _identities(config: GatewayConfig, catalogue: FileCatalogue, clock: CommonClock) -> Identities | None:
    hub = HubIdentities(config.hub, catalogue.membership, catalogue.claims) if config.hub else None
    if hub and catalogue.require_mfa and "mfa" not in catalogue.claims:
        _log.warning("tenants.toml maps no claim mfa, so roles that demand a second factor count for nobody")
    rules = catalogue.workloads
    return identities_of(hub, WorkloadIdentities(rules, catalogue.membership, clock) if rules else None)


async def build(config: GatewayConfig) -> Gateway:
    """All parts of a gateway, wired but not started.

    `InvalidRequestError` names a wrong file and line, `StateDirectoryError` what is wrong with the state directory,
    `KeyStoreError` with the key store."""
    home, folder = config.home, _folder(config)
    shared = bool(config.database)  # others may use it, on this machine or elsewhere
    clock = CommonClock(SystemClock())
    settings = config.settings or home
    catalogue = catalogue_of(settings)
    access = catalogue.provider
    metrics = Metrics(catalogue, catalogue.membership.grants)
    mfa_of = ("hub",) if catalogue.require_mfa else ()
    policy = CountingPolicy(CedarPolicy(policies_in(settings / "policies"), mfa_of=mfa_of), metrics)
    keys, signer = _keys(config)
    for name in ("results", "checkpoints"):
        ensure_private_directory(folder / name)
    store = SqlStore(
        _database(config),
        signer=signer,
        clock=clock,
        checkpoint_dir=folder / "checkpoints",
        witness=config.witness,
        shared=shared,
        patience=config.patience,
        observer=metrics,
    )
    operator = operating_system_principal()
    root_secrets = RootSecrets(store, keys, policy, clock, operator)
    forge = CredentialForge(root_secrets.of(LEASES))
    leasing = Leasing(store, catalogue, policy, clock, forge, fresh_seconds=FRESH_SECONDS if shared else None)
    results = FileResultStore(folder / "results")
    devices = EmbeddedDevices(config.limits)
    executor = _executor(config)
    recorder = Recorder(store, clock)
    book = TaskBook(store, shared=shared)
    runner = Runner(store=store, book=book, executor=executor, results=results, devices=devices, clock=clock)
    dispatcher: Dispatch
    if shared:
        dispatcher = SharedDispatcher(
            claims=store.claims,
            book=book,
            runner=runner,
            executor=executor,
            catalogue=catalogue,
            clock=clock,
        )
    else:
        dispatcher = Dispatcher(
            store=store,
            book=book,
            runner=runner,
            executor=executor,
            catalogue=catalogue,
            clock=clock,
        )
    objects = Objects(results, store, policy, clock)
    return Gateway(
        home=home,
        instance=secrets.token_hex(16),
        started_at=clock.now(),
        operator=operator,
        secrets=root_secrets,
        clock=clock,
        catalogue=catalogue,
        policy=policy,
        store=store,
        results=results,
        devices=devices,
        limits=config.limits,
        executor=executor,
        recorder=recorder,
        reports=ReportLimit(clock),
        leasing=leasing,
        rotation=Rotation(root_secrets, leasing, policy),
        provider=ProviderSessions(
            access=access,
            roles=AwsRoles(access, config.ambient) if access else None,
            secrets=root_secrets,
            store=store,
            catalogue=catalogue,
            policy=policy,
            clock=clock,
        ),
        dispatcher=dispatcher,
        submissions=Submissions(
            store=store,
            devices=devices,
            policy=policy,
            buckets=objects,
            dispatcher=dispatcher,
            recorder=recorder,
            clock=clock,
            limits=config.limits,
        ),
        tasks=Tasks(store=store, book=book, dispatcher=dispatcher, policy=policy, recorder=recorder, clock=clock),
        pausing=Pausing(store, catalogue, policy, dispatcher, clock),
        objects=objects,
        health=Health(
            store, policy, lambda: has_room(folder), lambda: root_secrets.complete, fresh=config.health_seconds
        ),
        metrics=metrics,
        identities=_identities(config, catalogue, clock),
        roster=HubRoster(config.hub) if config.hub else None,
        checkpoint_seconds=config.checkpoint_seconds,
        time=store.claims.time if shared else None,
        signatures=store.signatures if shared else None,
    )

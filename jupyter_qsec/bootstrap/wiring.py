"""Wires the adapters into the use cases: the one module of the gateway wing that knows every concrete class."""

from __future__ import annotations

import asyncio
import logging
import os
import pwd
import secrets
from pathlib import Path

from jupyter_qsec.adapters.catalogue import FileCatalogue, catalogue_of
from jupyter_qsec.adapters.clock import CommonClock, SystemClock
from jupyter_qsec.adapters.devices.embedded import EmbeddedDevices
from jupyter_qsec.adapters.identity.choice import identities_of
from jupyter_qsec.adapters.identity.hubaddress import HubAddress
from jupyter_qsec.adapters.keys import open_key_store
from jupyter_qsec.adapters.keys.signing import NoteSigner
from jupyter_qsec.adapters.metering import CountingPolicy, Metrics
from jupyter_qsec.adapters.policy import CedarPolicy, policies_in
from jupyter_qsec.adapters.privatefiles import ensure_private_directory, has_room
from jupyter_qsec.adapters.providers.awsroles import AwsRoles
from jupyter_qsec.adapters.providers.dasklog import logging_kept
from jupyter_qsec.adapters.providers.simulator import SimulatorExecutor
from jupyter_qsec.adapters.results import FileResultStore
from jupyter_qsec.adapters.store import Database, PostgresDatabase, SqliteDatabase, SqlStore
from jupyter_qsec.adapters.store.migrating import known_signer
from jupyter_qsec.application.dispatch import Dispatcher
from jupyter_qsec.application.health import Health
from jupyter_qsec.application.keyreading import KEY_BYTES
from jupyter_qsec.application.leasing import FRESH_SECONDS, Leasing
from jupyter_qsec.application.objects import Objects
from jupyter_qsec.application.pausing import Pausing
from jupyter_qsec.application.ports import (
    Executor,
    Identities,
    KeyStore,
    Roster,
)
from jupyter_qsec.application.providersessions import ProviderSessions
from jupyter_qsec.application.queueing import Dispatch
from jupyter_qsec.application.recording import Recorder, ReportLimit
from jupyter_qsec.application.rootsecrets import RootSecrets
from jupyter_qsec.application.rotation import Rotation
from jupyter_qsec.application.running import Runner
from jupyter_qsec.application.sharing import SharedDispatcher
from jupyter_qsec.application.submission import Submissions
from jupyter_qsec.application.taskbook import TaskBook
from jupyter_qsec.application.tasks import Tasks
from jupyter_qsec.application.tokens import CredentialForge
from jupyter_qsec.bootstrap.config import GatewayConfig
from jupyter_qsec.bootstrap.gateway import Gateway
from jupyter_qsec.domain.errors import InvalidRequestError, KeyStoreError, StateDirectoryError
from jupyter_qsec.domain.principal import Principal, Role
from jupyter_qsec.domain.rootsecret import AUDIT_LOG, LEASES

_log = logging.getLogger(__name__)


def operating_system_principal() -> Principal:
    """The account that runs the gateway: identity on one machine. Environment variables such as `USER`
    are not believed."""
    try:
        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        name = f"uid-{os.geteuid()}"
    return Principal(f"os:{name}", name, roles=frozenset({Role.DEVELOPER, Role.WORKSPACE_ADMIN, Role.AUDITOR}))


def _keys(config: GatewayConfig, database: Database) -> tuple[KeyStore, NoteSigner]:
    """The key store, and the log's signer, whose key is made when there is neither key nor log."""
    choice = "file" if config.shared is not None and config.keystore == "auto" else config.keystore
    try:
        keys = open_key_store(choice, config.shared or config.home)
        seed = keys.read(AUDIT_LOG)
    except StateDirectoryError as error:
        raise KeyStoreError(error.message, remedy=error.remedy) from error
    if seed is None:
        seed = _first_seed(keys, known_signer(database, config.patience))
    if len(seed) != KEY_BYTES:
        raise KeyStoreError(f"The key that signs the audit log has not {KEY_BYTES} bytes.")
    return keys, NoteSigner(seed)


def _first_seed(keys: KeyStore, signer: str) -> bytes:
    if signer:
        raise KeyStoreError(
            f"The audit log is signed with a key that is not in the key store ({keys.description}).",
            remedy="Gateways on one database share their keys: give each the same --shared directory. "
            "If the key was lost, bring back the key store that the log was started with.",
        )
    try:
        return keys.create(AUDIT_LOG, secrets.token_bytes(KEY_BYTES))
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


# Clients of hubs and verifiers of tokens take a while to load, and a gateway on one machine has neither.
def _identities(config: GatewayConfig, catalogue: FileCatalogue, clock: CommonClock) -> Identities | None:
    workloads = None
    if catalogue.workloads:
        from jupyter_qsec.adapters.identity.workload import WorkloadIdentities

        workloads = WorkloadIdentities(catalogue.workloads, catalogue.membership, clock)
    return identities_of(_hub_identities(config.hub, catalogue) if config.hub else None, workloads)


def _hub_identities(hub: HubAddress, catalogue: FileCatalogue) -> Identities:
    from jupyter_qsec.adapters.identity.jupyterhub import HubIdentities

    if catalogue.require_mfa and "mfa" not in catalogue.claims:
        _log.warning("tenants.toml maps no claim mfa, so roles that demand a second factor count for nobody")
    return HubIdentities(hub, catalogue.membership, catalogue.claims)


def _roster(hub: HubAddress) -> Roster:
    from jupyter_qsec.adapters.identity.hubroster import HubRoster

    return HubRoster(hub)


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
    database = _database(config)
    keys, signer = await asyncio.to_thread(_keys, config, database)
    for name in ("results", "checkpoints"):
        ensure_private_directory(folder / name)
    store = SqlStore(
        database,
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
        rotation=Rotation(root_secrets, leasing, clock),
        provider=ProviderSessions(
            access=access,
            roles=AwsRoles(access, config.ambient) if access else None,
            secrets=root_secrets,
            store=store,
            catalogue=catalogue,
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
        roster=_roster(config.hub) if config.hub else None,
        checkpoint_seconds=config.checkpoint_seconds,
        time=store.claims.time if shared else None,
        signatures=store.signatures if shared else None,
    )

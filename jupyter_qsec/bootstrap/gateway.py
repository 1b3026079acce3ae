"""The use cases of one gateway process, together: how they start, what they do by themselves, how they end."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from jupyter_qsec.adapters.clock import CommonClock
from jupyter_qsec.adapters.metering import Metrics, Moment
from jupyter_qsec.application.claims import Signatures
from jupyter_qsec.application.departures import LOOK_SECONDS, Departures
from jupyter_qsec.application.health import Health
from jupyter_qsec.application.leasing import Leasing
from jupyter_qsec.application.objects import Objects
from jupyter_qsec.application.pausing import Pausing
from jupyter_qsec.application.ports import (
    Catalogue,
    Devices,
    ExecutionLimits,
    Executor,
    Identities,
    Policy,
    ResultStore,
    Roster,
    Store,
)
from jupyter_qsec.application.providersessions import ProviderSessions
from jupyter_qsec.application.queueing import Dispatch
from jupyter_qsec.application.recording import Recorder, ReportLimit
from jupyter_qsec.application.rootsecrets import RootSecrets
from jupyter_qsec.application.rotation import Rotation
from jupyter_qsec.application.submission import Submissions
from jupyter_qsec.application.tasks import Tasks
from jupyter_qsec.bootstrap.config import CHECKPOINT_SECONDS
from jupyter_qsec.domain.audit import AuditEvent
from jupyter_qsec.domain.errors import QsecError
from jupyter_qsec.domain.principal import Principal
from jupyter_qsec.domain.rootsecret import LEASES

_log = logging.getLogger(__name__)

_FLUSH_SECONDS = 15.0
_TIME_SECONDS = 15.0
_SECRETS_SECONDS = {True: 1.0, False: 15.0}
"""Where other processes may replace root secrets, and where only what could not be read is tried again."""
_SCRAPE_SECONDS = 2.0


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
    ended_before: str = ""
    """The instance whose end in order was the last thing on record when this one started; empty when it was not."""
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    _checkpoint_size: int = 0
    _housekeeping: Sequence[asyncio.Task[None]] = ()

    async def start(self) -> None:
        """Open the store, take up what an earlier gateway left, begin the housekeeping."""
        await self.store.open()
        try:
            await self.agree_on_time()
            self.ended_before = await self._last_end()
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

    def root_edition(self) -> int:
        """Changes whenever a root secret was replaced."""
        return self.secrets.edition

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

    async def _last_end(self) -> str:
        size = await self.store.audit_size()
        last = await self.store.audit_records(size - 1, 1) if size else ()
        return last[0].event.subject if last and last[0].event.kind == "gateway.stopped" else ""

    def _own_event(self, kind: str) -> AuditEvent:
        return AuditEvent(
            kind, self.clock.now(), principal=self.operator.id, subject=self.instance, outcome="completed"
        )

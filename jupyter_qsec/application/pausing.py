"""Pausing a tenant's queue: what waits goes on waiting, what runs goes on running, until somebody resumes it."""

from __future__ import annotations

from jupyter_qsec.application.callers import operator_access, require
from jupyter_qsec.application.ports import Catalogue, Clock, Policy, Store
from jupyter_qsec.application.queueing import Dispatch
from jupyter_qsec.domain.access import Action, Permit
from jupyter_qsec.domain.audit import AuditEvent
from jupyter_qsec.domain.errors import NotFoundError
from jupyter_qsec.domain.principal import Principal
from jupyter_qsec.domain.tenant import MAX_REASON, Pause


class Pausing:
    """Both changes are recorded. Several gateway processes on one store all keep to them."""

    def __init__(self, store: Store, catalogue: Catalogue, policy: Policy, dispatcher: Dispatch, clock: Clock) -> None:
        self._store = store
        self._catalogue = catalogue
        self._policy = policy
        self._dispatcher = dispatcher
        self._clock = clock

    async def pause(self, actor: Principal, tenant_id: str, because: str) -> Pause:
        """`ConflictError` when it is paused already, `NotFoundError`, `DeniedError`."""
        permit = self._require(actor, tenant_id)
        pause = Pause(tenant_id, actor.id, self._clock.now(), because[:MAX_REASON] or "no reason given")
        event = self._event("tenant.paused", actor, tenant_id, permit, pause.because)
        with self._dispatcher.pausing(tenant_id):
            await self._store.pause(pause, [event])
        return pause

    async def resume(self, actor: Principal, tenant_id: str) -> None:
        """`ConflictError` when it is not paused, `NotFoundError`, `DeniedError`."""
        permit = self._require(actor, tenant_id)
        await self._store.resume(tenant_id, [self._event("tenant.resumed", actor, tenant_id, permit)])
        await self._dispatcher.pauses_changed()

    def _require(self, actor: Principal, tenant_id: str) -> Permit:
        # To those who have no role in it a tenant looks as if it did not exist.
        if self._catalogue.tenant(tenant_id) is None or not actor.within(tenant_id).roles:
            raise NotFoundError(f"There is no tenant {tenant_id[:60]!r}.")
        return require(self._policy, operator_access(actor, Action.TENANT_PAUSE, tenant_id))

    def _event(self, kind: str, actor: Principal, tenant_id: str, permit: Permit, because: str = "") -> AuditEvent:
        return AuditEvent(
            kind,
            self._clock.now(),
            principal=actor.id,
            tenant=tenant_id,
            subject=tenant_id,
            outcome="allowed",
            rules=permit.rules,
            details={"because": because} if because else {},
        )

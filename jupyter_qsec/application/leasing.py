"""Leases: issue, renew, revoke, and the synthetic AWS credentials derived from them.

Credentials are stateless: the session token carries lease id, access key id and expiry under a MAC, and the secret key
is a keyed hash of it, so a signature is checked without I/O. Whether the lease behind it is active is asked separately,
in memory, on every call: that is where revocation bites.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from time import monotonic

from jupyter_qsec.application import tokens
from jupyter_qsec.application.callers import Caller, lease_principal, operator_access, require
from jupyter_qsec.application.knownleases import MOST, KnownLeases
from jupyter_qsec.application.leaserequests import MAX_TTL, IssuedLease, LeaseRequest, check
from jupyter_qsec.application.ports import Catalogue, Clock, Policy, Store
from jupyter_qsec.application.tokens import AwsCredentials, CredentialForge, SigningCredential
from jupyter_qsec.domain.access import AccessRequest, Action, Permit
from jupyter_qsec.domain.audit import AuditEvent
from jupyter_qsec.domain.errors import (
    ConflictError,
    DeniedError,
    InvalidRequestError,
    LeaseExpiredError,
    LeaseRevokedError,
    NotFoundError,
    RecordingError,
    UnauthenticatedError,
)
from jupyter_qsec.domain.lease import MAX_TEXT, NEW_LEASE_HINT, UNLEASED, UNLEASED_HINT, Holder, Lease, LeaseState
from jupyter_qsec.domain.principal import Principal

__all__ = ["AwsCredentials", "IssuedLease", "LeaseRequest", "Leasing", "SigningCredential"]

RECORD_RENEWALS_EVERY = timedelta(hours=1)
_MAX_DEPTH = 8
_ATTEMPTS = 3
FRESH_SECONDS = 1.0
"""For several processes on one store: a revocation at one of them is felt at all within two seconds."""
_CHILDREN = 10_000
_TOGETHER = 500


class Leasing:
    """The life of leases. Every issue and revocation is recorded; of renewals, the first in each hour of a lease."""

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        policy: Policy,
        clock: Clock,
        credentials: CredentialForge,
        *,
        fresh_seconds: float | None = None,
        timer: Callable[[], float] = monotonic,
    ) -> None:
        """`fresh_seconds`: other processes change leases as well, so what was read so long ago is read again, and when
        it cannot be, nobody is let in. `None`: this process alone changes them."""
        self._store = store
        self._catalogue = catalogue
        self._policy = policy
        self._clock = clock
        self._credentials = credentials
        self._known = KnownLeases(store, fresh_seconds, timer)
        self._ended: dict[str, str] = {}
        """Being revoked, or revoked without a record yet, and why: unusable from the first moment on."""
        self._renewal_recorded: dict[str, datetime] = {}
        self._changing = asyncio.Lock()

    # -- life cycle
    async def issue(self, principal: Principal, request: LeaseRequest) -> IssuedLease:
        """A new lease and its bearer token. `InvalidRequestError`, `DeniedError`, `NotFoundError` (parent)."""
        tenant = self._catalogue.tenant(request.tenant) if request.tenant else self._catalogue.tenants()[0]
        # To those who have no role in it a tenant looks as if it did not exist.
        if tenant is None or not principal.within(tenant.id).roles:
            raise InvalidRequestError(f"There is no tenant {request.tenant[:60]!r}.")
        project = tenant.project(request.project) if request.project else tenant.projects[0]
        if project is None:
            raise InvalidRequestError(f"Tenant {tenant.id} has no project {request.project[:60]!r}.")
        check(request)
        permit = require(self._policy, operator_access(principal, Action.LEASE_ISSUE, tenant.id))
        now = self._clock.now()
        max_expires_at = now + min(request.max_ttl, MAX_TTL)
        if request.parent:
            parent = await self._find(request.parent)
            if parent.tenant != tenant.id or parent.principal != principal.id:
                raise NotFoundError(f"Lease {request.parent[:8]} was not found.")
            await self._require_active(parent)
            max_expires_at = min(max_expires_at, parent.max_expires_at)
        lease_id = uuid.uuid4().hex
        token = tokens.new_bearer(lease_id)
        lease = Lease(
            id=lease_id,
            principal=principal.id,
            tenant=tenant.id,
            project=project.id,
            issued_at=now,
            expires_at=min(now + request.ttl, max_expires_at),
            max_expires_at=max_expires_at,
            ttl=request.ttl,
            label=request.label,
            holder=request.holder,
            parent=request.parent,
            confinement=request.confinement,
            token_digest=tokens.digest(token),
            claims=principal.claims,
        )
        async with self._changing:
            await self._store.put_lease(lease, [_event("lease.issued", lease, principal, now, permit)])
            self._known.remember(lease)
        return IssuedLease(lease, token)

    async def renew(self, actor: Principal, lease_id: str, *, confinement: str | None = None) -> Lease:
        """Move the expiry. `LeaseRevokedError`, `LeaseExpiredError`, `DeniedError`, `NotFoundError`."""
        if confinement is not None and len(confinement) > MAX_TEXT:
            raise InvalidRequestError(f"confinement is longer than {MAX_TEXT} characters.")
        async with self._changing:
            return await self._again_when_changed(lease_id, lambda: self._renew(actor, lease_id, confinement))

    async def _renew(self, actor: Principal, lease_id: str, confinement: str | None) -> Lease:
        lease = await self._find(lease_id)
        permit = self._authorize(actor, Action.LEASE_RENEW, lease)
        await self._require_active(lease)
        now = self._clock.now()
        renewed = lease.renewed(now)
        if actor.id == lease.principal:  # who renews for somebody else vouches for nothing
            renewed = replace(renewed, claims=actor.claims)
        if confinement is not None:
            renewed = tokens.with_confinement(renewed, confinement)
        recorded = self._renewal_recorded.get(lease.id)
        due = recorded is None or abs(now - recorded) >= RECORD_RENEWALS_EVERY
        changed = (renewed.confinement, renewed.claims) != (lease.confinement, lease.claims)
        events = [_event("lease.renewed", renewed, actor, now, permit)] if due or changed else []
        await self._store.put_lease(renewed, events)
        self._known.remember(renewed)
        if due:
            self._renewal_recorded[lease.id] = now
            if len(self._renewal_recorded) > MOST:  # of the oldest, the next renewal is recorded once more
                del self._renewal_recorded[next(iter(self._renewal_recorded))]
        return renewed

    async def _again_when_changed(self, lease_id: str, change: Callable[[], Awaitable[Lease]]) -> Lease:
        """Do it again when another process changed the lease meanwhile."""
        for _ in range(_ATTEMPTS - 1):
            try:
                return await change()
            except ConflictError:
                known, fresh = self._known.last(lease_id), await self._store.lease(lease_id)
                if fresh is None or (known is not None and known.revision >= fresh.revision):
                    raise  # nobody changed it: the conflict is another one
                self._known.remember(fresh)
        return await change()

    async def revoke(self, actor: Principal, lease_id: str, because: str) -> Lease:
        """End a lease and all that hang on it, at once. `ConflictError` when it is revoked already."""
        because = because[:MAX_TEXT] or "no reason given"
        lease = await self._find(lease_id)
        permit = self._authorize(actor, Action.LEASE_REVOKE, lease)
        lease.revoked(self._clock.now(), because)
        # Unusable before the record is written, so that even a store that hangs cannot keep the lease alive.
        self._ended[lease.id] = because
        async with self._changing:
            revoked = await self._end(lease_id, actor, because, permit)
            for child in await self._descendants(revoked):
                with suppress(ConflictError):  # another process revoked it at this moment
                    await self._end(child.id, actor, f"its parent {lease.id[:8]} was revoked", permit)
        return revoked

    async def end(self, actor: Principal, holder: Holder, because: str) -> None:
        """Revoke all that somebody holds, whatever the policies say. What hangs on a lease is held by the same."""
        now = self._clock.now()
        found = await self._store.leases(
            principal=holder.principal, unrevoked_only=True, expires_after=now, limit=_CHILDREN
        )
        await self._end_together(
            [lease for lease in found if lease.claims == holder.claims], actor, because, Permit(())
        )

    async def end_all(
        self, actor: Principal, because: str, permit: Permit, *, issued_until: datetime | None = None
    ) -> None:
        """Revoke every active lease, or each that was issued until then. `ConflictError` when some cannot be ended."""
        tried: set[str] = set()
        while True:
            now = self._clock.now()
            active = await self._store.leases(unrevoked_only=True, expires_after=now, limit=_TOGETHER)
            held = [lease for lease in active if issued_until is None or lease.issued_at <= issued_until]
            if not held:
                return
            if tried.issuperset(lease.id for lease in held):
                raise ConflictError("Some leases cannot be ended.")
            tried.update(lease.id for lease in held)
            await self._end_together(held, actor, because, permit)

    async def _end_together(self, held: Sequence[Lease], actor: Principal, because: str, permit: Permit) -> None:
        """What another process ended at this moment is none of ours; any other error is raised when all were tried."""
        self._ended.update((lease.id, because) for lease in held)
        async with self._changing:
            ends = [self._end(lease.id, actor, because, permit) for lease in held]
            done = await asyncio.gather(*ends, return_exceptions=True)
        for outcome in done:
            if isinstance(outcome, BaseException) and not isinstance(outcome, ConflictError):
                raise outcome

    async def lease(self, actor: Principal, lease_id: str) -> Lease:
        """One lease, for those who may see it; `NotFoundError` otherwise."""
        lease = await self._find(lease_id)
        if not self._may_see(actor, lease):
            raise NotFoundError(f"Lease {lease_id[:8]} was not found.")
        return lease

    async def leases(self, actor: Principal, *, tenant: str = "", state: LeaseState | None = None) -> list[Lease]:
        """The leases that `actor` may see, newest first."""
        now = self._clock.now()
        found = await self._store.leases(
            tenant=tenant, unrevoked_only=state is not None and state != LeaseState.REVOKED
        )
        answers: dict[tuple[str, bool], bool] = {}  # tenant and ownership are all that policy sees of a lease
        visible = []
        for lease in found:
            kind = (lease.tenant, lease.principal == actor.id)
            if kind not in answers:
                answers[kind] = self._may_see(actor, lease)
            if answers[kind] and (state is None or lease.state(now) is state):
                visible.append(lease)
        return visible

    # -- use
    async def lease_of_token(self, token: str) -> Lease:
        """The active lease of a bearer token. `UnauthenticatedError`, `LeaseRevokedError`, `LeaseExpiredError`."""
        if token.startswith(UNLEASED):
            raise UnauthenticatedError("The lease has not come yet.", remedy=UNLEASED_HINT)
        lease_id = tokens.lease_of_bearer(token)
        lease = await self._known.get(lease_id) if lease_id else None
        # The comparison runs for unknown leases too, so that time does not tell which leases exist.
        known = hmac.compare_digest(
            tokens.digest(token), lease.token_digest if lease else hashlib.sha256(b"").hexdigest()
        )
        if lease is None or not known:
            raise UnauthenticatedError("The lease token is not known.", remedy=NEW_LEASE_HINT)
        await self._require_active(lease)
        return lease

    async def credentials(self, token: str) -> AwsCredentials:
        """Synthetic AWS credentials for the holder of a lease token; they live an hour or more and work here only."""
        lease = await self.lease_of_token(token)
        return self._credentials.issue(lease.id, self._clock.now())

    async def known_credentials(self, token: str) -> list[AwsCredentials]:
        """What the holder of a lease token may have been given and can get within half an hour: for those who look
        for exactly that in what a kernel says."""
        lease = await self.lease_of_token(token)
        return self._credentials.known(lease.id, self._clock.now())

    def signing_credential(self, access_key_id: str, session_token: str) -> SigningCredential:
        """The secret behind a session token, without I/O. `SignatureError`, `ExpiredSignatureError`."""
        return self._credentials.open(access_key_id, session_token, self._clock.now())

    async def caller(self, lease_id: str, *, user_agent: str = "", source: str = "", request_id: str = "") -> Caller:
        """Who acts through that lease now. `LeaseRevokedError`, `LeaseExpiredError`, `UnauthenticatedError`."""
        lease = await self._known.get(lease_id)
        if lease is None:
            raise UnauthenticatedError("The lease behind this credential is not known.", remedy=NEW_LEASE_HINT)
        await self._require_active(lease)
        tenant = self._catalogue.tenant(lease.tenant)
        project = tenant.project(lease.project) if tenant else None
        if tenant is None or project is None:
            raise UnauthenticatedError("The lease's tenant or project does not exist any more.", remedy=NEW_LEASE_HINT)
        return Caller(lease_principal(lease), tenant, project, lease, user_agent[:512], source, request_id)

    # -- inside
    async def _require_active(self, lease: Lease) -> None:
        """Raise unless the lease and every lease it hangs on are active now."""
        now = self._clock.now()
        for _ in range(_MAX_DEPTH):
            if lease.id in self._ended and lease.revoked_at is None:
                because = self._ended[lease.id]
                raise LeaseRevokedError(f"Lease {lease.id[:8]} was revoked ({because}).", remedy=NEW_LEASE_HINT)
            lease.require_active(now)
            if not lease.parent:
                return
            parent = await self._known.get(lease.parent)
            if parent is None:
                break
            lease = parent
        raise LeaseExpiredError("The lease that this one hangs on cannot be found.", remedy=NEW_LEASE_HINT)

    async def _end(self, lease_id: str, actor: Principal, because: str, permit: Permit) -> Lease:
        self._ended[lease_id] = because
        revoked = await self._again_when_changed(lease_id, lambda: self._put_revoked(lease_id, actor, because, permit))
        self._known.remember(revoked)
        self._ended.pop(lease_id, None)
        self._renewal_recorded.pop(lease_id, None)
        return revoked

    async def _put_revoked(self, lease_id: str, actor: Principal, because: str, permit: Permit) -> Lease:
        now = self._clock.now()
        revoked = (await self._find(lease_id)).revoked(now, because)
        event = _event("lease.revoked", revoked, actor, now, permit, because=because)
        try:
            await self._store.put_lease(revoked, [event])
        except RecordingError:
            stored = await self._store.lease(lease_id)  # the outcome may be unknown: reading tells
            if stored is None or stored.revoked_at is None:
                raise
            return stored
        return revoked

    async def _descendants(self, lease: Lease) -> list[Lease]:
        children: dict[str, list[Lease]] = {}
        now = self._clock.now()
        for other in await self._store.leases(
            tenant=lease.tenant, unrevoked_only=True, expires_after=now, limit=_CHILDREN
        ):
            if other.parent:
                children.setdefault(other.parent, []).append(other)
        found: list[Lease] = []
        line = [lease.id]
        while line:
            below = children.pop(line.pop(), [])
            found += below
            line += [child.id for child in below]
        return found

    def _authorize(self, actor: Principal, action: Action, lease: Lease) -> Permit:
        """To those who may not see it, a lease looks as if it did not exist."""
        try:
            return require(self._policy, _about(actor, action, lease))
        except DeniedError:
            if not self._may_see(actor, lease):
                raise NotFoundError(f"Lease {lease.id[:8]} was not found.") from None
            raise

    def _may_see(self, actor: Principal, lease: Lease) -> bool:
        return isinstance(self._policy.decide(_about(actor, Action.LEASE_READ, lease)), Permit)

    async def _find(self, lease_id: str) -> Lease:
        lease = await self._known.get(lease_id)
        if lease is None:
            raise NotFoundError(f"Lease {lease_id[:8]} was not found.")
        return lease


def _about(actor: Principal, action: Action, lease: Lease) -> AccessRequest:
    return operator_access(actor, action, lease.tenant, facts={"owner": actor.id == lease.principal})


def _event(kind: str, lease: Lease, actor: Principal, at: datetime, permit: Permit, because: str = "") -> AuditEvent:
    return AuditEvent(
        kind=kind,
        at=at,
        principal=actor.id,
        tenant=lease.tenant,
        project=lease.project,
        lease_id=lease.id,
        subject=lease.id,
        outcome="allowed",
        rules=permit.rules,
        details={
            "label": lease.label,
            "holder": lease.holder,
            "expires_at": lease.expires_at.isoformat(),
            "confinement": lease.confinement,
            **{f"claim_{name}": value for name, value in sorted(lease.claims.items())},
            **({"parent": lease.parent} if lease.parent else {}),
            **({"because": because} if because else {}),
        },
    )

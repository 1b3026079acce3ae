"""Sessions under the tenants' roles at the provider: each on record before it is used, tagged with its tenant."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass

from jupyter_qsec.application.ports import Catalogue, Clock, ProviderRoles, Store
from jupyter_qsec.application.rootsecrets import RootSecrets
from jupyter_qsec.domain.audit import AuditEvent
from jupyter_qsec.domain.errors import InvalidRequestError, QsecError, UnavailableError
from jupyter_qsec.domain.principal import Principal
from jupyter_qsec.domain.provider import (
    CredentialSource,
    ProviderAccess,
    ProviderRole,
    ProviderSession,
    StaticCredential,
)
from jupyter_qsec.domain.rootsecret import AWS, RootSecret
from jupyter_qsec.domain.tenant import Tenant


@dataclass(frozen=True, slots=True)
class RoleCheck:
    """What came of taking one tenant's role."""

    role: ProviderRole
    session: ProviderSession | None
    problem: str


class ProviderSessions:
    """Of one gateway. `access` and `roles` are `None` where nothing is configured."""

    def __init__(
        self,
        access: ProviderAccess | None,
        roles: ProviderRoles | None,
        secrets: RootSecrets,
        store: Store,
        catalogue: Catalogue,
        clock: Clock,
    ) -> None:
        self._access = access
        self._roles = roles
        self._secrets = secrets
        self._store = store
        self._catalogue = catalogue
        self._clock = clock

    @property
    def source(self) -> str:
        """Where the credentials come from that roles are taken with; empty where nothing is configured."""
        return "" if self._access is None else str(self._access.source)

    async def check(self, actor: Principal) -> Sequence[RoleCheck]:
        """Take each tenant's role once. `DeniedError` for those who may not, `InvalidRequestError` without any role."""
        self._secrets.may_replace(actor)
        if self._access is None or not self._access.roles:
            raise InvalidRequestError(
                "No tenant has a role at AWS.", remedy="Name it as aws_role in tenants.toml, below a table [aws]."
            )
        return await asyncio.gather(*[self._check(role, actor) for role in self._access.roles])

    async def _check(self, role: ProviderRole, actor: Principal) -> RoleCheck:
        tenant = self._catalogue.tenant(role.tenant)
        try:
            if tenant is None:
                raise InvalidRequestError(f"There is no tenant {role.tenant}.")
            return RoleCheck(role, await self.open(tenant, actor), "")
        except QsecError as error:
            return RoleCheck(role, None, str(error))

    async def open(self, tenant: Tenant, actor: Principal) -> ProviderSession:
        """A session under the tenant's role. `InvalidRequestError` when it has none, `DeniedError` when the provider
        refuses, `UnavailableError` when it cannot be asked, `RecordingError`: without a record nobody gets one."""
        access = self._access
        role = next((role for role in access.roles if role.tenant == tenant.id), None) if access else None
        if access is None or role is None or self._roles is None:
            raise InvalidRequestError(f"Tenant {tenant.id} has no role at AWS.")
        tags = {
            "qsec:tenant": tenant.id,
            "qsec:purpose": str(tenant.purpose),
            "qsec:environment": str(tenant.environment),
        }
        try:
            session = await self._roles.assume(role, f"qsec-{tenant.id}", tags, await self._root(access))
        except QsecError as error:
            await self._record("provider-session.refused", tenant, role, actor, {"problem": error.message[:500]})
            raise
        facts = {"session": session.arn, "expires_at": session.expires_at.isoformat()}
        await self._record("provider-session.opened", tenant, role, actor, facts)
        return session

    async def store_credential(self, actor: Principal, credential: StaticCredential, because: str) -> RootSecret:
        """Keep a long-term key as the next generation of the root secret `aws`; the next session is under it."""
        self._secrets.may_replace(actor)
        if self._access is None or self._access.source is not CredentialSource.STORED:
            raise InvalidRequestError(
                "This gateway takes the tenants' roles with no stored key.",
                remedy='Write source = "stored" into the table [aws] of tenants.toml.',
            )
        text = {"access_key_id": credential.access_key_id, "secret_access_key": credential.secret_access_key}
        prepared = await self._secrets.prepare(AWS, json.dumps(text).encode())
        return await self._secrets.put(actor, AWS, prepared, because, starts_at=self._clock.now())

    async def _root(self, access: ProviderAccess) -> StaticCredential | None:
        if access.source is CredentialSource.AMBIENT:
            return None
        await self._secrets.learn()  # another process may have been given a newer one
        try:
            secret = self._secrets.in_force(AWS, self._clock.now().timestamp())
        except UnavailableError:
            raise UnavailableError(
                "The gateway has no key of AWS that it can read.", remedy="Give one with: jupyter qsec keys set-aws"
            ) from None
        return StaticCredential(**json.loads(secret))

    async def _record(
        self, kind: str, tenant: Tenant, role: ProviderRole, actor: Principal, facts: dict[str, str]
    ) -> None:
        event = AuditEvent(
            kind,
            self._clock.now(),
            principal=actor.id,
            tenant=tenant.id,
            subject=role.arn,
            outcome="failed" if kind.endswith("refused") else "completed",
            details={"source": self.source, **facts},
        )
        await self._store.record([event])

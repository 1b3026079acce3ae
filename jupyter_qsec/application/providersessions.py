"""Sessions under the tenants' roles at the provider: each on record before it is used, tagged with its tenant."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from jupyter_qsec.application.callers import operator_access, require
from jupyter_qsec.application.ports import Catalogue, Clock, Policy, ProviderRoles, Store
from jupyter_qsec.application.rootsecrets import RootSecrets
from jupyter_qsec.domain.access import Action
from jupyter_qsec.domain.audit import AuditEvent
from jupyter_qsec.domain.errors import InvalidRequestError, QsecError, UnavailableError
from jupyter_qsec.domain.membership import EVERY_TENANT
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
        policy: Policy,
        clock: Clock,
    ) -> None:
        self._access = access
        self._roles = roles
        self._secrets = secrets
        self._store = store
        self._catalogue = catalogue
        self._policy = policy
        self._clock = clock

    @property
    def source(self) -> str:
        """Where the credentials come from that roles are taken with; empty where nothing is configured."""
        return "" if self._access is None else str(self._access.source)

    async def check(self, actor: Principal) -> Sequence[RoleCheck]:
        """Take each tenant's role once. `DeniedError` for those who may not, `InvalidRequestError` without any role."""
        require(self._policy, operator_access(actor, Action.KEY_ROTATE, EVERY_TENANT))
        if self._access is None or not self._access.roles:
            raise InvalidRequestError(
                "No tenant has a role at AWS.", remedy="Name it as aws_role in tenants.toml, below a table [aws]."
            )
        found = []
        for role in self._access.roles:
            tenant = self._catalogue.tenant(role.tenant)
            assert tenant is not None  # noqa: S101 - roles are read from the catalogue's tenants
            try:
                found.append(RoleCheck(role, await self.open(tenant, actor), ""))
            except QsecError as error:
                found.append(RoleCheck(role, None, str(error)))
        return found

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
            session = await self._roles.assume(role, f"qsec-{tenant.id}", tags, self._root(access))
        except QsecError as error:
            await self._record("provider-session.refused", tenant, role, actor, {"problem": error.message[:500]})
            raise
        facts = {"session": session.arn, "expires_at": session.expires_at.isoformat()}
        await self._record("provider-session.opened", tenant, role, actor, facts)
        return session

    async def store_credential(
        self, actor: Principal, credential: StaticCredential, because: str, *, at_once: bool = False
    ) -> RootSecret:
        """Keep a long-term key as the next generation of the root secret `aws`."""
        if self._access is None or self._access.source is not CredentialSource.STORED:
            raise InvalidRequestError(
                "This gateway takes the tenants' roles with no stored key.",
                remedy='Write source = "stored" into the table [aws] of tenants.toml.',
            )
        text = {"access_key_id": credential.access_key_id, "secret_access_key": credential.secret_access_key}
        return await self._secrets.make(actor, AWS, because, at_once=at_once, secret=json.dumps(text).encode())

    def _root(self, access: ProviderAccess) -> StaticCredential | None:
        if access.source is CredentialSource.AMBIENT:
            return None
        try:
            secret = self._secrets.in_force(AWS, self._clock.now().timestamp())
        except UnavailableError as error:
            raise UnavailableError(error.message, remedy="Give one with: jupyter qsec keys set-aws") from error
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

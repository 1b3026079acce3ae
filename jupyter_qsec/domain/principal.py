"""Who acts: a person or a service account, with roles and claims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum


class PrincipalKind(StrEnum):
    PERSON = "person"
    SERVICE = "service"


class Role(StrEnum):
    """A role of a principal; what each may do stands in the shipped Cedar policies."""

    VIEWER = "viewer"
    CIRCUIT_AUTHOR = "circuit-author"
    DEVELOPER = "developer"
    BENCHMARK_OPERATOR = "benchmark-operator"
    BACKEND_OPERATOR = "backend-operator"
    WORKSPACE_ADMIN = "workspace-admin"
    APPROVER = "approver"
    INCIDENT_RESPONDER = "incident-responder"
    BILLING = "billing"
    AUDITOR = "auditor"
    SERVICE = "service"


PRIVILEGED = frozenset(
    {Role.BACKEND_OPERATOR, Role.WORKSPACE_ADMIN, Role.APPROVER, Role.INCIDENT_RESPONDER, Role.AUDITOR}
)
"""Roles that reach beyond one's own work."""


@dataclass(frozen=True, slots=True)
class Principal:
    """One identified person or service account."""

    id: str
    """Stable and unique, `SOURCE:NAME`: `os:ada` on one machine, `hub:ada` at a hub, `service:ci` for automation."""
    name: str
    """What people see."""
    kind: PrincipalKind = PrincipalKind.PERSON
    roles: frozenset[Role] = frozenset()
    claims: Mapping[str, str] = field(default_factory=dict)
    """Facts that the identity source vouches for, such as `mfa=true`. A claim that is missing is never assumed."""
    tenant_roles: Mapping[str, frozenset[Role]] = field(default_factory=dict)
    """Roles that count in one tenant only, by its id; `*` stands for every tenant."""

    @property
    def tenants(self) -> tuple[str, ...]:
        """The tenants in which it has a role; the empty text stands for all of them."""
        everywhere = not self.tenant_roles or "*" in self.tenant_roles
        return ("",) if everywhere else tuple(sorted(self.tenant_roles))

    def within(self, tenant: str) -> Principal:
        """The principal with the roles that it has in a tenant."""
        if not self.tenant_roles:
            return self
        here = self.tenant_roles.get(tenant, frozenset()) | self.tenant_roles.get("*", frozenset())
        return replace(self, roles=self.roles | here, tenant_roles={})

"""Who asks, and the audit events that say so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from jupyter_qsec.application.ports import Policy
from jupyter_qsec.domain.access import AccessRequest, Action, Deny, Permit
from jupyter_qsec.domain.audit import AuditEvent
from jupyter_qsec.domain.errors import DeniedError
from jupyter_qsec.domain.lease import Lease
from jupyter_qsec.domain.principal import Principal, PrincipalKind, Role
from jupyter_qsec.domain.tenant import Project, Tenant

Fact = str | int | bool


@dataclass(frozen=True)
class Caller:
    """A principal that acts through an active lease, in the name of one tenant and project."""

    principal: Principal
    tenant: Tenant
    project: Project
    lease: Lease
    user_agent: str = ""
    source: str = ""
    """The peer's address, for the record."""
    request_id: str = ""
    """Which request this is, for the record: under this id the log tells of it, too."""


@dataclass(frozen=True)
class Operator:
    """A principal that was identified without a lease (the control token, a hub token): acts on each tenant by its
    roles there."""

    principal: Principal
    source: str = ""
    tenant: str = ""
    """Where its leases go when nobody says; empty: the catalogue's first."""
    project: str = ""


def lease_principal(lease: Lease) -> Principal:
    """The principal as a lease's holder: what a kernel needs and no more, whatever else the person may do.

    Administrative roles never travel in a lease, so code in a kernel cannot use them."""
    if lease.principal.startswith("service:"):
        kind, role = PrincipalKind.SERVICE, Role.SERVICE
    else:
        kind, role = PrincipalKind.PERSON, Role.DEVELOPER
    return Principal(lease.principal, lease.principal.partition(":")[2], kind, frozenset({role}), lease.claims)


def access(
    caller: Caller, action: Action, *, resource_tenant: str = "", facts: Mapping[str, Fact] | None = None
) -> AccessRequest:
    """The policy question for a caller, with the lane's facts filled in."""
    return AccessRequest(
        caller.principal,
        action,
        caller.tenant.id,
        caller.project.id,
        resource_tenant or caller.tenant.id,
        {"lane_purpose": str(caller.tenant.purpose), "environment": str(caller.tenant.environment), **(facts or {})},
    )


def operator_access(
    principal: Principal, action: Action, tenant: str, *, facts: Mapping[str, Fact] | None = None
) -> AccessRequest:
    """The policy question for an operator on one tenant."""
    return AccessRequest(principal.within(tenant), action, tenant, "", tenant, dict(facts or {}))


def require(policy: Policy, request: AccessRequest) -> Permit:
    """The permit, or `DeniedError` with the ids of the policies that decided."""
    decision = policy.decide(request)
    if isinstance(decision, Deny):
        raise DeniedError(decision.message, reasons=decision.reasons)
    return decision


def caller_event(
    caller: Caller,
    kind: str,
    at: datetime,
    *,
    subject: str = "",
    outcome: str = "",
    rules: tuple[str, ...] = (),
    details: Mapping[str, Fact] | None = None,
) -> AuditEvent:
    """An audit event about something that a caller did."""
    return AuditEvent(
        kind=kind,
        at=at,
        principal=caller.principal.id,
        tenant=caller.tenant.id,
        project=caller.project.id,
        lease_id=caller.lease.id,
        subject=subject,
        outcome=outcome,
        rules=rules,
        details={**(details or {}), **_origin(caller)},
    )


def _origin(caller: Caller) -> dict[str, Fact]:
    known = {"source": caller.source, "request_id": caller.request_id}
    return {name: value for name, value in known.items() if value}

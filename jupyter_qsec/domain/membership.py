"""Which tenants people and services belong to, by the groups of their identity source. Pure rules; nothing is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from jupyter_qsec.domain.errors import DeniedError, InvalidRequestError
from jupyter_qsec.domain.principal import Role
from jupyter_qsec.domain.tenant import Tenant

EVERY_TENANT = "*"


@dataclass(frozen=True, slots=True)
class MemberRule:
    """One line of the mapping: who is in that group, or is that service, has these roles in that tenant."""

    group: str = ""
    service: str = ""
    """The name of a service account; exactly one of `group` and `service` is set."""
    tenant: str = ""
    """A tenant's id, or `*` for roles that count in every tenant (administrators, auditors)."""
    project: str = ""
    """Where this member's leases go when nobody says; empty: the tenant's first project."""
    roles: frozenset[Role] = frozenset({Role.DEVELOPER})

    def __post_init__(self) -> None:
        if bool(self.group) == bool(self.service):
            raise InvalidRequestError("A member has either a group or a service.")
        if not self.roles:
            raise InvalidRequestError(f"Member {self.group or self.service!r} has no role.")


@dataclass(frozen=True, slots=True)
class Standing:
    """What one principal may be, and where."""

    tenant: str
    """Where its leases go when nobody says; empty when it belongs to no tenant of its own."""
    project: str
    roles: Mapping[str, frozenset[Role]]
    """By tenant; `*` counts in all."""


class Membership:
    """All rules. The order is the file's: the first that fits decides where leases go when nobody says."""

    def __init__(self, rules: Sequence[MemberRule], *, unmapped: str = "") -> None:
        """`unmapped` is the tenant of people whom no rule names; empty: they are refused."""
        self._rules = tuple(rules)
        self._unmapped = unmapped

    def require_known(self, tenants: Sequence[Tenant]) -> None:
        """`InvalidRequestError` for a rule that names a tenant or project that does not exist."""
        by_id = {tenant.id: tenant for tenant in tenants}
        for rule in self._rules:
            who = rule.group or rule.service
            if rule.tenant == EVERY_TENANT and not rule.project:
                continue
            tenant = by_id.get(rule.tenant)
            if tenant is None:
                raise InvalidRequestError(f"Member {who!r} names the tenant {rule.tenant!r}, which does not exist.")
            if rule.project and tenant.project(rule.project) is None:
                raise InvalidRequestError(f"Member {who!r}: tenant {tenant.id} has no project {rule.project!r}.")
        if self._unmapped and self._unmapped not in by_id:
            raise InvalidRequestError(f"unmapped names the tenant {self._unmapped!r}, which does not exist.")

    @property
    def grants(self) -> Mapping[tuple[str, Role], int]:
        """How many groups and services have each role, by tenant (`*`: in every one)."""
        return Counter((rule.tenant, role) for rule in self._rules for role in rule.roles)

    def require_service(self, name: str) -> None:
        """`InvalidRequestError` for a service that no rule names."""
        if not any(rule.service == name for rule in self._rules):
            raise InvalidRequestError(
                f"A workload names the service {name!r}, which no [[member]] gives a tenant.",
                remedy=f'Add a [[member]] with service = "{name}".',
            )

    def of_person(self, name: str, groups: Iterable[str]) -> Standing:
        """`DeniedError` for a person in no mapped group, unless such people have a tenant."""
        present = frozenset(groups)
        rules = [rule for rule in self._rules if rule.group and rule.group in present]
        if not rules and self._unmapped:
            return Standing(self._unmapped, "", {self._unmapped: frozenset({Role.DEVELOPER})})
        remedy = "Ask an administrator for a group with a tenant."
        return _standing(rules, f"{name} is in no group that has a tenant.", remedy)

    def of_service(self, name: str) -> Standing:
        """`DeniedError` for a service that no rule names: services are never taken in by default."""
        rules = [rule for rule in self._rules if rule.service and rule.service == name]
        remedy = f'An administrator adds a [[member]] with service = "{name}" to tenants.toml.'
        return _standing(rules, f"No tenant is mapped to the service {name}.", remedy)


def _standing(rules: Sequence[MemberRule], refusal: str, remedy: str) -> Standing:
    if not rules:
        raise DeniedError(refusal, reasons=("unmapped",), remedy=remedy)
    roles: dict[str, frozenset[Role]] = {}
    for rule in rules:
        roles[rule.tenant] = roles.get(rule.tenant, frozenset()) | rule.roles
    own = next((rule for rule in rules if rule.tenant != EVERY_TENANT), None)
    return Standing(own.tenant if own else "", own.project if own else "", roles)

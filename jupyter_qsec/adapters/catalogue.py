"""The tenants as a TOML file declares them; see the shipped `tenants.toml` for its form.

Fields may be added to the file's form, never renamed. Unknown ones are refused, so that no misspelt limit is lost.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.domain.membership import MemberRule, Membership
from jupyter_qsec.domain.principal import Role
from jupyter_qsec.domain.provider import CredentialSource, ProviderAccess, ProviderRole
from jupyter_qsec.domain.quota import QuotaLimits
from jupyter_qsec.domain.tenant import Environment, Project, Purpose, Tenant
from jupyter_qsec.domain.workload import WorkloadRule

_MAX_FILE = 1 << 20
_Word = TypeVar("_Word", bound=StrEnum)


class FileCatalogue:
    """Implements the `Catalogue` port with the tenants of one document."""

    def __init__(
        self,
        tenants: Sequence[Tenant],
        membership: Membership | None = None,
        claims: Mapping[str, str] | None = None,
        *,
        require_mfa: bool = True,
        workloads: Sequence[WorkloadRule] = (),
        provider: ProviderAccess | None = None,
    ) -> None:
        """`InvalidRequestError` when ids or accounts repeat, when there is no tenant, or when a member's tenant or
        project or a workload's service does not exist."""
        if not tenants:
            raise InvalidRequestError("There is no tenant.", remedy="Declare at least one [[tenant]].")
        for what, values in (("id", [t.id for t in tenants]), ("account", [t.account for t in tenants])):
            repeated = sorted({value for value in values if values.count(value) > 1})
            if repeated:
                raise InvalidRequestError(f"Two tenants have the {what} {repeated[0]!r}.")
        self._tenants = {tenant.id: tenant for tenant in tenants}
        self.membership = membership or Membership([])
        self.membership.require_known(tenants)
        self.claims: Mapping[str, str] = dict(claims or {})
        """Names of claims, and where the identity source has them."""
        self.workloads = tuple(workloads)
        for rule in self.workloads:
            self.membership.require_service(rule.service)
        self.provider = provider
        """How the gateway takes the tenants' roles at AWS; `None`: it does not."""
        self.require_mfa = require_mfa
        """Whether people of an identity source have to show a second factor for what demands one."""

    def tenants(self) -> Sequence[Tenant]:
        return tuple(self._tenants.values())

    def tenant(self, tenant_id: str) -> Tenant | None:
        return self._tenants.get(tenant_id)


def shipped_catalogue() -> FileCatalogue:
    """The two tenants that come with this package."""
    return parse((files("jupyter_qsec.adapters") / "tenants.toml").read_text(encoding="utf-8"), "tenants.toml")


def catalogue_of(home: Path) -> FileCatalogue:
    """The catalogue in `home/tenants.toml`, or the shipped one. `InvalidRequestError` names what is wrong."""
    path = home / "tenants.toml"
    try:
        if not path.exists():
            return shipped_catalogue()
        if path.stat().st_size > _MAX_FILE:
            raise InvalidRequestError(f"{path} is larger than 1 MiB.")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"{path} cannot be read: {error}.") from error
    return parse(text, str(path))


def parse(text: str, name: str) -> FileCatalogue:
    """A catalogue from TOML text; `name` stands in errors."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidRequestError(f"{name} is not valid TOML: {error}.") from error
    try:
        table = _Table(document, "")
        declared = table.tables("tenant")
        roles = [role for role in map(_role, declared) if role]
        tenants = [_tenant(entry) for entry in declared]
        membership = Membership(
            [_member(entry) for entry in table.tables("member")], unmapped=table.text("unmapped", "")
        )
        claims = table.texts("claims")
        require_mfa = table.truth("require_mfa", True)
        workloads = [_workload(entry) for entry in table.tables("workload")]
        provider = _provider(table, roles)
        table.end()
        return FileCatalogue(
            tenants, membership, claims, require_mfa=require_mfa, workloads=workloads, provider=provider
        )
    except InvalidRequestError as error:
        raise InvalidRequestError(f"{name}: {error.message}", remedy=error.remedy) from error


def _provider(table: _Table, roles: Sequence[ProviderRole]) -> ProviderAccess | None:
    if not table.has("aws"):
        if roles:
            raise InvalidRequestError(f"Tenant {roles[0].tenant} has aws_role, but there is no table [aws].")
        return None
    entry = table.table("aws")
    access = ProviderAccess(
        source=entry.word("source", CredentialSource),
        region=entry.text("region"),
        endpoint=entry.text("sts", ""),
        roles=tuple(roles),
    )
    entry.end()
    return access


def _role(table: _Table) -> ProviderRole | None:
    """The role of a tenant, taken out of its table."""
    arn, external_id = table.text("aws_role", ""), table.text("aws_external_id", "")
    return ProviderRole(table.peek("id"), arn, external_id) if arn or external_id else None


def _tenant(table: _Table) -> Tenant:
    tenant_id = table.text("id")
    tenant = Tenant(
        id=tenant_id,
        name=table.text("name", tenant_id),
        account=table.text("account"),
        purpose=table.word("purpose", Purpose),
        environment=table.word("environment", Environment),
        projects=tuple(_project(entry) for entry in table.tables("project")),
        limits=_limits(table, "limits"),
        principal_limits=_limits(table, "principal_limits"),
        weight=table.number("weight", 1),
        max_running=table.number("max_running", 4),
    )
    table.end()
    ids = [project.id for project in tenant.projects]
    if len(set(ids)) != len(ids):
        raise InvalidRequestError(f"Two projects of tenant {tenant.id} have the same id.")
    return tenant


def _member(table: _Table) -> MemberRule:
    rule = MemberRule(
        group=table.text("group", ""),
        service=table.text("service", ""),
        tenant=table.text("tenant"),
        project=table.text("project", ""),
        roles=table.words("roles", Role, frozenset({Role.DEVELOPER})),
    )
    table.end()
    return rule


def _workload(table: _Table) -> WorkloadRule:
    rule = WorkloadRule(
        issuer=table.text("issuer"),
        audience=table.text("audience"),
        subject=table.text("subject"),
        service=table.text("service"),
        claims=table.texts("claims"),
    )
    table.end()
    return rule


def _project(table: _Table) -> Project:
    project_id = table.text("id")
    project = Project(
        id=project_id,
        name=table.text("name", project_id),
        cost_centre=table.text("cost_centre", ""),
        limits=_limits(table, "limits"),
    )
    table.end()
    return project


def _limits(table: _Table, key: str) -> QuotaLimits:
    entry = table.table(key)
    limits = QuotaLimits(
        tasks=entry.optional_number("tasks"),
        shots=entry.optional_number("shots"),
        simulator_minutes=entry.optional_number("simulator_minutes"),
    )
    entry.end()
    return limits


class _Table:
    """Reads one TOML table field by field; `end` refuses what was not read."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self._values = dict(values)
        self._where = where

    def text(self, key: str, default: str | None = None) -> str:
        value = self._values.pop(key, default)
        if not isinstance(value, str):
            raise InvalidRequestError(f"{self._where}{key} must be a text.")
        return value

    def has(self, key: str) -> bool:
        return key in self._values

    def peek(self, key: str) -> str:
        """As it stands there, whatever it is; read again by whom it belongs to."""
        return str(self._values.get(key, ""))

    def word(self, key: str, words: type[_Word]) -> _Word:
        value = self.text(key)
        try:
            return words(value)
        except ValueError as error:
            raise InvalidRequestError(f"{self._where}{key} must be one of {', '.join(words)}.") from error

    def words(self, key: str, words: type[_Word], default: frozenset[_Word]) -> frozenset[_Word]:
        value = self._values.pop(key, None)
        if value is None:
            return default
        known = {str(word): word for word in words}
        if (
            not isinstance(value, list)
            or not value
            or not all(isinstance(word, str) and word in known for word in value)
        ):
            raise InvalidRequestError(f"{self._where}{key} must be a list of {', '.join(known)}.")
        return frozenset(known[word] for word in value)

    def texts(self, key: str) -> dict[str, str]:
        """A table of texts."""
        value = self._values.pop(key, {})
        if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
            raise InvalidRequestError(f"{self._where}{key} must be a table of texts.")
        return value

    def truth(self, key: str, default: bool) -> bool:
        value = self._values.pop(key, default)
        if not isinstance(value, bool):
            raise InvalidRequestError(f"{self._where}{key} must be true or false.")
        return value

    def number(self, key: str, default: int) -> int:
        value = self.optional_number(key)
        return default if value is None else value

    def optional_number(self, key: str) -> int | None:
        value = self._values.pop(key, None)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            raise InvalidRequestError(f"{self._where}{key} must be a whole number, 0 or more.")
        return value

    def table(self, key: str) -> _Table:
        value = self._values.pop(key, {})
        if not isinstance(value, dict):
            raise InvalidRequestError(f"{self._where}{key} must be a table.")
        return _Table(value, f"{self._where}{key}.")

    def tables(self, key: str) -> list[_Table]:
        value = self._values.pop(key, [])
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            raise InvalidRequestError(f"{self._where}{key} must be an array of tables ([[{key}]]).")
        return [_Table(entry, f"{self._where}{key}[{n}].") for n, entry in enumerate(value)]

    def end(self) -> None:
        if self._values:
            raise InvalidRequestError(f"{self._where}{min(self._values)} is not a known field.")

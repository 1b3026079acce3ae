"""Tenants, projects and lanes: who is kept apart from whom, and under which profile work runs."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.domain.quota import QuotaLimits

_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}\Z")
MAX_REASON = 200
_ACCOUNT = re.compile(r"[0-9]{12}\Z")


class Purpose(StrEnum):
    TUTORIAL = "tutorial"
    RESEARCH = "research"
    BENCHMARK = "benchmark"


class Environment(StrEnum):
    SANDBOX = "sandbox"
    DEV = "dev"
    TEST = "test"
    PRODUCTION = "production"


class DeviceKind(StrEnum):
    SIMULATOR = "simulator"
    HARDWARE = "hardware"


@dataclass(frozen=True, slots=True)
class Lane:
    """A policy profile: purpose, environment and device kind together have exactly one answer."""

    purpose: Purpose
    environment: Environment
    device_kind: DeviceKind

    def __str__(self) -> str:
        return f"{self.purpose}/{self.environment}/{self.device_kind}"


@dataclass(frozen=True, slots=True)
class Project:
    id: str
    name: str
    cost_centre: str = ""
    limits: QuotaLimits = field(default_factory=QuotaLimits)


@dataclass(frozen=True, slots=True)
class Tenant:
    """An isolated organisation unit. Nothing of one tenant can be seen or inferred from another."""

    id: str
    """Lower-case letters, digits and dashes; at most 40 characters."""
    name: str
    account: str
    """The virtual AWS account id, 12 digits: part of every ARN and default bucket of the tenant."""
    purpose: Purpose
    environment: Environment
    projects: tuple[Project, ...]
    limits: QuotaLimits = field(default_factory=QuotaLimits)
    principal_limits: QuotaLimits = field(default_factory=QuotaLimits)
    """Limits of each single principal within the tenant."""
    weight: int = 1
    """Share in fair queueing, relative to other tenants; 1 or more."""
    max_running: int = 4
    """Tasks of this tenant that may run at once."""

    def __post_init__(self) -> None:
        for name in (self.id, *(project.id for project in self.projects)):
            if not _NAME.match(name):
                raise InvalidRequestError(f"{name!r} is not a tenant or project id.", remedy="Use a-z, 0-9 and dashes.")
        if not _ACCOUNT.match(self.account):
            raise InvalidRequestError(f"The account of tenant {self.id} must have 12 digits.")
        if not self.projects:
            raise InvalidRequestError(f"Tenant {self.id} has no project.", remedy="Declare at least one.")
        if self.weight < 1 or self.max_running < 1:
            raise InvalidRequestError(f"Weight and max_running of tenant {self.id} must be 1 or more.")

    def project(self, project_id: str) -> Project | None:
        return next((project for project in self.projects if project.id == project_id), None)


@dataclass(frozen=True, slots=True)
class Pause:
    """No task of the tenant starts while this stands; what runs goes on."""

    tenant: str
    principal: str
    """Who paused it."""
    at: datetime
    because: str

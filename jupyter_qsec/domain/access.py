"""Decisions: what is asked, and `Permit` or `Deny` with reasons. Panel, audit log and tests share these values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from jupyter_qsec.domain.principal import Principal


class Action(StrEnum):
    """Every permission as `subject:action`. A new front door operation needs a new line here and a policy."""

    DEVICE_READ = "device:read"
    TASK_CREATE = "task:create"
    TASK_READ = "task:read"
    TASK_CANCEL = "task:cancel"
    TASK_TAG = "task:tag"
    RESULT_READ = "result:read"
    OBJECT_WRITE = "object:write"
    ESTIMATE_READ = "estimate:read"
    LEASE_ISSUE = "lease:issue"
    LEASE_READ = "lease:read"
    LEASE_RENEW = "lease:renew"
    LEASE_REVOKE = "lease:revoke"
    QUOTA_READ = "quota:read"
    FINDING_READ = "finding:read"
    FINDING_REPORT = "finding:report"
    SESSION_REPORT = "session:report"
    AUDIT_READ = "audit:read"
    METRICS_READ = "metrics:read"
    TENANT_PAUSE = "tenant:pause"
    KEY_READ = "key:read"
    """Which root secrets there are and how old they are: never what they are."""
    KEY_ROTATE = "key:rotate"


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """One question to the policy engine."""

    principal: Principal
    action: Action
    tenant: str
    project: str = ""
    resource_tenant: str = ""
    """The tenant that owns the resource; empty means the same as `tenant`."""
    context: Mapping[str, str | int | bool] = field(default_factory=dict)
    """Facts for the policies: `lane_purpose`, `environment`, `device`, `device_kind`, `region`, `shots`, `qubits`."""


@dataclass(frozen=True, slots=True)
class Permit:
    """Allowed; `rules` are the ids of the policies that decided."""

    rules: tuple[str, ...]


MFA_REQUIRED = "mfa-required"
CLAIM_REQUIRED = "claim-required"


@dataclass(frozen=True, slots=True)
class Deny:
    """Refused; `reasons` are ids of the deciding policies, or `no-policy-allows`, `policy-error`, `mfa-required` (a
    login with a second factor would have been allowed). `claim-required` stands beside them when a policy looked for a
    claim that is missing or has another value; the message names it."""

    reasons: tuple[str, ...]
    message: str


Decision = Permit | Deny

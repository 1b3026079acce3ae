"""The policy engine: Cedar, asked with pre-parsed policies and schema. Anything but a clean Allow is a denial."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import cedarpy

from jupyter_qsec.adapters.policy.sources import PolicySource, load, shipped_policies, shipped_schema
from jupyter_qsec.domain.access import AccessRequest, Decision, Deny, Permit
from jupyter_qsec.domain.principal import Principal

_log = logging.getLogger(__name__)


class CedarPolicy:
    """Implements the `Policy` port."""

    def __init__(self, sources: Sequence[PolicySource] = (), schema: str = "") -> None:
        """Load `sources`, or the shipped policies when none are given. `InvalidRequestError` names file and line."""
        self._book = load(sources or shipped_policies(), schema or shipped_schema())

    def decide(self, request: AccessRequest) -> Decision:
        """Decide one question; about 60 µs. Never raises: an error inside the engine is a `Deny`."""
        try:
            result = cedarpy.is_authorized(
                _question(request),
                self._book.policies,
                [_principal(request), _resource(request.resource_tenant or request.tenant)],
                self._book.schema,
            )
            names = result.diagnostics.id_annotations_by_reason
            reasons = tuple(sorted(names.get(reason, reason) for reason in result.diagnostics.reasons))
            errors = result.diagnostics.errors
            allowed = result.decision == cedarpy.Decision.Allow
        except Exception as error:  # noqa: BLE001 - whatever fails inside the engine must deny, not escape
            _log.error("policy engine failed on %s: %s", request.action, type(error).__name__)
            return Deny(("policy-error",), f"The policies could not be evaluated for {request.action}.")
        if errors:
            _log.error("policy error on %s: %s", request.action, "; ".join(errors)[:500])
            return Deny(("policy-error",), f"The policies could not be evaluated for {request.action}.")
        if allowed and reasons:
            return Permit(reasons)
        if not reasons:
            return Deny(("no-policy-allows",), f"No policy allows {_who(request.principal)} {request.action}.")
        return Deny(reasons, f"{request.action} is refused by {', '.join(reasons)}.")


def _who(principal: Principal) -> str:
    roles = ", ".join(sorted(principal.roles)) or "no role"
    return f"{principal.id} ({roles})"


def _question(request: AccessRequest) -> dict[str, Any]:
    return {
        "principal": {"type": "Qsec::Principal", "id": request.principal.id},
        "action": {"type": "Qsec::Action", "id": str(request.action)},
        "resource": {"type": "Qsec::Resource", "id": request.resource_tenant or request.tenant},
        "context": {key: value for key, value in request.context.items() if value != ""},
    }


def _principal(request: AccessRequest) -> dict[str, Any]:
    principal = request.principal
    return {
        "uid": {"type": "Qsec::Principal", "id": principal.id},
        "attrs": {
            "kind": str(principal.kind),
            "tenant": request.tenant,
            "project": request.project,
            "roles": sorted(principal.roles),
            "claims": sorted(f"{name}={value}" for name, value in principal.claims.items()),
        },
        "parents": [],
    }


@lru_cache(maxsize=1024)
def _resource(tenant: str) -> dict[str, Any]:
    return {"uid": {"type": "Qsec::Resource", "id": tenant}, "attrs": {"tenant": tenant}, "parents": []}

"""The policy engine: Cedar, asked with pre-parsed policies and schema. Anything but a clean Allow is a denial."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import cedarpy

from jupyter_qsec.adapters.policy.claims import lacked, told
from jupyter_qsec.adapters.policy.sources import PolicySource, load, shipped_policies, shipped_schema
from jupyter_qsec.domain.access import CLAIM_REQUIRED, MFA_REQUIRED, AccessRequest, Action, Decision, Deny, Permit
from jupyter_qsec.domain.principal import PRIVILEGED, Principal

_log = logging.getLogger(__name__)
_REMEMBERED = 4096
_FAILED = "policy-error"
_SECOND_FACTOR = {"mfa": "true"}
_NO_MFA = "The claim mfa=true is missing: log in again with one; administrators find more in docs/hub.md."
_CLAIMS = "Administrators find in docs/hub.md where claims come from."
_MOST_EXPLAINED, _MOST_QUESTIONS = 20, 100
"""Policies and questions to find out what a refusal looked for: about 10 ms in all."""
_PROBE = AccessRequest(Principal("qsec:probe", "probe"), Action.DEVICE_READ, "probe")


@dataclass(frozen=True, slots=True)
class _Answer:
    """The engine's, without errors."""

    allowed: bool
    policies: tuple[str, ...]
    """Which decided; none when no policy is about the question."""


class CedarPolicy:
    """Implements the `Policy` port."""

    def __init__(
        self, sources: Sequence[PolicySource] = (), schema: str = "", *, mfa_of: Collection[str] = ("hub",)
    ) -> None:
        """Load `sources`, or the shipped policies when none are given. `InvalidRequestError` names file and line.

        `mfa_of`: the identity sources (what stands before the colon of a principal's id) that can vouch for a second
        factor; of others, such as this machine's accounts and services, none is asked."""
        self._mfa_of = frozenset(mfa_of)
        self._book = load(sources or shipped_policies(), schema or shipped_schema())
        self._decided: OrderedDict[tuple[object, ...], Decision] = OrderedDict()

    def decide(self, request: AccessRequest) -> Decision:
        """Decide one question; about 60 µs. Never raises: an error inside the engine is a `Deny`.

        The policies of this object never change and see nothing but the request, so what was decided is remembered:
        a cold engine costs ten times as much, four times a task."""
        try:
            key = _key(request)
            known = self._decided.get(key)
        except TypeError:  # a fact of a kind that no request has: the engine will say what it thinks of it
            return self._decide(request)
        if known is None:
            known = self._decide(request)
            if not (isinstance(known, Deny) and _FAILED in known.reasons):  # what failed is asked again
                self._decided[key] = known
                while len(self._decided) > _REMEMBERED:
                    self._decided.popitem(last=False)
        return known

    def probe(self) -> bool:
        decision = self._decide(_PROBE)
        return not (isinstance(decision, Deny) and _FAILED in decision.reasons)

    def _decide(self, request: AccessRequest) -> Decision:
        answer = self._ask(request)
        if not isinstance(answer, _Answer):
            return answer
        if answer.allowed:
            return Permit(answer.policies)
        if not self._mfa(request.principal):
            strong = replace(request.principal, claims={**request.principal.claims, **_SECOND_FACTOR})
            if self._allows(request, strong):
                return Deny((MFA_REQUIRED,), f"{request.action} needs a login with a second factor. {_NO_MFA}")
        if answer.policies:
            reasons, refusal = answer.policies, f"{request.action} is refused by {', '.join(answer.policies)}."
        else:
            reasons, refusal = ("no-policy-allows",), f"No policy allows {_who(request.principal)} {request.action}."
        lacking = self._lacking(request, answer.policies)
        if lacking:
            return Deny((*reasons, CLAIM_REQUIRED), " ".join([refusal, *lacking, _CLAIMS]))
        return Deny(reasons, refusal)

    def _ask(self, request: AccessRequest) -> _Answer | Deny:
        """What the engine says. Never raises."""
        try:
            result = cedarpy.is_authorized(
                _question(request),
                self._book.policies,
                [self._entity(request), _resource(request.resource_tenant or request.tenant)],
                self._book.schema,
            )
            names = result.diagnostics.id_annotations_by_reason
            policies = tuple(sorted(names.get(reason, reason) for reason in result.diagnostics.reasons))
            errors = result.diagnostics.errors
            allowed = result.decision == cedarpy.Decision.Allow and bool(policies)
        except Exception as error:  # noqa: BLE001 - whatever fails inside the engine must deny, not escape
            _log.error("policy engine failed on %s: %s", request.action, type(error).__name__)
            return Deny((_FAILED,), f"The policies could not be evaluated for {request.action}.")
        if errors:
            _log.error("policy error on %s: %s", request.action, "; ".join(errors)[:500])
            return Deny((_FAILED,), f"The policies could not be evaluated for {request.action}.")
        return _Answer(allowed, policies)

    def _allows(self, request: AccessRequest, principal: Principal) -> bool:
        answer = self._ask(replace(request, principal=principal))
        return isinstance(answer, _Answer) and answer.allowed

    def _lifts(self, request: AccessRequest, principal: Principal, policy: str) -> bool:
        answer = self._ask(replace(request, principal=principal))
        return isinstance(answer, _Answer) and policy not in answer.policies

    def _lacking(self, request: AccessRequest, forbidding: Sequence[str]) -> list[str]:
        """A sentence for each policy that looked for a claim in vain: of those that forbid, or else of those that would
        permit with it."""
        looks = [
            look
            for look in self._book.looks
            if (look.policy in forbidding if forbidding else look.could_permit(request.action))
        ][:_MOST_EXPLAINED]
        sentences = []
        for look in looks:

            def suffices(principal: Principal, policy: str = look.policy) -> bool:
                if forbidding:
                    return self._lifts(request, principal, policy)
                return self._allows(request, principal)

            needed = lacked(look, request.principal, suffices, _MOST_QUESTIONS // len(looks))
            if needed:
                sentences.append(told(look, request.principal, needed))
        return sentences

    def _mfa(self, principal: Principal) -> bool:
        return principal.id.partition(":")[0] not in self._mfa_of or _SECOND_FACTOR.items() <= principal.claims.items()

    def _entity(self, request: AccessRequest) -> dict[str, Any]:
        """Here and not in a policy: policies of a site's own replace the shipped ones."""
        principal, mfa = request.principal, self._mfa(request.principal)
        return {
            "uid": {"type": "Qsec::Principal", "id": principal.id},
            "attrs": {
                "kind": str(principal.kind),
                "tenant": request.tenant,
                "project": request.project,
                "roles": sorted(principal.roles if mfa else principal.roles - PRIVILEGED),
                "claims": sorted(f"{name}={value}" for name, value in principal.claims.items()),
                "mfa": mfa,
            },
            "parents": [],
        }


def _key(request: AccessRequest) -> tuple[object, ...]:
    """Everything that a decision depends on; with types, since `True` and `1` are equal but not the same to Cedar."""
    principal = request.principal
    return (
        *(principal.id, principal.kind, principal.roles, tuple(sorted(principal.claims.items()))),
        *(request.action, request.tenant, request.project, request.resource_tenant),
        tuple(sorted((name, type(value).__name__, value) for name, value in request.context.items())),
    )


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


@lru_cache(maxsize=1024)
def _resource(tenant: str) -> dict[str, Any]:
    return {"uid": {"type": "Qsec::Resource", "id": tenant}, "attrs": {"tenant": tenant}, "parents": []}

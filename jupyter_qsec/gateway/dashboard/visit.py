"""One request of somebody who is logged in, and what they may see and do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jupyter_qsec.application.callers import Operator, operator_access
from jupyter_qsec.application.ports import Identity
from jupyter_qsec.domain.access import MFA_REQUIRED, Action, Deny, Permit
from jupyter_qsec.domain.errors import DeniedError, InvalidRequestError, NotFoundError
from jupyter_qsec.domain.membership import EVERY_TENANT
from jupyter_qsec.domain.principal import Principal
from jupyter_qsec.domain.tenant import Tenant

if TYPE_CHECKING:
    from jupyter_qsec.bootstrap import Gateway

_MAX_FIELD = 300
_DONE = {
    "cancelling": "The task is being cancelled.",
    "cancelled": "The task is cancelled.",
    "revoked": "The lease is revoked.",
    "paused": "The queue is paused: what runs goes on, nothing else starts.",
    "resumed": "The queue goes on.",
    "signed": "The head of the log is signed.",
}


@dataclass(slots=True)
class Visit:
    """Who looks at what. The questions to the policy are asked once for each page."""

    gateway: Gateway
    identity: Identity
    source: str
    path: Mapping[str, str]
    """Parameters of the path."""
    arguments: Mapping[str, Sequence[bytes]]
    """Fields of the query, or of the form that was sent."""
    lacks_mfa: bool = False
    """Whether a login with a second factor would have changed an answer so far."""
    _answers: dict[tuple[Action, str, bool], bool] = field(default_factory=dict)

    @property
    def principal(self) -> Principal:
        return self.identity.principal

    @property
    def operator(self) -> Operator:
        return Operator(self.principal, self.source, self.identity.tenant, self.identity.project)

    @property
    def tenants(self) -> list[Tenant]:
        """Those in which the person has a role; of others not even the name is told."""
        return [tenant for tenant in self.gateway.catalogue.tenants() if self.principal.within(tenant.id).roles]

    def text(self, name: str) -> str:
        """A field, empty when it is not there. `InvalidRequestError` when it makes no sense."""
        given = self.arguments.get(name, ())
        if not given:
            return ""
        try:
            text = given[-1].decode().strip()
        except UnicodeDecodeError:
            raise InvalidRequestError(f"{name} is not UTF-8.") from None
        if len(text) > _MAX_FIELD or not text.isprintable():
            raise InvalidRequestError(f"{name} must be a text of at most {_MAX_FIELD} characters in one line.")
        return text

    def choice(self, name: str, words: Sequence[str]) -> str:
        """One of these words, or nothing."""
        word = self.text(name)
        if word and word not in words:
            raise InvalidRequestError(f"{name} must be one of {', '.join(words)}.")
        return word

    def tenant_choice(self) -> str:
        """The tenant that was chosen. One that the person may not know looks like one that does not exist."""
        chosen = self.text("tenant")
        if chosen and chosen not in {tenant.id for tenant in self.tenants}:
            raise InvalidRequestError(f"There is no tenant {chosen[:60]!r}.", remedy="Choose one of the list.")
        return chosen

    @property
    def done(self) -> str:
        """What the button that led here has done: a word of the address chooses the sentence."""
        word = self.text("done")
        if word and word not in _DONE:
            raise NotFoundError("There is no such page.")
        return _DONE.get(word, "")

    def may(self, action: Action, tenant: str, *, owner: bool = False) -> bool:
        """Whether the policy lets this person do that; `owner`: to something of their own."""
        question = (action, tenant, owner)
        if question not in self._answers:
            asked = operator_access(self.principal, action, tenant, facts={"owner": owner})
            decision = self.gateway.policy.decide(asked)
            self._answers[question] = isinstance(decision, Permit)
            self.lacks_mfa |= isinstance(decision, Deny) and MFA_REQUIRED in decision.reasons
        return self._answers[question]

    def may_change(self, action: Action, tenant: str, owner: str = "") -> bool:
        """Whether a button is of any use: the action itself is asked again when it is pressed."""
        return self.identity.may_write and self.may(action, tenant, owner=owner == self.principal.id)

    def require_some(self, seen: bool, what: str) -> None:
        """`DeniedError` for a page that shows nothing to any role of this person: an empty one would be untrue."""
        if seen:
            return
        if self.lacks_mfa:
            text = f"Those of your roles that may read {what} count only after a login with a second factor."
            raise DeniedError(text, reasons=(MFA_REQUIRED,), remedy="Log out at the hub, and log in with one.")
        raise DeniedError(f"None of your roles may read {what}.", reasons=("no-policy-allows",))

    @property
    def sees_audit(self) -> bool:
        return self.may(Action.AUDIT_READ, EVERY_TENANT)

    @property
    def sees_findings(self) -> bool:
        return any(self.may(Action.FINDING_READ, tenant.id) for tenant in self.tenants)

    @property
    def sees_leases(self) -> bool:
        return any(self.may(Action.LEASE_READ, tenant.id, owner=True) for tenant in self.tenants)

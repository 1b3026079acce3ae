"""Time, decisions, identities and the tenants as configured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from jupyter_qsec.domain.access import AccessRequest, Decision
from jupyter_qsec.domain.lease import Holder
from jupyter_qsec.domain.principal import Principal
from jupyter_qsec.domain.tenant import Tenant


class Clock(Protocol):
    def now(self) -> datetime:
        """The time as an aware UTC datetime."""
        ...


class Policy(Protocol):
    def decide(self, request: AccessRequest) -> Decision:
        """Decide by the loaded policies. Never raises: an error inside the engine is a `Deny`."""
        ...

    def probe(self) -> bool:
        """Whether the engine decides anything now: it is asked anew, whatever it remembers."""
        ...


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody whom an identity source vouches for at this moment."""

    principal: Principal
    tenant: str
    """Where its leases go when nobody says; may be empty."""
    project: str
    may_write: bool
    """Whether the token may change anything; one that may not still reads."""


class Identities(Protocol):
    """An identity source outside, such as a JupyterHub."""

    async def identify(self, token: str) -> Identity:
        """Who holds this token now; an answer is at most two seconds old. `UnauthenticatedError` for an unknown token,
        `DeniedError` for a known one that may do nothing here, `UnavailableError` when the source cannot be asked."""
        ...


@dataclass(frozen=True, slots=True)
class Departed:
    """Of some holders of leases, those whom their identity source does not know any more."""

    gone: Sequence[Holder]
    """Only whom it has denied in so many words."""
    problem: str = ""
    """Why it could not be asked about all of them, for administrators; empty when it could."""


class Roster(Protocol):
    """Whom an identity source outside knows, whatever tokens they have."""

    async def departed(self, holders: Sequence[Holder]) -> Departed:
        """Those of other sources, such as this machine, are never among the gone. Raises nothing."""
        ...


class Catalogue(Protocol):
    """The tenants as configured."""

    def tenants(self) -> Sequence[Tenant]:
        """At least one. The first is the one that leases are for when nobody says."""
        ...

    def tenant(self, tenant_id: str) -> Tenant | None: ...

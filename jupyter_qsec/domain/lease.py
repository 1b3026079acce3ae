"""Leases: short-lived grants that a kernel or a job holds instead of a credential. The semantics follow Vault's:
ttl, max ttl, renew up to the maximum, revoke at once, revoking a parent revokes its children."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from jupyter_qsec.domain.errors import ConflictError, LeaseExpiredError, LeaseRevokedError

NEW_LEASE_HINT = (
    "Get a new one with 'New lease' in the Quantum security panel, or restart the kernel. If you have a new one "
    "already, create the AwsDevice or boto3 session again: this one still signs with the old key."
)
UNLEASED = "unleased-"
"""How the token begins that a holder has until its lease comes. It opens nothing."""
UNLEASED_HINT = (
    "Wait a moment and run it again. If it stays so, the Quantum security panel says why; in a terminal, "
    "'jupyter-qsec doctor' does."
)
MAX_TEXT = 200
"""Characters of the longest label, holder or confinement that a lease takes."""


class LeaseState(StrEnum):
    ACTIVE = "active"
    REVOKED = "revoked"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds leases, as an identity source vouched for it when they were issued or last renewed."""

    principal: str
    claims: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lease:
    """A grant of one tenant and project to one principal. Secrets are derived from it, never stored in it."""

    id: str
    """UUID4 hex; also the accessor: who has it can look up and revoke the lease, never use it."""
    principal: str
    tenant: str
    project: str
    issued_at: datetime
    expires_at: datetime
    """Moves forward with each renewal. The holder's heartbeat renews long before."""
    max_expires_at: datetime
    """No renewal goes past this."""
    ttl: timedelta
    label: str = ""
    """What holds it, for people: `kernel python3 · first-task.ipynb`, `exec python job.py`."""
    holder: str = ""
    """What holds it, for machines: `kernel:KERNEL_ID`, `exec:PID`."""
    parent: str = ""
    confinement: str = ""
    """`confined`, or `unconfined: REASON`, as the holder's probe reported it; empty when nothing was reported."""
    revoked_at: datetime | None = None
    revoked_because: str = ""
    token_digest: str = ""
    """SHA-256 (hex) of the bearer token with which the holder fetches credentials."""
    revision: int = 0
    """Counts changes, for optimistic locking."""
    claims: Mapping[str, str] = field(default_factory=dict, hash=False)
    """What the identity source vouched for when its principal took or last renewed it."""

    def state(self, now: datetime) -> LeaseState:
        if self.revoked_at is not None:
            return LeaseState.REVOKED
        return LeaseState.ACTIVE if now < self.expires_at else LeaseState.EXPIRED

    def require_active(self, now: datetime) -> None:
        """Raise `LeaseRevokedError` or `LeaseExpiredError` unless the lease can be used now."""
        state = self.state(now)
        if state is LeaseState.REVOKED:
            raise LeaseRevokedError(f"Lease {self.id[:8]} was revoked ({self.revoked_because}).", remedy=NEW_LEASE_HINT)
        if state is LeaseState.EXPIRED:
            raise LeaseExpiredError(
                f"Lease {self.id[:8]} expired at {self.expires_at:%H:%M:%S} UTC.", remedy=NEW_LEASE_HINT
            )

    def renewed(self, now: datetime) -> Lease:
        """The lease with a new expiry, `ttl` from now and never past `max_expires_at`; only active leases renew."""
        self.require_active(now)
        expires_at = max(self.expires_at, min(now + self.ttl, self.max_expires_at))
        return replace(self, expires_at=expires_at, revision=self.revision + 1)

    def revoked(self, now: datetime, because: str) -> Lease:
        """The lease as revoked. Revoking twice is a `ConflictError`, so that each revocation has one record."""
        if self.revoked_at is not None:
            raise ConflictError(f"Lease {self.id[:8]} is revoked already.")
        return replace(self, revoked_at=now, revoked_because=because, revision=self.revision + 1)

"""Root secrets: what everything else at the gateway hangs on, without the secrets themselves."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

ROTATION_DUE = timedelta(days=90)
"""A root secret that is older should be replaced."""
MAX_BECAUSE = 200

LEASES = "leases"
"""The key behind the credentials of all leases, page tokens and the dashboard's cookies."""
AUDIT_LOG = "audit-log"
"""The private key that signs the audit log's checkpoints."""
AWS = "aws"
"""A long-term key of AWS with which the gateway takes the tenants' roles, where an administrator gave it one."""

ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)
_CHECK_HEX = 16


class RootSecretState(StrEnum):
    COMING = "coming"
    """What is under it expires later than anything that there is now."""
    PRESENT = "present"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True)
class RootSecret:
    """One generation of a root secret: everything but what it is."""

    name: str
    generation: int
    """Counts from 1."""
    entry: str
    """Its name in the key store, never used for another."""
    created_at: datetime
    starts_at: datetime
    """It is used for whatever expires from then on, until a later generation starts."""
    principal: str
    """Who made it."""
    because: str
    check: str
    """Tells whether a secret is this one, and nothing else of it."""

    @classmethod
    def of(
        cls,
        name: str,
        generation: int,
        entry: str,
        secret: bytes,
        *,
        at: datetime,
        starts_at: datetime,
        by: str,
        because: str,
    ) -> RootSecret:
        because = because[:MAX_BECAUSE] or "no reason given"
        return cls(name, generation, entry, at, starts_at, by, because, check_of(secret))

    def due_at(self) -> datetime | None:
        """When it should be replaced; `None`: it stays, because checkpoints kept elsewhere are held against it."""
        return None if self.name == AUDIT_LOG else self.created_at + ROTATION_DUE

    def is_due(self, now: datetime) -> bool:
        due_at = self.due_at()
        return due_at is not None and due_at <= now

    def state(self, others: Iterable[RootSecret], now: datetime) -> RootSecretState:
        """Among all generations of its name."""
        later = [each for each in others if each.name == self.name and each.generation > self.generation]
        if any(each.starts_at <= max(now, self.starts_at) for each in later):
            return RootSecretState.REPLACED
        return RootSecretState.PRESENT if self.starts_at <= now else RootSecretState.COMING

    def is_of(self, secret: bytes) -> bool:
        return hmac.compare_digest(self.check, check_of(secret))


def check_of(secret: bytes) -> str:
    """64 bits of a hash under the secret itself: of 256 random bits it tells nothing that helps to find them."""
    return hmac.digest(secret, b"jupyter_qsec check of a root secret", "sha256").hex()[:_CHECK_HEX]


def in_use(generations: Sequence[RootSecret], now: datetime) -> list[RootSecret]:
    """Those of one name, the oldest first, that something which has not expired may be under; the newest first."""
    used = []
    ends_at = datetime.max.replace(tzinfo=UTC)
    for each in reversed(generations):
        if each.starts_at < ends_at and ends_at > now:
            used.append(each)
        ends_at = min(ends_at, each.starts_at)
    return used

"""Root secrets: what everything else at the gateway hangs on, without the secrets themselves."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta

ROTATION_DUE = timedelta(days=90)
"""A root secret that is older should be replaced."""
MAX_BECAUSE = 200

LEASES = "leases"
"""The key behind the credentials of all leases, page tokens and the dashboard's cookies."""
AUDIT_LOG = "audit-log"
"""The private key that signs the audit log's checkpoints."""

_CHECK_HEX = 16


@dataclass(frozen=True, slots=True)
class RootSecret:
    """One generation of a root secret: everything but what it is."""

    name: str
    generation: int
    """Counts from 1."""
    created_at: datetime
    starts_at: datetime
    """It is used for whatever expires from then on, until a later generation starts."""
    principal: str
    """Who made it."""
    because: str
    check: str
    """Tells whether a secret is this one, and nothing else of it."""

    @property
    def entry(self) -> str:
        """Its name in the key store."""
        return entry_of(self.name, self.generation)

    def due_at(self) -> datetime:
        """When it should be replaced."""
        return self.created_at + ROTATION_DUE

    def is_of(self, secret: bytes) -> bool:
        return hmac.compare_digest(self.check, check_of(secret))


def entry_of(name: str, generation: int) -> str:
    return name if generation == 1 else f"{name}-{generation}"


def check_of(secret: bytes) -> str:
    """64 bits of a hash under the secret itself: of 256 random bits it tells nothing that helps to find them."""
    return hmac.digest(secret, b"jupyter_qsec check of a root secret", "sha256").hex()[:_CHECK_HEX]

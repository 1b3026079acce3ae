"""What the holder of a lease asks for, and what it gets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.domain.lease import MAX_TEXT, Lease

MAX_TTL = timedelta(hours=12)
MIN_TTL = timedelta(seconds=10)


@dataclass(frozen=True)
class LeaseRequest:
    """What a holder asks for."""

    tenant: str = ""
    """Empty: the catalogue's first."""
    project: str = ""
    """Empty: the tenant's first."""
    label: str = ""
    holder: str = ""
    parent: str = ""
    """Id of the lease this one hangs on; it ends with it."""
    ttl: timedelta = timedelta(minutes=5)
    max_ttl: timedelta = MAX_TTL
    confinement: str = ""


@dataclass(frozen=True)
class IssuedLease:
    """A new lease and what its holder needs to use it."""

    lease: Lease
    token: str
    """The bearer token, told once: only its SHA-256 is kept."""


def check(request: LeaseRequest) -> None:
    """`InvalidRequestError` names what is out of bounds."""
    if not MIN_TTL <= request.ttl <= MAX_TTL:
        raise InvalidRequestError("ttl_seconds must be between 10 and 43200.")
    if not request.ttl <= request.max_ttl <= MAX_TTL:
        raise InvalidRequestError("max_ttl_seconds must be between ttl_seconds and 43200.")
    for name in ("label", "holder", "confinement"):
        if len(getattr(request, name)) > MAX_TEXT:
            raise InvalidRequestError(f"{name} is longer than {MAX_TEXT} characters.")

"""The lease as a value: states, renewal, revocation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jupyter_qsec.domain.errors import ConflictError, LeaseExpiredError, LeaseRevokedError
from jupyter_qsec.domain.lease import NEW_LEASE_HINT, Lease, LeaseState

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TTL = timedelta(minutes=5)


def lease(**changes: Any) -> Lease:
    fields: dict[str, Any] = {
        "id": "ab" * 16,
        "principal": "os:ada",
        "tenant": "alpha",
        "project": "first",
        "issued_at": NOW,
        "expires_at": NOW + TTL,
        "max_expires_at": NOW + timedelta(minutes=12),
        "ttl": TTL,
    }
    return Lease(**(fields | changes))


@pytest.mark.parametrize(
    ("seconds", "state"),
    [(-3600, LeaseState.ACTIVE), (0, LeaseState.ACTIVE), (299.999, LeaseState.ACTIVE), (300, LeaseState.EXPIRED)],
)
def test_a_lease_is_active_until_exactly_its_expiry(seconds: float, state: LeaseState) -> None:
    assert lease().state(NOW + timedelta(seconds=seconds)) is state


def test_revoked_wins_over_expired() -> None:
    assert lease(revoked_at=NOW).state(NOW + timedelta(days=1)) is LeaseState.REVOKED


def test_errors_say_which_lease_why_and_how_to_get_another() -> None:
    with pytest.raises(LeaseRevokedError) as revoked:
        lease(revoked_at=NOW, revoked_because="lost laptop").require_active(NOW)
    assert "abababab" in str(revoked.value) and "lost laptop" in str(revoked.value)
    with pytest.raises(LeaseExpiredError) as expired:
        lease().require_active(NOW + TTL)
    assert revoked.value.remedy == expired.value.remedy == NEW_LEASE_HINT


def test_renewal_moves_by_the_ttl_up_to_the_maximum() -> None:
    at = NOW + timedelta(minutes=3)
    renewed = lease().renewed(at)
    assert (renewed.expires_at, renewed.revision) == (at + TTL, 1)
    again = renewed.renewed(NOW + timedelta(minutes=7, seconds=59))
    assert again.expires_at == NOW + timedelta(minutes=12)


def test_a_clock_that_jumped_back_shortens_no_lease() -> None:
    assert lease().renewed(NOW - timedelta(hours=2)).expires_at == NOW + TTL


@pytest.mark.parametrize("changes", [{"revoked_at": NOW}, {"expires_at": NOW}])
def test_what_is_not_active_is_not_renewed(changes: dict[str, Any]) -> None:
    with pytest.raises((LeaseRevokedError, LeaseExpiredError)):
        lease(**changes).renewed(NOW)


def test_revoking_happens_once() -> None:
    revoked = lease().revoked(NOW, "done")
    assert (revoked.revoked_at, revoked.revoked_because, revoked.revision) == (NOW, "done", 1)
    with pytest.raises(ConflictError):
        revoked.revoked(NOW, "again")


def test_an_expired_lease_can_still_be_revoked() -> None:
    assert lease().revoked(NOW + timedelta(days=1), "clean-up").revoked_at is not None

"""Leases: issue, renew, revoke, expire; what a revoked parent does; what is recorded."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from jupyter_qsec.application.leasing import LeaseRequest
from jupyter_qsec.domain.access import Action
from jupyter_qsec.domain.errors import (
    ConflictError,
    DeniedError,
    ExpiredSignatureError,
    InvalidRequestError,
    LeaseExpiredError,
    LeaseRevokedError,
    NotFoundError,
    RecordingError,
    UnauthenticatedError,
)
from jupyter_qsec.domain.lease import UNLEASED, LeaseState
from jupyter_qsec.domain.principal import Principal, Role
from tests.fakes.policy import FakePolicy
from tests.fakes.world import ADA, World

EVE = Principal("os:eve", "eve", roles=frozenset({Role.DEVELOPER}))


async def test_an_issued_lease_opens_the_door_and_is_on_record() -> None:
    world = World()
    issued = await world.leasing.issue(ADA, LeaseRequest(tenant="alpha", label="kernel python3"))
    caller = await world.leasing.caller(issued.lease.id)
    assert (caller.tenant.id, caller.project.id, caller.principal.id) == ("alpha", "first", "os:ada")
    assert world.kinds() == ["lease.issued"]
    assert world.store.events[0].rules == ("permit-developer-issue-lease",)


async def test_who_names_no_tenant_works_for_the_first_of_the_catalogue() -> None:
    world = World()
    issued = await world.leasing.issue(ADA, LeaseRequest())
    assert (issued.lease.tenant, issued.lease.project) == ("alpha", "first")


async def test_the_token_itself_is_stored_nowhere() -> None:
    world = World()
    issued = await world.leasing.issue(ADA, LeaseRequest(tenant="alpha"))
    secret = issued.token.rpartition(".")[2]
    stored = await world.store.lease(issued.lease.id)
    assert secret not in repr(stored)
    assert all(secret not in repr(event) for event in world.store.events)


async def test_a_lease_carries_no_administrative_role_into_the_kernel() -> None:
    world = World()
    caller = await world.caller()
    assert caller.principal.roles == {Role.DEVELOPER}


async def test_credentials_renew_unnoticed_over_three_expiries() -> None:
    world = World()
    issued = await world.leasing.issue(ADA, LeaseRequest(tenant="alpha"))
    seen = set()
    for _ in range(4):
        made = await world.leasing.credentials(issued.token)
        signing = world.leasing.signing_credential(made.access_key_id, made.session_token)
        assert signing.secret_access_key == made.secret_access_key
        await world.leasing.caller(signing.lease_id)
        seen.add(made.access_key_id)
        while world.clock.now() < made.expires_at:  # the holder's heartbeat
            world.clock.advance(minutes=2.5)
            await world.leasing.renew(ADA, issued.lease.id)
        with pytest.raises(ExpiredSignatureError):
            world.leasing.signing_credential(made.access_key_id, made.session_token)
    assert len(seen) == 4


async def test_without_a_heartbeat_the_lease_dies_by_itself_while_its_credential_is_still_good() -> None:
    world = World()
    issued = await world.leasing.issue(ADA, LeaseRequest(tenant="alpha"))
    made = await world.leasing.credentials(issued.token)
    world.clock.advance(minutes=5)
    signing = world.leasing.signing_credential(made.access_key_id, made.session_token)
    with pytest.raises(LeaseExpiredError, match="expired"):
        await world.leasing.caller(signing.lease_id)
    with pytest.raises(LeaseExpiredError):
        await world.leasing.credentials(issued.token)
    with pytest.raises(LeaseExpiredError):
        await world.leasing.renew(ADA, issued.lease.id)


async def test_no_renewal_goes_past_the_maximum() -> None:
    world = World()
    request = LeaseRequest(tenant="alpha", ttl=timedelta(minutes=5), max_ttl=timedelta(minutes=7))
    issued = await world.leasing.issue(ADA, request)
    world.clock.advance(minutes=4)
    renewed = await world.leasing.renew(ADA, issued.lease.id)
    assert renewed.expires_at == issued.lease.issued_at + timedelta(minutes=7)
    world.clock.advance(minutes=3)
    with pytest.raises(LeaseExpiredError):
        await world.leasing.renew(ADA, issued.lease.id)


async def test_revocation_acts_at_once_on_every_way_in() -> None:
    world = World()
    issued = await world.leasing.issue(ADA, LeaseRequest(tenant="alpha"))
    await world.leasing.caller(issued.lease.id)
    await world.leasing.revoke(ADA, issued.lease.id, "lost laptop")
    for attempt in (
        world.leasing.caller(issued.lease.id),
        world.leasing.credentials(issued.token),
        world.leasing.lease_of_token(issued.token),
        world.leasing.renew(ADA, issued.lease.id),
    ):
        with pytest.raises(LeaseRevokedError, match=r"lost laptop.*New lease"):
            await attempt
    event = world.store.events[-1]
    assert (event.kind, event.details["because"]) == ("lease.revoked", "lost laptop")


async def test_revocation_acts_even_while_its_record_cannot_be_written() -> None:
    world = World()
    issued = await world.leasing.issue(ADA, LeaseRequest(tenant="alpha"))
    world.store.fail_with = RecordingError("The disk is full.")
    with pytest.raises(RecordingError):
        await world.leasing.revoke(ADA, issued.lease.id, "leak")
    with pytest.raises(LeaseRevokedError):
        await world.leasing.caller(issued.lease.id)
    world.store.fail_with = None
    await world.leasing.revoke(ADA, issued.lease.id, "leak")
    assert world.kinds()[-1] == "lease.revoked"


async def test_an_issue_that_cannot_be_recorded_does_not_happen() -> None:
    world = World()
    world.store.fail_with = RecordingError("The disk is full.")
    with pytest.raises(RecordingError):
        await world.leasing.issue(ADA, LeaseRequest(tenant="alpha"))
    world.store.fail_with = None
    assert await world.leasing.leases(ADA) == []


async def test_a_lease_is_revoked_once() -> None:
    world = World()
    issued = await world.leasing.issue(ADA, LeaseRequest(tenant="alpha"))
    outcomes = await asyncio.gather(
        *(world.leasing.revoke(ADA, issued.lease.id, "x") for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(outcome, ConflictError) for outcome in outcomes) == 4
    assert world.kinds().count("lease.revoked") == 1


async def test_a_revoked_parent_takes_its_descendants_along() -> None:
    world = World()
    parent = await world.leasing.issue(ADA, LeaseRequest(tenant="alpha"))
    child = await world.leasing.issue(ADA, LeaseRequest(tenant="alpha", parent=parent.lease.id))
    grandchild = await world.leasing.issue(ADA, LeaseRequest(tenant="alpha", parent=child.lease.id))
    other = await world.leasing.issue(ADA, LeaseRequest(tenant="alpha"))
    await world.leasing.revoke(ADA, parent.lease.id, "gone")
    for lease_id in (child.lease.id, grandchild.lease.id):
        with pytest.raises(LeaseRevokedError):
            await world.leasing.caller(lease_id)
        stored = await world.store.lease(lease_id)
        assert stored is not None and "parent" in stored.revoked_because
    await world.leasing.caller(other.lease.id)
    assert world.kinds().count("lease.revoked") == 3


async def test_a_child_ends_with_its_parents_expiry_even_when_it_was_renewed_itself() -> None:
    world = World()
    parent = await world.leasing.issue(ADA, LeaseRequest(tenant="alpha", ttl=timedelta(minutes=5)))
    child = await world.leasing.issue(
        ADA, LeaseRequest(tenant="alpha", parent=parent.lease.id, ttl=timedelta(minutes=30))
    )
    world.clock.advance(minutes=6)
    with pytest.raises(LeaseExpiredError):
        await world.leasing.caller(child.lease.id)


@pytest.mark.parametrize("tenant", ["beta", "alpha"])
async def test_a_lease_cannot_hang_on_another_tenants_or_persons(tenant: str) -> None:
    world = World()
    owner = EVE if tenant == "alpha" else ADA
    parent = await world.leasing.issue(owner, LeaseRequest(tenant=tenant))
    with pytest.raises(NotFoundError):
        await world.leasing.issue(ADA, LeaseRequest(tenant="alpha", parent=parent.lease.id))


async def test_a_developer_revokes_and_sees_only_own_leases() -> None:
    world = World()
    issued = await world.leasing.issue(ADA, LeaseRequest(tenant="alpha"))
    for attempt in (
        world.leasing.revoke(EVE, issued.lease.id, "mischief"),
        world.leasing.renew(EVE, issued.lease.id),
        world.leasing.lease(EVE, issued.lease.id),
    ):
        with pytest.raises(NotFoundError, match=f"Lease {issued.lease.id[:8]} was not found."):
            await attempt
    assert await world.leasing.leases(EVE) == []
    await world.leasing.caller(issued.lease.id)


async def test_what_policy_refuses_is_not_issued() -> None:
    world = World(policy=FakePolicy(Action.LEASE_ISSUE))
    with pytest.raises(DeniedError) as caught:
        await world.leasing.issue(ADA, LeaseRequest(tenant="alpha"))
    assert caught.value.reasons == ("forbid-in-test",)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"tenant": "nowhere"}, "tenant"),
        ({"project": "nowhere"}, "project"),
        ({"ttl": timedelta(seconds=1)}, "ttl"),
        ({"ttl": timedelta(hours=13)}, "ttl"),
        ({"max_ttl": timedelta(minutes=1)}, "max_ttl"),
        ({"max_ttl": timedelta(hours=13)}, "max_ttl"),
        ({"label": "x" * 201}, "label"),
    ],
)
async def test_wrong_requests_are_refused_by_name(changes: dict[str, Any], name: str) -> None:
    with pytest.raises(InvalidRequestError, match=name):
        await World().leasing.issue(ADA, LeaseRequest(**{"tenant": "alpha", **changes}))


async def test_unknown_tokens_and_leases_are_unauthenticated() -> None:
    world = World()
    issued = await world.leasing.issue(ADA, LeaseRequest(tenant="alpha"))
    tampered = issued.token[:-1] + ("A" if issued.token[-1] != "A" else "B")
    for token in ("", "x", tampered, issued.token.replace(issued.lease.id, "0" * 32), issued.token + "\n"):
        with pytest.raises(UnauthenticatedError):
            await world.leasing.lease_of_token(token)
    with pytest.raises(UnauthenticatedError):
        await world.leasing.caller("0" * 32)


async def test_a_lease_carries_the_claims_of_its_person_as_they_last_were() -> None:
    world = World()
    strong, weak = (replace(ADA, claims={"mfa": known}) for known in ("true", "false"))
    issued = await world.leasing.issue(strong, LeaseRequest(tenant="alpha"))
    assert (await world.leasing.caller(issued.lease.id)).principal.claims == {"mfa": "true"}
    admin = Principal("os:root", "root", roles=frozenset({Role.WORKSPACE_ADMIN}), claims={"zone": "admins"})
    assert (await world.leasing.renew(admin, issued.lease.id)).claims == {"mfa": "true"}, "of nobody else"
    await world.leasing.renew(weak, issued.lease.id)
    assert (await world.leasing.caller(issued.lease.id)).principal.claims == {"mfa": "false"}
    told = [(event.kind, event.details["claim_mfa"]) for event in world.store.events]
    assert told == [("lease.issued", "true"), ("lease.renewed", "true"), ("lease.renewed", "false")]


async def test_who_still_waits_for_a_lease_is_told_to_wait() -> None:
    with pytest.raises(UnauthenticatedError, match="The lease has not come yet") as refused:
        await World().leasing.credentials(f"{UNLEASED}{'x' * 43}")
    assert "run it again" in refused.value.remedy


async def test_only_the_first_renewal_in_an_hour_is_recorded() -> None:
    world = World()
    issued = await world.leasing.issue(ADA, LeaseRequest(tenant="alpha"))
    for _ in range(60):
        world.clock.advance(minutes=2)
        await world.leasing.renew(ADA, issued.lease.id)
    assert world.kinds().count("lease.renewed") == 2


async def test_a_changed_confinement_is_recorded_with_its_renewal() -> None:
    world = World()
    issued = await world.leasing.issue(ADA, LeaseRequest(tenant="alpha"))
    await world.leasing.renew(ADA, issued.lease.id)
    renewed = await world.leasing.renew(ADA, issued.lease.id, confinement="unconfined: no Landlock")
    assert renewed.confinement == "unconfined: no Landlock"
    assert world.store.events[-1].details["confinement"] == "unconfined: no Landlock"


async def test_leases_survive_a_restart_and_so_do_revocations() -> None:
    world = World()
    kept = await world.leasing.issue(ADA, LeaseRequest(tenant="alpha"))
    ended = await world.leasing.issue(ADA, LeaseRequest(tenant="alpha"))
    made = await world.leasing.credentials(kept.token)
    await world.leasing.revoke(ADA, ended.lease.id, "gone")
    again = await world.restarted()
    assert again.leasing.signing_credential(made.access_key_id, made.session_token).lease_id == kept.lease.id
    await again.leasing.caller(kept.lease.id)
    with pytest.raises(LeaseRevokedError):
        await again.leasing.caller(ended.lease.id)


async def test_leases_are_listed_by_state() -> None:
    world = World()
    active = await world.leasing.issue(ADA, LeaseRequest(tenant="alpha", ttl=timedelta(hours=1)))
    expired = await world.leasing.issue(ADA, LeaseRequest(tenant="beta"))
    revoked = await world.leasing.issue(ADA, LeaseRequest(tenant="alpha"))
    await world.leasing.revoke(ADA, revoked.lease.id, "gone")
    world.clock.advance(minutes=10)

    async def ids(state: LeaseState | None, tenant: str = "") -> set[str]:
        return {lease.id for lease in await world.leasing.leases(ADA, tenant=tenant, state=state)}

    assert await ids(LeaseState.ACTIVE) == {active.lease.id}
    assert await ids(LeaseState.EXPIRED) == {expired.lease.id}
    assert await ids(LeaseState.REVOKED) == {revoked.lease.id}
    assert await ids(None, "beta") == {expired.lease.id}

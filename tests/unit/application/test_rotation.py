"""Replacing root keys at once: nothing that is under an earlier one is worth anything, and every lease ends."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from jupyter_qsec.application.leasing import LeaseRequest
from jupyter_qsec.domain.access import Action
from jupyter_qsec.domain.errors import (
    ConflictError,
    DeniedError,
    InvalidRequestError,
    KeyStoreError,
    LeaseRevokedError,
    SignatureError,
)
from jupyter_qsec.domain.lease import Lease, LeaseState
from jupyter_qsec.domain.rootsecret import AUDIT_LOG, LEASES
from tests.fakes.store import FakeStore
from tests.unit.application.installations import ADMIN, Installation, Process

LEASE = "0123456789abcdef" * 2


async def issued(process: Process, ttl: timedelta = timedelta(hours=1)) -> str:
    """The token of a new lease."""
    return (await process.leasing.issue(ADMIN, LeaseRequest(ttl=ttl))).token


async def active(process: Process) -> int:
    return len(await process.leasing.leases(ADMIN, state=LeaseState.ACTIVE))


async def test_nothing_under_an_earlier_key_is_worth_anything() -> None:
    here = Installation()
    one, other = await here.process(), await here.process()
    old = other.forge.issue(LEASE, here.clock.now())
    await one.rotate()
    await one.rotate("it was seen in a chat", at_once=True)
    await other.learn()
    for process in (one, other, await here.process()):
        with pytest.raises(SignatureError) as caught:
            process.forge.open(old.access_key_id, old.session_token, here.clock.now())
        assert "new lease" in caught.value.remedy.lower()
        assert process.forge.issue(LEASE, here.clock.now()) == one.forge.issue(LEASE, here.clock.now())


async def test_every_lease_ends_however_many_newer_ones_have_expired() -> None:
    here = Installation()
    process = await here.process()
    token = await issued(process, timedelta(hours=12))
    for _ in range(600):
        await issued(process, timedelta(seconds=10))
    here.clock.advance(minutes=1)
    await process.rotate("it was seen in a chat", at_once=True)
    with pytest.raises(LeaseRevokedError):
        await process.leasing.credentials(token)
    revoked = [event for event in here.store.events if event.kind == "lease.revoked"]
    assert len(revoked) == 1
    assert revoked[0].details["because"] == "the key behind all leases is being replaced: it was seen in a chat"


async def test_so_do_more_than_are_ended_together_and_their_children() -> None:
    here = Installation()
    process = await here.process()
    parent = (await process.leasing.issue(ADMIN, LeaseRequest())).lease.id
    for _ in range(1200):
        await process.leasing.issue(ADMIN, LeaseRequest(parent=parent))
    await process.rotate(at_once=True)
    assert await active(process) == 0


async def test_whoever_may_not_see_leases_ends_them_all_the_same() -> None:
    here = Installation()
    process = await here.process()
    token = await issued(process)
    here.policy.denied = {Action.LEASE_READ, Action.LEASE_REVOKE}
    await process.rotate(at_once=True)
    with pytest.raises(LeaseRevokedError):
        await process.leasing.credentials(token)


async def test_a_lease_that_another_process_issues_meanwhile_ends_too() -> None:
    class BusyStore(FakeStore):
        other: Process | None = None
        token = ""

        async def add_root_secret(self, *made: object) -> None:
            if self.other is not None:
                self.token = await issued(self.other)
            await super().add_root_secret(*made)  # type: ignore[arg-type]  # as it came

    here = Installation(store := BusyStore())
    one, store.other = await here.process(), await here.process()
    await one.rotate(at_once=True)
    with pytest.raises(LeaseRevokedError):
        await one.leasing.credentials(store.token)


async def test_leases_that_somebody_else_ends_at_this_moment_are_no_obstacle() -> None:
    class RivalStore(FakeStore):
        rival: Process | None = None

        async def leases(self, **asked: object) -> Sequence[Lease]:
            found = await super().leases(**asked)  # type: ignore[arg-type]  # as it came
            if self.rival is not None:
                rival, self.rival = self.rival, None
                for lease in found:
                    await rival.leasing.revoke(ADMIN, lease.id, "faster")
            return found

    here = Installation(store := RivalStore())
    one, rival = await here.process(), await here.process()
    await issued(one)
    store.rival = rival
    assert (await one.rotate(at_once=True)).generation == 2
    assert [event.kind for event in here.store.events].count("lease.revoked") == 1


async def test_a_key_store_that_fails_ends_nothing() -> None:
    here = Installation()
    process = await here.process()
    token = await issued(process)
    before = await process.leasing.credentials(token)
    here.keys.lock()
    with pytest.raises(KeyStoreError):
        await process.rotate(at_once=True)
    assert await process.leasing.credentials(token) == before
    assert "lease.revoked" not in {event.kind for event in here.store.events}


async def test_what_was_ended_does_not_come_back_with_another_database() -> None:
    here = Installation()
    stolen = here.keys.entries[LEASES] = b"s" * 32
    process = await here.process()
    assert process.in_force(LEASES, 0) == stolen
    backup = [each for each in await process.listed(ADMIN) if each.name == LEASES]
    await process.rotate("it was seen in a chat", at_once=True)

    empty = Installation()
    empty.keys = here.keys
    assert (await empty.process()).in_force(LEASES, 0) != stolen

    restored = Installation()
    restored.keys = here.keys
    await restored.store.open()
    for each in backup:
        await restored.store.add_root_secret(each, [])
    again = await restored.process()
    assert again.in_force(LEASES, 0) != stolen
    newest = (await again.listed(ADMIN))[1]
    assert (newest.generation, newest.because) == (2, "the one before had been ended at once")


async def test_of_two_at_the_same_moment_one_is_told() -> None:
    here = Installation()
    one, other = await here.process(), await here.process()
    outcomes = await asyncio.gather(one.rotate(), other.rotate(), return_exceptions=True)
    made = [each for each in await one.listed(ADMIN) if each.name == LEASES]
    refused = [each for each in outcomes if isinstance(each, ConflictError)]
    assert len(made) + len(refused) == 3 and len(refused) <= 1


async def test_whoever_may_not_changes_nothing() -> None:
    here = Installation()
    process = await here.process()
    token = await issued(process)
    here.policy.denied = {Action.KEY_ROTATE}
    before = dict(here.keys.entries)
    with pytest.raises(DeniedError):
        await process.rotate(at_once=True)
    assert here.keys.entries == before
    await process.leasing.credentials(token)


@pytest.mark.parametrize("name", [AUDIT_LOG, "aws", "another", ""])
async def test_what_cannot_be_replaced_says_so(name: str) -> None:
    here = Installation()
    process = await here.process()
    before = dict(here.keys.entries)
    with pytest.raises(InvalidRequestError):
        await process.rotate(name=name)
    assert here.keys.entries == before

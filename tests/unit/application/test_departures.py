"""Leases of people and services that the hub does not know any more."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from jupyter_qsec.application.departures import Departures
from jupyter_qsec.application.leasing import IssuedLease, LeaseRequest
from jupyter_qsec.application.ports import Departed
from jupyter_qsec.application.sharing import SILENT_BEATS
from jupyter_qsec.domain.access import Action
from jupyter_qsec.domain.errors import LeaseRevokedError, RecordingError
from jupyter_qsec.domain.lease import Holder, Lease
from jupyter_qsec.domain.principal import Principal, PrincipalKind, Role
from tests.fakes.policy import FakePolicy
from tests.fakes.world import ADA, World

BOB = Principal("hub:bob", "bob", roles=frozenset({Role.DEVELOPER}))
EVE = Principal("hub:eve", "eve", roles=frozenset({Role.DEVELOPER}))
CI = Principal("service:ci", "ci", PrincipalKind.SERVICE, frozenset({Role.SERVICE, Role.DEVELOPER}))
REASON = "the person is no longer known to the hub"


class FakeRoster:
    """Implements the `Roster` port: knows everybody but `gone`."""

    def __init__(self) -> None:
        self.gone: set[str] = set()
        self.problem = ""
        self.asked: list[list[str]] = []
        self.takes = 0.0
        self.now = 0.0

    def timer(self) -> float:
        return self.now

    async def departed(self, holders: Sequence[Holder]) -> Departed:
        self.asked.append(sorted(holder.principal for holder in holders))
        self.now += self.takes
        return Departed([holder for holder in holders if holder.principal in self.gone], self.problem)


def watching(world: World, roster: FakeRoster) -> Departures:
    return Departures(
        store=world.store,
        leasing=world.leasing,
        roster=roster,
        dispatcher=world.dispatcher,
        clock=world.clock,
        actor=ADA,
        timer=roster.timer,
    )


async def issued(world: World, principal: Principal, **changes: Any) -> IssuedLease:
    return await world.leasing.issue(principal, LeaseRequest(tenant="alpha", **changes))


def revocations(world: World) -> list[tuple[str, str]]:
    events = [event for event in world.store.events if event.kind == "lease.revoked"]
    return [(event.lease_id, str(event.details["because"])) for event in events]


async def test_who_is_gone_holds_no_lease_any_more_and_others_hold_theirs() -> None:
    world, roster = World(), FakeRoster()
    watch = watching(world, roster)
    first, second, other = await issued(world, BOB), await issued(world, BOB), await issued(world, EVE)
    await watch.look()
    assert not revocations(world)
    roster.gone = {"hub:bob"}
    await watch.look()
    assert sorted(revocations(world)) == sorted([(first.lease.id, REASON), (second.lease.id, REASON)])
    for ended in (first, second):
        with pytest.raises(LeaseRevokedError, match=REASON):
            await world.leasing.caller(ended.lease.id)
        with pytest.raises(LeaseRevokedError):
            await world.leasing.credentials(ended.token)
    assert (await world.leasing.caller(other.lease.id)).principal.id == "hub:eve"
    assert {(event.principal, event.rules) for event in world.store.events if event.kind == "lease.revoked"} == {
        ("os:ada", ())
    }, "by the gateway's account; no policy was asked"


async def test_what_hangs_on_such_a_lease_ends_with_it() -> None:
    world, roster = World(), FakeRoster()
    parent = await issued(world, BOB)
    child = await issued(world, BOB, parent=parent.lease.id)
    await issued(world, replace(BOB, claims={"zone": "lab"}), parent=child.lease.id)  # claims change
    roster.gone = {"hub:bob"}
    await watching(world, roster).look()
    assert len(revocations(world)) == 3
    assert not await world.store.holders(world.clock.now())


async def test_nobody_returns_by_being_made_anew_under_the_same_name() -> None:
    world, roster = World(), FakeRoster()
    watch = watching(world, roster)
    lease = (await issued(world, BOB)).lease
    roster.gone = {"hub:bob"}
    await watch.look()
    roster.gone = set()
    await watch.look()
    with pytest.raises(LeaseRevokedError):
        await world.leasing.renew(BOB, lease.id)
    assert (await issued(world, BOB)).lease.principal == "hub:bob"


async def test_policies_that_let_the_gateway_revoke_nothing_do_not_keep_such_a_lease() -> None:
    world, roster = World(policy=FakePolicy(Action.LEASE_REVOKE)), FakeRoster()
    lease = (await issued(world, BOB)).lease
    roster.gone = {"hub:bob"}
    await watching(world, roster).look()
    assert revocations(world) == [(lease.id, REASON)]


async def test_a_service_is_told_from_a_person() -> None:
    world, roster = World(), FakeRoster()
    await issued(world, CI)
    roster.gone = {"service:ci"}
    await watching(world, roster).look()
    assert [because for _, because in revocations(world)] == ["the service is no longer known to the hub"]


async def test_it_asks_for_holders_of_active_leases_only() -> None:
    world, roster = World(), FakeRoster()
    watch = watching(world, roster)
    await watch.look()
    await issued(world, BOB)
    revoked = await issued(world, EVE)
    await world.leasing.revoke(EVE, revoked.lease.id, "done")
    await watch.look()
    world.clock.advance(minutes=6)
    await watch.look()
    assert roster.asked == [["hub:bob"]], "nobody else is asked for, and without leases nothing is asked"


async def test_a_source_that_is_away_ends_nobodys_lease_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    world, roster = World(), FakeRoster()
    watch = watching(world, roster)
    lease = (await issued(world, BOB)).lease
    roster.problem = "The hub cannot be reached."
    with caplog.at_level(logging.INFO):
        for _ in range(5):
            await watch.look()
        assert [record.getMessage() for record in caplog.records] == [
            "leases of people who are gone end no sooner than they expire: The hub cannot be reached."
        ]
        roster.problem = ""
        await watch.look()
        await watch.look()
        assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert (await world.leasing.caller(lease.id)).lease.id == lease.id


@pytest.mark.parametrize(("took", "rest"), [(1.0, 4.0), (1.25, 5.0), (2.0, 5.0), (300.0, 5.0)])
async def test_a_look_that_took_long_is_followed_by_a_rest_that_is_not_endless(took: float, rest: float) -> None:
    world, roster = World(), FakeRoster()
    watch = watching(world, roster)
    await issued(world, BOB)
    roster.takes = took
    await watch.look()
    roster.now += rest - 0.1
    await watch.look()
    assert len(roster.asked) == 1
    roster.now += 0.2
    await watch.look()
    assert len(roster.asked) == 2


async def test_it_acts_even_while_its_record_cannot_be_written_and_writes_it_later() -> None:
    world, roster = World(), FakeRoster()
    watch = watching(world, roster)
    leases = [(await issued(world, BOB)).lease for _ in range(2)]
    roster.gone = {"hub:bob"}
    world.store.fail_with = RecordingError("The disk is full.")
    with pytest.raises(RecordingError):
        await watch.look()
    for lease in leases:
        with pytest.raises(LeaseRevokedError, match="the person is no longer known to the hub"):
            await world.leasing.caller(lease.id)
    world.store.fail_with = None
    await watch.look()
    assert len(revocations(world)) == 2


async def test_of_several_processes_one_looks_and_its_successor_when_it_dies() -> None:
    one = await World(shared=True).started()
    other = await one.neighbour().started()
    roster = FakeRoster()
    watches = [watching(world, roster) for world in (one, other)]
    await issued(one, BOB)
    for watch in watches:
        await watch.look()
    assert not roster.asked, "nobody knows yet who else there is"
    for world in (one, other, one):
        await world.dispatcher._beat()
    for watch in watches:
        await watch.look()
    assert len(roster.asked) == 1
    left, its_watch = (other, watches[1]) if one.dispatcher.in_charge else (one, watches[0])
    for _ in range(SILENT_BEATS + 2):
        await left.dispatcher._beat()
    await its_watch.look()
    assert len(roster.asked) == 2


async def test_two_that_saw_the_same_lease_write_one_record(monkeypatch: pytest.MonkeyPatch) -> None:
    one = await World(shared=True).started()
    other = await one.neighbour().started()
    lease = (await issued(one, BOB)).lease
    await other.leasing.caller(lease.id)  # both know it as active
    seen = await one.store.leases(principal="hub:bob")

    async def leases(**_: object) -> Sequence[Lease]:
        return seen

    monkeypatch.setattr(one.store, "leases", leases)
    for world in (one, other):
        await world.leasing.end(ADA, Holder("hub:bob"), REASON)
        with pytest.raises(LeaseRevokedError):
            await world.leasing.caller(lease.id)
    assert revocations(one) == [(lease.id, REASON)]

"""Root secrets: made once, read on record, replaced without a restart, never made anew in place of a lost one."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_qsec.application.rootsecrets import RootSecrets
from jupyter_qsec.application.tokens import CredentialForge
from jupyter_qsec.domain.access import Action
from jupyter_qsec.domain.errors import (
    DeniedError,
    InvalidRequestError,
    KeyStoreError,
    RecordingError,
    SignatureError,
    UnavailableError,
)
from jupyter_qsec.domain.principal import Principal, Role
from jupyter_qsec.domain.rootsecret import AUDIT_LOG, LEASES, ROTATION_DUE, RootSecretState
from tests.fakes.clock import FakeClock
from tests.fakes.keystore import FakeKeyStore
from tests.fakes.policy import FakePolicy
from tests.fakes.store import FakeStore

ADMIN = Principal("os:ada", "ada", roles=frozenset({Role.WORKSPACE_ADMIN}))
LEASE = "0123456789abcdef" * 2


class Installation:
    """One database and one key store; each `process` is a gateway on them."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = FakeStore()
        self.keys = FakeKeyStore()
        self.policy = FakePolicy()

    async def process(self) -> RootSecrets:
        await self.store.open()
        process = RootSecrets(self.store, self.keys, self.policy, self.clock, ADMIN)
        await process.open()
        return process

    def forge(self, process: RootSecrets) -> CredentialForge:
        return CredentialForge(process.of(LEASES))

    def kinds(self) -> list[tuple[str, str, object]]:
        return [(event.kind, event.subject, event.details["generation"]) for event in self.store.events]


async def test_the_first_start_makes_what_every_gateway_needs_and_later_ones_read_it() -> None:
    here = Installation()
    first = await here.process()
    assert sorted(here.keys.entries) == [AUDIT_LOG, LEASES]
    assert {len(key) for key in here.keys.entries.values()} == {32}
    second = await here.process()
    assert first.in_force(LEASES, 0) == second.in_force(LEASES, 0) == here.keys.entries[LEASES]
    made = [("root-secret.created", AUDIT_LOG, 1), ("root-secret.created", LEASES, 1)]
    read = [("root-secret.read", AUDIT_LOG, 1), ("root-secret.read", LEASES, 1)]
    assert here.kinds() == [*made, *read, *read]


async def test_keys_of_a_state_that_knows_of_none_yet_are_taken_up() -> None:
    here = Installation()
    here.keys.entries |= {LEASES: b"l" * 32, AUDIT_LOG: b"a" * 32}
    assert (await here.process()).in_force(LEASES, 0) == b"l" * 32


@pytest.mark.parametrize("content", [None, b"x" * 32, b""])
async def test_a_key_that_is_gone_or_another_one_is_refused_and_never_made_anew(content: bytes | None) -> None:
    here = Installation()
    await here.process()
    if content is None:
        del here.keys.entries[LEASES]
    else:
        here.keys.entries[LEASES] = content
    before = dict(here.keys.entries)
    with pytest.raises(KeyStoreError) as caught:
        await here.process()
    assert "leases" in caught.value.message and "backup" in caught.value.remedy
    assert here.keys.entries == before


async def test_without_a_record_nothing_is_held() -> None:
    here = Installation()
    process = await here.process()
    await process.make(ADMIN, LEASES, "")
    other = RootSecrets(here.store, here.keys, here.policy, here.clock, ADMIN)
    here.store.fail_with = RecordingError("The disk is full.")
    with pytest.raises(RecordingError):
        await other.open()
    with pytest.raises(UnavailableError):
        other.in_force(LEASES, here.clock.now().timestamp())
    with pytest.raises(RecordingError):
        await process.make(ADMIN, LEASES, "")


async def test_a_record_tells_who_made_which_generation_and_why_and_no_secret() -> None:
    here = Installation()
    process = await here.process()
    made = await process.make(ADMIN, LEASES, "ninety days are over")
    (event,) = [event for event in here.store.events if event.kind == "root-secret.rotated"]
    assert (event.principal, event.subject, event.rules) == ("os:ada", LEASES, ("permit-in-test",))
    assert event.details == {
        "generation": 2,
        "starts_at": made.starts_at.isoformat(),
        "because": "ninety days are over",
        "at_once": False,
    }
    told = repr([*here.store.events, *await process.listed(ADMIN)])
    for secret in here.keys.entries.values():
        assert secret.hex() not in told and repr(secret) not in told


async def test_what_was_given_out_stays_good_until_it_expires_and_what_comes_later_is_under_the_new_key() -> None:
    here = Installation()
    process = await here.process()
    forge = here.forge(process)
    old = forge.issue(LEASE, here.clock.now())
    await process.make(ADMIN, LEASES, "")
    assert forge.issue(LEASE, here.clock.now()) == old
    forge.open(old.access_key_id, old.session_token, here.clock.now())
    here.clock.advance(hours=4)
    await process.learn()
    new = forge.issue(LEASE, here.clock.now())
    assert forge.open(new.access_key_id, new.session_token, here.clock.now()).lease_id == LEASE
    first_key = here.keys.entries[LEASES]
    assert CredentialForge(lambda _: first_key).issue(LEASE, here.clock.now()) != new
    newest = (await process.listed(ADMIN))[1]
    assert newest.state(await process.listed(ADMIN), here.clock.now()) is RootSecretState.PRESENT


@given(replaced=st.integers(0, 7200), late=st.integers(0, 1800), told=st.integers(0, 1800), used=st.integers(0, 12000))
@settings(max_examples=50, deadline=None)
def test_nobody_notices_also_where_a_process_hears_of_it_half_an_hour_later(
    replaced: int, late: int, told: int, used: int
) -> None:
    asyncio.run(_nobody_notices(replaced, late, told, used))


async def _nobody_notices(replaced: int, late: int, told: int, used: int) -> None:
    """What a process that has not heard tells in advance is what one that has heard gives out."""
    here = Installation()
    one, other = await here.process(), await here.process()
    here.clock.advance(seconds=replaced)
    await one.make(ADMIN, LEASES, "")
    here.clock.advance(seconds=late)
    known = here.forge(other).known(LEASE, here.clock.now())  # the last moment before it hears
    here.clock.advance(seconds=told)
    assert here.forge(one).issue(LEASE, here.clock.now()) in known
    held = known[-1]
    await other.learn()
    here.clock.advance(seconds=used)
    if here.clock.now() < held.expires_at:
        for process in (one, other):
            here.forge(process).open(held.access_key_id, held.session_token, here.clock.now())


async def test_at_once_nothing_under_an_earlier_key_is_worth_anything() -> None:
    here = Installation()
    one, other = await here.process(), await here.process()
    old = here.forge(other).issue(LEASE, here.clock.now())
    await one.make(ADMIN, LEASES, "it was seen in a chat")
    await one.make(ADMIN, LEASES, "it was seen in a chat", at_once=True)
    await other.learn()
    for process in (one, other, await here.process()):
        with pytest.raises(SignatureError) as caught:
            here.forge(process).open(old.access_key_id, old.session_token, here.clock.now())
        assert "new lease" in caught.value.remedy.lower()
        assert here.forge(process).issue(LEASE, here.clock.now()) == here.forge(one).issue(LEASE, here.clock.now())


async def test_a_process_that_cannot_read_the_new_key_refuses_and_takes_it_up_later() -> None:
    here = Installation()
    one, other = await here.process(), await here.process()
    await one.make(ADMIN, LEASES, "", at_once=True)
    here.keys.locked = True
    await other.learn()
    assert not other.complete
    with pytest.raises(UnavailableError, match="Generation 2"):
        here.forge(other).issue(LEASE, here.clock.now())
    here.keys.locked = False
    await other.learn()
    assert other.complete
    assert here.forge(other).issue(LEASE, here.clock.now()) == here.forge(one).issue(LEASE, here.clock.now())


async def test_what_an_interrupted_rotation_left_in_the_key_store_is_never_used() -> None:
    here = Installation()
    process = await here.process()
    here.store.fail_with = RecordingError("The disk is full.")
    with pytest.raises(RecordingError):
        await process.make(ADMIN, LEASES, "")
    left = set(here.keys.entries) - {LEASES, AUDIT_LOG}
    here.store.fail_with = None
    assert (await process.make(ADMIN, LEASES, "")).entry not in left
    assert process.made()[LEASES] == here.clock.now()


async def test_generations_that_nothing_is_under_any_more_are_not_read() -> None:
    here = Installation()
    process = await here.process()
    await process.make(ADMIN, LEASES, "")
    here.clock.advance(hours=4)
    read = [event for event in here.store.events if event.kind == "root-secret.read"]
    await here.process()
    fresh = [event for event in here.store.events if event.kind == "root-secret.read"][len(read) :]
    assert [(event.subject, event.details["generation"]) for event in fresh] == [(AUDIT_LOG, 1), (LEASES, 2)]


async def test_age_and_state_are_told_to_those_who_may_know() -> None:
    here = Installation()
    process = await here.process()
    here.clock.advance(days=90)
    log, leases = await process.listed(ADMIN)
    assert (log.name, leases.name) == (AUDIT_LOG, LEASES)
    assert log.due_at() is None
    assert leases.due_at() == here.clock.now() == leases.created_at + ROTATION_DUE
    await process.make(ADMIN, LEASES, "")
    found = await process.listed(ADMIN)
    now = here.clock.now()
    assert [each.state(found, now) for each in found] == [
        RootSecretState.PRESENT,
        RootSecretState.COMING,
        RootSecretState.PRESENT,
    ]
    later = now + timedelta(hours=4)
    assert [each.state(found, later) for each in found[1:]] == [RootSecretState.PRESENT, RootSecretState.REPLACED]


async def test_only_those_who_may_look_look_and_only_those_who_may_replace_replace() -> None:
    here = Installation()
    process = await here.process()
    here.policy.denied = {Action.KEY_READ, Action.KEY_ROTATE}
    before = dict(here.keys.entries)
    with pytest.raises(DeniedError):
        await process.listed(ADMIN)
    with pytest.raises(DeniedError):
        await process.make(ADMIN, LEASES, "")
    assert here.keys.entries == before


@pytest.mark.parametrize("name", [AUDIT_LOG, "another", ""])
async def test_what_cannot_be_replaced_says_so(name: str) -> None:
    here = Installation()
    process = await here.process()
    with pytest.raises(InvalidRequestError):
        await process.make(ADMIN, name, "")

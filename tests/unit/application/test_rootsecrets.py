"""Root secrets: made once, read on record, replaced without a restart, never made anew in place of a lost one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_qsec.application.tokens import CredentialForge
from jupyter_qsec.domain.access import Action
from jupyter_qsec.domain.audit import AuditEvent
from jupyter_qsec.domain.errors import (
    DeniedError,
    ExpiredSignatureError,
    KeyStoreError,
    RecordingError,
    UnavailableError,
)
from jupyter_qsec.domain.rootsecret import AUDIT_LOG, AWS, LEASES, ROTATION_DUE, RootSecretState
from tests.fakes.store import FakeStore
from tests.unit.application.installations import ADMIN, Installation, Process

LEASE = "0123456789abcdef" * 2


async def entry(process: Process, generation: int) -> str:
    found = await process.listed(ADMIN)
    return next(each.entry for each in found if (each.name, each.generation) == (LEASES, generation))


async def test_the_first_start_makes_what_every_gateway_needs_and_later_ones_read_it() -> None:
    here = Installation()
    first = await here.process()
    assert {len(key) for key in here.keys.entries.values()} == {32} and len(here.keys.entries) == 2
    second = await here.process()
    assert first.in_force(LEASES, 0) == second.in_force(LEASES, 0) == here.keys.entries[await entry(first, 1)]
    made = [("root-secret.created", AUDIT_LOG, 1), ("root-secret.created", LEASES, 1)]
    read = [("root-secret.read", AUDIT_LOG, 1), ("root-secret.read", LEASES, 1)]
    assert here.kinds() == [*made, *read, *read]


async def test_processes_that_start_together_agree() -> None:
    here = Installation()
    one, other = await asyncio.gather(here.process(), here.process())
    assert one.in_force(LEASES, 0) == other.in_force(LEASES, 0)


async def test_keys_of_a_state_that_knows_of_none_yet_are_taken_up() -> None:
    here = Installation()
    here.keys.entries |= {LEASES: b"l" * 32, AUDIT_LOG: b"a" * 32}
    assert (await here.process()).in_force(LEASES, 0) == b"l" * 32


@pytest.mark.parametrize("name", [AUDIT_LOG, LEASES])
@pytest.mark.parametrize("content", [None, b"x" * 32, b""])
async def test_a_key_that_is_gone_or_another_one_is_refused_and_never_made_anew(
    name: str, content: bytes | None
) -> None:
    here = Installation()
    process = await here.process()
    place = AUDIT_LOG if name == AUDIT_LOG else await entry(process, 1)
    if content is None:
        del here.keys.entries[place]
    else:
        here.keys.entries[place] = content
    before = dict(here.keys.entries)
    with pytest.raises(KeyStoreError) as caught:
        await here.process()
    assert name in caught.value.message and "backup" in caught.value.remedy
    assert here.keys.entries == before


async def test_the_loss_of_what_not_every_gateway_needs_stops_only_what_needs_it() -> None:
    here = Installation()
    process = await here.process()
    prepared = await process.prepare(AWS, b"a key of AWS")
    await process.put(ADMIN, AWS, prepared, "", starts_at=here.clock.now())
    assert process.in_force(AWS, here.clock.now().timestamp()) == b"a key of AWS"
    del here.keys.entries[prepared[0]]
    again = await here.process()
    assert again.complete
    with pytest.raises(UnavailableError):
        again.in_force(AWS, here.clock.now().timestamp())


async def test_without_a_record_nothing_is_held() -> None:
    here = Installation()
    process = await here.process()
    other = Process(here)
    here.store.fail_with = RecordingError("The disk is full.")
    with pytest.raises(RecordingError):
        await other.open()
    with pytest.raises(UnavailableError):
        other.in_force(LEASES, here.clock.now().timestamp())
    with pytest.raises(RecordingError):
        await process.rotate()


async def test_while_a_reading_is_being_recorded_the_key_is_not_used() -> None:
    class SlowStore(FakeStore):
        goes_on, began = asyncio.Event(), asyncio.Event()

        async def record(self, events: Sequence[AuditEvent]) -> None:
            self.began.set()
            await self.goes_on.wait()
            await super().record(events)

    here = Installation(store := SlowStore())
    store.goes_on.set()
    one, other = await here.process(), await here.process()
    await one.rotate(at_once=True)
    store.goes_on.clear()
    store.began.clear()
    learning = asyncio.create_task(other.learn())
    await store.began.wait()
    with pytest.raises(UnavailableError):
        other.forge.issue(LEASE, here.clock.now())
    store.goes_on.set()
    await learning
    assert other.forge.issue(LEASE, here.clock.now()) == one.forge.issue(LEASE, here.clock.now())


async def test_a_record_tells_who_made_which_generation_and_why_and_no_secret() -> None:
    here = Installation()
    process = await here.process()
    made = await process.rotate("ninety days are over")
    (event,) = [event for event in here.store.events if event.kind == "root-secret.rotated"]
    assert (event.principal, event.subject, event.rules) == ("os:ada", LEASES, ("permit-in-test",))
    assert event.details == {
        "generation": 2,
        "starts_at": made.starts_at.isoformat(),
        "because": "ninety days are over",
    }
    told = repr([*here.store.events, *await process.listed(ADMIN)])
    for secret in here.keys.entries.values():
        assert secret.hex() not in told and repr(secret) not in told


async def test_what_was_given_out_stays_good_until_it_expires_and_what_comes_later_is_under_the_new_key() -> None:
    here = Installation()
    process = await here.process()
    forge = process.forge
    old = forge.issue(LEASE, here.clock.now())
    first_key = process.in_force(LEASES, 0)
    await process.rotate()
    assert forge.issue(LEASE, here.clock.now()) == old
    forge.open(old.access_key_id, old.session_token, here.clock.now())
    here.clock.advance(hours=4)
    await process.learn()
    new = forge.issue(LEASE, here.clock.now())
    assert forge.open(new.access_key_id, new.session_token, here.clock.now()).lease_id == LEASE
    assert CredentialForge(lambda _: first_key).issue(LEASE, here.clock.now()) != new


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
    await one.rotate()
    here.clock.advance(seconds=late)
    known = other.forge.known(LEASE, here.clock.now())  # the last moment before it hears
    here.clock.advance(seconds=told)
    assert one.forge.issue(LEASE, here.clock.now()) in known
    held = known[-1]
    await other.learn()
    here.clock.advance(seconds=used)
    if here.clock.now() < held.expires_at:
        for process in (one, other):
            process.forge.open(held.access_key_id, held.session_token, here.clock.now())


@pytest.mark.parametrize("problem", [None, OSError(116, "Stale file handle"), ValueError("a secret")])
async def test_a_process_that_cannot_read_the_new_key_refuses_and_takes_it_up_later(
    problem: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    here = Installation()
    one, other = await here.process(), await here.process()
    await one.rotate(at_once=True)
    if problem is None:
        here.keys.lock()
    here.keys.problem = problem or here.keys.problem
    for _ in range(3):
        await other.ready()
    assert (one.complete, other.complete) == (True, False)
    with pytest.raises(UnavailableError):
        other.forge.issue(LEASE, here.clock.now())
    assert len(caplog.records) == 1 and "a secret" not in caplog.text
    here.keys.problem = None
    await other.learn()
    assert other.complete
    assert other.forge.issue(LEASE, here.clock.now()) == one.forge.issue(LEASE, here.clock.now())


async def test_a_key_store_that_hangs_keeps_no_old_key_in_force_and_nobody_waiting() -> None:
    here = Installation()
    one, other = await here.process(), await here.process()
    old = other.forge.issue(LEASE, here.clock.now())
    await one.rotate(at_once=True)
    here.keys.answers.clear()
    try:
        await asyncio.wait_for(asyncio.gather(*[other.ready() for _ in range(20)]), 5)
        assert not other.complete
        with pytest.raises(UnavailableError):
            other.forge.open(old.access_key_id, old.session_token, here.clock.now())
        with pytest.raises(KeyStoreError, match="does not answer"):
            await other.rotate()
    finally:
        here.keys.answers.set()
    await other.learn()
    assert other.complete


async def test_a_key_that_is_still_to_come_keeps_nobody_waiting() -> None:
    here = Installation()
    one, other = await here.process(), await here.process()
    await one.rotate()
    here.keys.lock()
    await other.ready()
    assert other.forge.issue(LEASE, here.clock.now()) == one.forge.issue(LEASE, here.clock.now())
    assert not other.complete, "in time for somebody to mend it"


async def test_what_has_expired_is_told_as_that_also_by_a_process_that_never_had_its_key() -> None:
    here = Installation()
    process = await here.process()
    old = process.forge.issue(LEASE, here.clock.now())
    await process.rotate()
    here.clock.advance(hours=4)
    for asked in (process, await here.process()):
        with pytest.raises(ExpiredSignatureError):
            asked.forge.open(old.access_key_id, old.session_token, here.clock.now())


async def test_what_an_interrupted_rotation_left_in_the_key_store_is_never_used() -> None:
    here = Installation()
    process = await here.process()
    here.store.fail_with = RecordingError("The disk is full.")
    with pytest.raises(RecordingError):
        await process.rotate()
    left = set(here.keys.entries)
    here.store.fail_with = None
    assert (await process.rotate()).entry not in left
    assert process.made()[LEASES] == here.clock.now()


async def test_a_commit_whose_outcome_is_unknown_is_looked_up() -> None:
    class UnsureStore(FakeStore):
        async def add_root_secret(self, *made: object) -> None:
            await super().add_root_secret(*made)  # type: ignore[arg-type]  # as it came
            raise RecordingError("The connection was lost.")

    here = Installation(UnsureStore())
    process = await here.process()
    assert (await process.rotate()).generation == 2
    assert [each.generation for each in await process.listed(ADMIN) if each.name == LEASES] == [2, 1]


async def test_generations_that_nothing_is_under_any_more_are_neither_read_nor_held() -> None:
    here = Installation()
    process = await here.process()
    first = process.in_force(LEASES, 0)
    await process.rotate()
    here.clock.advance(hours=4)
    await process.learn()
    assert first not in process._held.values()
    before = len(here.kinds())
    await here.process()
    assert here.kinds()[before:] == [("root-secret.read", AUDIT_LOG, 1), ("root-secret.read", LEASES, 2)]


async def test_age_and_state_are_told_to_those_who_may_know() -> None:
    here = Installation()
    process = await here.process()
    here.clock.advance(days=90)
    log, leases = await process.listed(ADMIN)
    assert (log.name, leases.name) == (AUDIT_LOG, LEASES)
    assert log.due_at() is None
    assert leases.due_at() == here.clock.now() == leases.created_at + ROTATION_DUE
    await process.rotate()
    found = await process.listed(ADMIN)
    now = here.clock.now()
    assert [each.state(found, now) for each in found] == [
        RootSecretState.PRESENT,
        RootSecretState.COMING,
        RootSecretState.PRESENT,
    ]
    later = now + timedelta(hours=4)
    assert [each.state(found, later) for each in found[1:]] == [RootSecretState.PRESENT, RootSecretState.REPLACED]


async def test_only_those_who_may_look_look() -> None:
    here = Installation()
    process = await here.process()
    here.policy.denied = {Action.KEY_READ}
    with pytest.raises(DeniedError):
        await process.listed(ADMIN)

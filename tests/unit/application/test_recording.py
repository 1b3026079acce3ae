"""Refusals are on record, and a flood of them is a number rather than a flood of records."""

from __future__ import annotations

import pytest

from jupyter_qsec.application.recording import MAX_KINDS, ReportLimit
from jupyter_qsec.domain.audit import AuditEvent
from jupyter_qsec.domain.errors import QuotaExceededError, RecordingError
from tests.fakes.clock import FakeClock
from tests.fakes.world import World


async def test_the_first_refusal_is_written_at_once() -> None:
    world = World()
    await world.recorder.rejected("signature", "127.0.0.1", "signature-invalid", "It does not match.")
    (event,) = world.store.events
    assert (event.kind, event.outcome) == ("request.rejected", "denied")
    assert event.details["code"] == "signature-invalid"


async def test_repetitions_are_counted_and_written_once_a_window() -> None:
    world = World()
    for _ in range(1000):
        await world.recorder.rejected("signature", "127.0.0.1", "signature-invalid")
    assert len(world.store.events) == 1
    world.clock.advance(seconds=59)
    await world.recorder.flush()
    assert len(world.store.events) == 1
    world.clock.advance(seconds=1)
    await world.recorder.flush()
    assert [event.details.get("repeated") for event in world.store.events] == [None, 999]
    await world.recorder.flush()
    assert len(world.store.events) == 2


async def test_a_new_window_writes_the_first_again() -> None:
    world = World()
    await world.recorder.rejected("control", "127.0.0.1", "unauthenticated")
    world.clock.advance(seconds=61)
    await world.recorder.rejected("control", "127.0.0.1", "unauthenticated")
    assert len(world.store.events) == 2


async def test_different_refusals_are_told_apart_up_to_a_bound() -> None:
    world = World()
    for number in range(10 * MAX_KINDS):
        await world.recorder.rejected("control", f"10.0.{number // 256}.{number % 256}", "unauthenticated")
    assert len(world.store.events) == MAX_KINDS + 1
    await world.recorder.close()
    assert world.store.events[-1].details["repeated"] == 9 * MAX_KINDS - 1


async def test_a_clock_that_jumps_back_keeps_no_count_waiting() -> None:
    world = World()
    for _ in range(5):
        await world.recorder.rejected("control", "127.0.0.1", "unauthenticated")
    world.clock.advance(days=-1)
    await world.recorder.flush()
    assert world.store.events[-1].details["repeated"] == 4


async def test_a_refusal_stands_when_it_cannot_be_recorded() -> None:
    world = World()
    world.store.fail_with = RecordingError("The disk is full.")
    await world.recorder.rejected("control", "127.0.0.1", "unauthenticated")
    world.store.fail_with = None
    assert world.store.events == []


async def test_long_details_are_cut() -> None:
    world = World()
    await world.recorder.rejected("control", "127.0.0.1", "unauthenticated", "x" * 10_000, subject="y" * 10_000)
    (event,) = world.store.events
    assert len(str(event.details["detail"])) == len(event.subject) == 300


def test_a_lease_reports_up_to_its_limit_and_again_a_minute_later() -> None:
    clock = FakeClock()
    limit = ReportLimit(clock, most=10)
    limit.spend("a", 9)
    limit.spend("b", 10)
    with pytest.raises(QuotaExceededError, match="9 were reported, 2 more"):
        limit.spend("a", 2)
    limit.spend("a", 1)
    clock.advance(seconds=61)
    limit.spend("a", 10)
    clock.advance(days=-1)
    limit.spend("a", 10)


async def test_what_comes_often_is_noted_once_a_window() -> None:
    world = World()
    for _ in range(3):
        await world.recorder.noted(AuditEvent("audit.read", world.clock.now(), principal="os:ada"), ("os:ada",))
    await world.recorder.noted(AuditEvent("audit.read", world.clock.now(), principal="os:eve"), ("os:eve",))
    assert [event.principal for event in world.store.events] == ["os:ada", "os:eve"]

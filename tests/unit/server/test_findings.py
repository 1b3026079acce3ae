"""The findings board: bounded, newest first, and every finding reaches the record once the gateway is there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest

from jupyter_qsec.client.wire import FindingRecord
from jupyter_qsec.domain.errors import InvalidRequestError, QsecError, UnavailableError
from jupyter_qsec.server.findings import FindingsBoard


class World:
    def __init__(self) -> None:
        self.sent: list[FindingRecord] = []
        self.failure: QsecError | None = None
        self.hinted: list[tuple[str, ...]] = []
        self.arrived = asyncio.Event()
        self.board = FindingsBoard(self.send, self, logging.getLogger("test"))  # type: ignore[arg-type]  # `finding` only

    async def send(self, findings: Sequence[FindingRecord]) -> int:
        if self.failure is not None:
            raise self.failure
        if any(finding["kind"] == "odd" for finding in findings):
            raise InvalidRequestError("kind is odd")
        self.sent.extend(findings)
        self.arrived.set()
        return len(findings)

    def finding(self, *about: str) -> None:
        self.hinted.append(about)

    def add(self, kind: str = "jwt", **more: Any) -> None:
        self.board.add(**self.fields(kind, **more))

    def fields(self, kind: str = "jwt", **more: Any) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "found_at": datetime(2026, 3, 1, tzinfo=UTC),
            "place": "output",
            "line": 3,
            "kind": kind,
            "preview": "eyJh…",
            "fingerprint": "ab" * 16,
            "action": "redacted",
        }
        return fields | more


@pytest.fixture
def world() -> World:
    return World()


async def test_newest_first_within_the_limit(world: World) -> None:
    for number in range(5):
        world.add(line=number)
    assert [finding["line"] for finding in world.board.newest(3)] == [4, 3, 2]


async def test_memory_is_bounded_and_so_is_what_waits(world: World) -> None:
    for number in range(5000):
        world.add(line=number)
    assert len(world.board.newest(10_000)) == 1000
    while world.board._waiting:
        assert await world.board.forward_batch()
    assert [finding["line"] for finding in world.sent] == list(range(3000, 5000)), "the oldest make room"


async def test_each_is_hinted_to_listeners_without_its_preview(world: World) -> None:
    world.add(kernel_id="k1", path="a.ipynb")
    assert world.hinted == [("k1", "a.ipynb", "jwt", "output", "redacted")]


async def test_findings_wait_for_the_gateway_and_are_recorded_once(world: World) -> None:
    world.failure = UnavailableError("away")
    world.add()
    assert not await world.board.forward_batch()
    assert not await world.board.forward_batch()
    world.failure = None
    assert await world.board.forward_batch()
    assert len(world.sent) == 1 and not world.board._waiting


async def test_an_odd_finding_takes_no_other_along(world: World) -> None:
    for kind in ("jwt", "odd", "private-key"):
        world.add(kind)
    assert await world.board.forward_batch()
    assert [finding["kind"] for finding in world.sent] == ["jwt", "private-key"]


async def test_a_single_odd_finding_does_not_block_the_queue(world: World) -> None:
    world.add("odd")
    assert await world.board.forward_batch()
    assert not world.board._waiting


@pytest.mark.parametrize(
    ("place", "action", "recorded"),
    [
        ("error", "redacted", ("output", "redacted")),
        ("reply", "redacted", ("output", "redacted")),
        ("widget", "reported", ("output", "warned")),
        ("input", "warned", ("source", "warned")),
        ("source", "blocked", ("source", "blocked")),
        ("metadata", "refused", ("metadata", "refused")),
    ],
)
async def test_the_record_has_fewer_words(world: World, place: str, action: str, recorded: tuple[str, str]) -> None:
    world.add(place=place, action=action)
    await world.board.forward_batch()
    assert (world.sent[0]["place"], world.sent[0]["action"]) == recorded
    assert world.board.newest(1)[0]["place"] == place, "the panel sees it as it was"


async def test_the_forwarder_sends_what_arrives(world: World) -> None:
    task = asyncio.get_running_loop().create_task(world.board.forward())
    world.add()
    await world.arrived.wait()
    assert len(world.sent) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_many_are_added_in_order_and_the_event_loop_turns_between_them(world: World) -> None:
    world.board.add_many(world.fields(line=line) for line in range(1000))
    grown = [0]
    while len(world.hinted) > grown[-1]:
        grown.append(len(world.hinted))
        await asyncio.sleep(0)
    assert max(after - before for before, after in pairwise(grown)) <= 100, "of a save with thousands"
    assert [finding["line"] for finding in reversed(world.board.newest(1000))] == list(range(1000))


async def test_few_are_there_at_once(world: World) -> None:
    world.board.add_many([])
    world.board.add_many([world.fields(line=1), world.fields(line=2)])
    assert [finding["line"] for finding in world.board.newest(9)] == [2, 1]

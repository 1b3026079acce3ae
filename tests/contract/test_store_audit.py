"""The audit log, as every store keeps it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jupyter_qsec.application.ports import Store
from jupyter_qsec.domain import merkle
from jupyter_qsec.domain.errors import (
    ConflictError,
    InvalidRequestError,
    TooLargeError,
)
from jupyter_qsec.domain.tenant import Pause
from tests.contract.builders import NOON, event, kinds, lease
from tests.contract.conftest import SIGNER


class TestAuditLog:
    async def test_records_are_numbered_in_order_and_read_in_pages(self, store: Store) -> None:
        await store.record([event(f"k{number}") for number in range(5)])
        await store.record([event("k5", details={"note": "\ud800\x00", "n": 1, "yes": True})])
        await store.record([])
        assert await store.audit_size() == 6
        assert await kinds(store) == [f"k{number}" for number in range(6)]
        page = await store.audit_records(2, 2)
        assert [(record.index, record.event.kind) for record in page] == [(2, "k2"), (3, "k3")]
        assert all(record.leaf_hash == merkle.leaf_hash(record.leaf) for record in page)
        assert (await store.audit_records(5, 9))[0].event.details == {"note": "\ud800\x00", "n": 1, "yes": True}
        assert not await store.audit_records(6, 5)
        assert [record.index for record in await store.audit_records(-3, 1)] == [0]

    async def test_an_event_too_large_to_record_stops_its_action(self, store: Store) -> None:
        with pytest.raises(TooLargeError):
            await store.put_lease(lease(), [event(subject="x" * 100_000)])
        assert await store.lease("l1") is None

    async def test_a_checkpoint_signs_the_present_head(self, store: Store) -> None:
        empty = await store.checkpoint()
        assert (empty.size, empty.root) == (0, merkle.EMPTY_ROOT)
        await store.record([event()])
        first = await store.checkpoint()
        await store.record([event(), event()])
        second = await store.checkpoint()
        assert (first.size, second.size) == (1, 3)
        assert first.root == (await store.audit_records(0, 1))[0].leaf_hash
        assert SIGNER.verify(first.note)
        assert SIGNER.verify(second.note)
        assert await store.checkpoint() == second

    async def test_a_pause_stands_until_it_is_lifted_and_each_change_is_recorded_once(self, store: Store) -> None:
        pause = Pause("alpha", "hub:lin", NOON, "maintenance")
        await store.pause(pause, [event("tenant.paused")])
        with pytest.raises(ConflictError, match="paused already"):
            await store.pause(replace(pause, because="again"), [event("tenant.paused")])
        await store.pause(replace(pause, tenant="beta"), [event("tenant.paused")])
        assert await store.pauses() == {"alpha": pause, "beta": replace(pause, tenant="beta")}
        await store.resume("alpha", [event("tenant.resumed")])
        with pytest.raises(ConflictError, match="not paused"):
            await store.resume("alpha", [event("tenant.resumed")])
        assert list(await store.pauses()) == ["beta"]
        assert await kinds(store) == ["tenant.paused", "tenant.paused", "tenant.resumed"]

    async def test_the_newest_checkpoint_is_told_without_signing_another(self, store: Store) -> None:
        assert await store.newest_checkpoint() is None
        await store.record([event()])
        first = await store.checkpoint()
        await store.record([event()])
        assert await store.newest_checkpoint() == first
        second = await store.checkpoint()
        assert await store.newest_checkpoint() == second

    async def test_every_record_is_proved_in_every_later_log(self, store: Store) -> None:
        roots = {0: merkle.EMPTY_ROOT}
        for size in range(1, 12):
            await store.record([event(f"k{size}")])
            roots[size] = (await store.checkpoint()).root
        for size in range(1, 12):
            for index in range(size):
                proof = await store.inclusion_proof(index, size)
                assert proof.holds(roots[size])
                assert not proof.holds(roots[size - 1])
            for old in range(size + 1):
                assert (await store.consistency_proof(old, size)).holds(roots[old], roots[size])

    async def test_proofs_hold_across_the_stored_nodes(self, store: Store) -> None:
        await store.record([event(details={"n": number}) for number in range(700)])
        old = await store.checkpoint()
        await store.record([event(details={"n": number}) for number in range(700, 1300)])
        new = await store.checkpoint()
        for index in (0, 255, 256, 511, 512, 699, 1023, 1024, 1299):
            assert (await store.inclusion_proof(index, new.size)).holds(new.root)
        assert (await store.inclusion_proof(699, 700)).holds(old.root)
        assert (await store.consistency_proof(700, 1300)).holds(old.root, new.root)

    @pytest.mark.parametrize(("index", "size"), [(0, 0), (2, 2), (-1, 2), (0, 3)])
    async def test_there_is_no_proof_outside_the_log(self, store: Store, index: int, size: int) -> None:
        await store.record([event(), event()])
        with pytest.raises(InvalidRequestError):
            await store.inclusion_proof(index, size)

    @pytest.mark.parametrize(("old", "new"), [(2, 1), (-1, 2), (0, 3)])
    async def test_there_is_no_proof_of_another_growth(self, store: Store, old: int, new: int) -> None:
        await store.record([event(), event()])
        with pytest.raises(InvalidRequestError):
            await store.consistency_proof(old, new)

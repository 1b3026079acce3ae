"""The contract of the `Store` port."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from jupyter_qsec.application.ports import Duplicate, Refused, Store, Submitted, TaskQuery
from jupyter_qsec.domain.errors import (
    ConflictError,
    InvalidRequestError,
    UnavailableError,
)
from jupyter_qsec.domain.quota import Metric, QuotaBreach, QuotaUsage
from jupyter_qsec.domain.task import TaskState
from tests.contract.builders import DAY, NOON, PAYLOAD, TENANT, charge, event, finding, kinds, lease, task


async def used(store: Store, scope: str = TENANT) -> dict[Metric, int]:
    return {usage.metric: usage.used for usage in await store.usage([scope], DAY) if usage.used}


class TestLeases:
    async def test_a_lease_comes_back_as_it_was_put(self, store: Store) -> None:
        revoked = lease("l2", revoked_at=NOON, revoked_because="left the team", parent="l1")
        await store.put_lease(lease(), [event("lease.issued")])
        await store.put_lease(revoked, [event("lease.issued")])
        assert await store.lease("l1") == lease()
        assert await store.lease("l2") == revoked
        assert await store.lease("other") is None

    async def test_each_change_needs_the_revision_before_it(self, store: Store) -> None:
        await store.put_lease(lease(), [event("lease.issued")])
        renewed = lease().renewed(NOON + timedelta(minutes=1))
        await store.put_lease(renewed, [event("lease.renewed")])
        assert await store.lease("l1") == renewed
        stale = (lease(), renewed, replace(renewed, revision=3), lease("unknown", revision=1))
        for wrong in stale:
            with pytest.raises(ConflictError):
                await store.put_lease(wrong, [event("lease.broken")])
        assert await store.lease("l1") == renewed
        assert await kinds(store) == ["lease.issued", "lease.renewed"]

    async def test_they_are_listed_newest_first_by_tenant_and_state(self, store: Store) -> None:
        for number in range(4):
            tenant = "sandbox" if number % 2 else "research"
            made = lease(f"l{number}", tenant=tenant, issued_at=NOON + timedelta(seconds=number))
            await store.put_lease(made, [])
        await store.put_lease(lease("l9", issued_at=NOON - timedelta(days=1), revoked_at=NOON), [])
        assert [found.id for found in await store.leases()] == ["l3", "l2", "l1", "l0", "l9"]
        assert [found.id for found in await store.leases(tenant="sandbox")] == ["l3", "l1", "l9"]
        assert [found.id for found in await store.leases(tenant="sandbox", unrevoked_only=True)] == ["l3", "l1"]
        assert [found.id for found in await store.leases(principal="os:ada", limit=2)] == ["l3", "l2"]
        assert not await store.leases(principal="os:eve")
        assert not await store.leases(limit=-1)


class TestSubmission:
    async def test_a_task_is_stored_with_payload_reservation_and_record(self, store: Store) -> None:
        outcome = await store.submit(task(), PAYLOAD, [charge(3)], [event("task.submitted")])
        assert outcome == Submitted(task())
        assert await store.task("t1") == task()
        assert await store.payload("t1") == PAYLOAD
        assert await used(store) == {Metric.TASKS: 3}
        assert await kinds(store) == ["task.submitted"]
        assert await store.task("t2") is None
        assert await store.payload("t2") is None

    async def test_the_same_client_token_of_a_tenant_gives_the_first_task(self, store: Store) -> None:
        await store.submit(task(), PAYLOAD, [charge()], [event("task.submitted")])
        again = task("t2", client_token="token-t1", shots=5)
        assert await store.submit(again, PAYLOAD, [charge()], [event("task.submitted")]) == Duplicate(task())
        assert await store.task("t2") is None
        assert await used(store) == {Metric.TASKS: 1}
        assert await kinds(store) == ["task.submitted"]
        other = task("t3", client_token="token-t1", tenant="research")
        assert await store.submit(other, PAYLOAD, [], []) == Submitted(other)

    async def test_a_duplicate_is_found_even_when_the_quota_is_used_up(self, store: Store) -> None:
        await store.submit(task(), PAYLOAD, [charge(10)], [])
        again = task("t2", client_token="token-t1")
        assert await store.submit(again, PAYLOAD, [charge(10)], []) == Duplicate(task())

    async def test_tasks_without_a_client_token_are_no_duplicates(self, store: Store) -> None:
        for identity in ("t1", "t2"):
            made = task(identity, client_token="")
            assert await store.submit(made, PAYLOAD, [], []) == Submitted(made)
            assert await store.task(identity) == made

    async def test_an_id_is_used_once(self, store: Store) -> None:
        await store.submit(task(), PAYLOAD, [charge()], [])
        with pytest.raises(ConflictError):
            await store.submit(task(client_token="another"), PAYLOAD, [charge()], [event("task.submitted")])
        assert await used(store) == {Metric.TASKS: 1}
        assert await kinds(store) == []

    async def test_one_full_counter_refuses_all_and_writes_nothing(self, store: Store) -> None:
        await store.submit(task(), PAYLOAD, [charge(8), charge(1, metric=Metric.SHOTS)], [])
        project = charge(3, limit=2, scope="project:sandbox/playground")
        outcome = await store.submit(
            task("t2"), PAYLOAD, [charge(1, metric=Metric.SHOTS), charge(3), project], [event("task.submitted")]
        )
        assert isinstance(outcome, Refused)
        assert set(outcome.breaches) == {
            QuotaBreach(TENANT, Metric.TASKS, DAY, used=8, requested=3, limit=10),
            QuotaBreach("project:sandbox/playground", Metric.TASKS, DAY, used=0, requested=3, limit=2),
        }
        assert await used(store) == {Metric.TASKS: 8, Metric.SHOTS: 1}
        assert await used(store, "project:sandbox/playground") == {}
        assert await store.task("t2") is None
        assert await store.payload("t2") is None
        assert await kinds(store) == []

    async def test_a_limit_is_reached_exactly(self, store: Store) -> None:
        assert isinstance(await store.submit(task("t1"), PAYLOAD, [charge(10)], []), Submitted)
        assert isinstance(await store.submit(task("t2"), PAYLOAD, [charge(1)], []), Refused)
        assert isinstance(await store.submit(task("t3"), PAYLOAD, [charge(0)], []), Submitted)

    async def test_without_a_limit_it_is_counted_alone(self, store: Store) -> None:
        await store.submit(task("t1"), PAYLOAD, [charge(10**12, limit=None)], [])
        assert await used(store) == {Metric.TASKS: 10**12}

    async def test_charges_on_the_same_counter_count_together(self, store: Store) -> None:
        assert isinstance(await store.submit(task("t1"), PAYLOAD, [charge(6), charge(6, limit=None)], []), Refused)
        assert isinstance(await store.submit(task("t2"), PAYLOAD, [charge(6), charge(4)], []), Submitted)
        assert await used(store) == {Metric.TASKS: 10}

    @pytest.mark.parametrize("amount", [-1, 1 << 60, 1 << 80])
    async def test_a_charge_that_would_make_room_or_overflow_is_refused(self, store: Store, amount: int) -> None:
        with pytest.raises(InvalidRequestError):
            await store.submit(task(), PAYLOAD, [charge(amount, limit=None)], [])
        await store.submit(task(), PAYLOAD, [charge()], [])
        with pytest.raises(InvalidRequestError):
            await store.put_task(task().moved(TaskState.FAILED), [], settle=[charge(amount)])
        assert await used(store) == {Metric.TASKS: 1}

    async def test_many_at_once_never_overspend(self, store: Store) -> None:
        outcomes = await asyncio.gather(
            *[store.submit(task(f"t{n}"), PAYLOAD, [charge(3)], [event("task.submitted")]) for n in range(20)]
        )
        assert sum(isinstance(outcome, Submitted) for outcome in outcomes) == 3
        assert await used(store) == {Metric.TASKS: 9}
        assert await kinds(store) == ["task.submitted"] * 3

    async def test_the_same_client_token_at_once_gives_one_task(self, store: Store) -> None:
        outcomes = await asyncio.gather(
            *[store.submit(task(f"t{n}", client_token="same"), PAYLOAD, [charge()], [event()]) for n in range(5)]
        )
        assert sum(isinstance(outcome, Submitted) for outcome in outcomes) == 1
        (made,) = await store.tasks(TaskQuery())
        assert all(outcome.task == made for outcome in outcomes if not isinstance(outcome, Refused))
        assert await used(store) == {Metric.TASKS: 1}
        assert await store.audit_size() == 1

    async def test_many_counters_at_once_are_each_counted(self, store: Store) -> None:
        charges = [charge(scope=f"principal:sandbox/{n}", limit=3) for n in range(40)]
        outcomes = await asyncio.gather(*[store.submit(task(f"t{n}"), PAYLOAD, charges, []) for n in range(5)])
        assert sum(isinstance(outcome, Submitted) for outcome in outcomes) == 3
        usages = await store.usage([one.scope for one in charges], DAY)
        assert [usage.used for usage in usages] == [3] * 40

    async def test_each_of_many_is_whole(self, store: Store) -> None:
        made = [task(f"t{n}", shots=n, client_token="" if n % 2 else f"token-{n}") for n in range(43)]
        await asyncio.gather(*[store.submit(one, PAYLOAD, [charge(limit=99)], [event()]) for one in made])
        for one in made:
            assert await store.task(one.id) == one
            assert await store.payload(one.id) == PAYLOAD
            await store.put_task(one.moved(TaskState.CANCELLED), [], settle=[])
        assert await used(store) == {}

    async def test_a_bad_neighbour_hurts_nobody(self, store: Store) -> None:
        await store.submit(task("t0"), PAYLOAD, [], [])
        outcomes = await asyncio.gather(
            store.submit(task("t1"), PAYLOAD, [charge()], [event("first")]),
            store.submit(task("t0", client_token="x"), PAYLOAD, [charge()], [event("conflict")]),
            store.submit(task("t2"), PAYLOAD, [charge(99)], [event("refused")]),
            store.put_task(task("t9", revision=4), [event("conflict")]),
            store.submit(task("t3"), PAYLOAD, [charge()], [event("second")]),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in outcomes] == [
            Submitted,
            ConflictError,
            Refused,
            ConflictError,
            Submitted,
        ]
        assert await used(store) == {Metric.TASKS: 2}
        assert await kinds(store) == ["first", "second"]


class TestTasks:
    async def test_a_task_moves_with_all_its_fields(self, store: Store) -> None:
        await store.submit(task(), PAYLOAD, [], [])
        queued = task().moved(TaskState.QUEUED, queued_at=NOON)
        running = queued.moved(TaskState.RUNNING, started_at=NOON + timedelta(microseconds=1), attempt=1)
        done = running.moved(
            TaskState.COMPLETED,
            ended_at=NOON + timedelta(seconds=1),
            cost_usd=Decimal("0.0040"),
            duration_ms=12,
            result_digest="e" * 64,
            tags={"a": "b"},
        )
        for step in (queued, running, done):
            await store.put_task(step, [event(f"task.{step.state.lower()}")])
            assert await store.task("t1") == step
        assert await kinds(store) == ["task.queued", "task.running", "task.completed"]

    async def test_a_task_may_be_stored_as_one_that_runs(self, store: Store) -> None:
        running = task().moved(TaskState.QUEUED, queued_at=NOON).moved(TaskState.RUNNING, started_at=NOON, attempt=1)
        records = [event("task.submitted"), event("task.started")]
        assert await store.submit(running, PAYLOAD, [charge()], records) == Submitted(running)
        assert await store.task("t1") == running
        assert await kinds(store) == ["task.submitted", "task.started"]
        done = running.moved(TaskState.COMPLETED, ended_at=NOON, duration_ms=1)
        await store.put_task(done, [event("task.completed")], settle=[])
        assert await store.task("t1") == done

    async def test_each_change_needs_the_revision_before_it_and_the_same_tenant(self, store: Store) -> None:
        await store.submit(task(), PAYLOAD, [charge()], [])
        queued = task().moved(TaskState.QUEUED)
        await store.put_task(queued, [])
        foreign = replace(queued.moved(TaskState.CANCELLED), tenant="research")
        for wrong in (task(), queued, foreign, replace(queued, revision=3), task("unknown", revision=1)):
            with pytest.raises(ConflictError):
                await store.put_task(wrong, [event("broken")], settle=[])
        assert await store.task("t1") == queued
        assert await used(store) == {Metric.TASKS: 1}
        assert await kinds(store) == []

    async def test_settling_replaces_the_reservation_by_what_was_used(self, store: Store) -> None:
        reserved = [charge(1), charge(5, metric=Metric.SHOTS), charge(7, limit=None, metric=Metric.SIMULATOR_MS)]
        await store.submit(task(), PAYLOAD, reserved, [])
        actual = [charge(1), charge(99, metric=Metric.SHOTS), charge(2, scope="tenant:late")]
        await store.put_task(task().moved(TaskState.FAILED), [], settle=actual)
        # More than reserved, and over the limit: it was used, so it counts.
        assert await used(store) == {Metric.TASKS: 1, Metric.SHOTS: 99}
        assert await used(store, "tenant:late") == {Metric.TASKS: 2}
        assert isinstance(await store.submit(task("t2"), PAYLOAD, [charge(1, metric=Metric.SHOTS)], []), Refused)

    async def test_an_empty_settlement_gives_everything_back(self, store: Store) -> None:
        await store.submit(task(), PAYLOAD, [charge(10)], [])
        await store.put_task(task().moved(TaskState.CANCELLED), [], settle=[])
        assert await used(store) == {}
        assert isinstance(await store.submit(task("t2"), PAYLOAD, [charge(10)], []), Submitted)

    async def test_a_task_is_settled_once(self, store: Store) -> None:
        await store.submit(task(), PAYLOAD, [charge(4)], [])
        await store.submit(task("t2"), PAYLOAD, [charge(5)], [])
        current = task()
        for amount in (3, 0, 10):
            current = replace(current, revision=current.revision + 1)
            await store.put_task(current, [], settle=[charge(amount)])
        assert await used(store) == {Metric.TASKS: 8}

    async def test_they_are_found_by_each_filter_newest_first(self, store: Store) -> None:
        made = [
            task("a", created_at=NOON),
            task("b", created_at=NOON, tenant="research"),
            task("c", created_at=NOON + timedelta(seconds=1), principal="os:bob"),
            task("d", created_at=NOON + timedelta(seconds=2), lease_id="l2"),
            task("e", created_at=NOON + timedelta(seconds=3), device_arn="arn:other"),
        ]
        for one in made:
            await store.submit(one, PAYLOAD, [], [])
        await store.put_task(made[0].moved(TaskState.QUEUED), [])

        async def ids(**query: object) -> str:
            return "".join(found.id for found in await store.tasks(TaskQuery(**query)))  # type: ignore[arg-type]  # fields by name

        assert await ids() == "edcba"
        assert await ids(tenant="sandbox") == "edca"
        assert await ids(principal="os:bob") == "c"
        assert await ids(lease_id="l2") == "d"
        assert await ids(device_arn="arn:other") == "e"
        assert await ids(states=(TaskState.QUEUED, TaskState.RUNNING)) == "a"
        assert await ids(created_after=NOON) == "edc"
        assert await ids(created_before=NOON + timedelta(seconds=1)) == "ba"
        assert await ids(limit=2) == "ed"
        assert await ids(limit=-1) == ""
        assert await ids(before=(NOON, "b")) == "a"
        assert await ids(before=(NOON + timedelta(seconds=1), "c")) == "ba"


class TestFindings:
    async def test_they_come_back_newest_first_by_tenant_and_lease(self, store: Store) -> None:
        made = [
            finding("f1"),
            finding("f2", tenant="research", found_at=NOON + timedelta(seconds=1)),
            finding("f3", lease_id="l2", found_at=NOON + timedelta(seconds=2)),
        ]
        await store.add_findings(made, [event("finding.reported")])
        assert list(await store.findings()) == made[::-1]
        assert list(await store.findings(tenant="sandbox")) == [made[2], made[0]]
        assert list(await store.findings(lease_id="l2")) == [made[2]]
        assert list(await store.findings(limit=1)) == [made[2]]
        assert await kinds(store) == ["finding.reported"]

    async def test_all_of_a_report_or_nothing(self, store: Store) -> None:
        await store.add_findings([finding("f1")], [])
        with pytest.raises(ConflictError):
            await store.add_findings([finding("f2"), finding("f1")], [event("finding.reported")])
        assert list(await store.findings()) == [finding("f1")]
        assert await kinds(store) == []
        await store.add_findings([], [event("finding.none")])
        assert await kinds(store) == ["finding.none"]


class TestUsage:
    async def test_only_the_asked_scopes_and_window_are_told(self, store: Store) -> None:
        other_day = replace(charge(1), window="2026-03-02")
        await store.submit(task(), PAYLOAD, [charge(2), charge(3, scope="tenant:other"), other_day], [])
        assert list(await store.usage([TENANT, "tenant:none"], DAY)) == [QuotaUsage(TENANT, Metric.TASKS, DAY, 2)]
        assert list(await store.usage([], DAY)) == []


async def test_a_closed_store_refuses_to_write(store: Store) -> None:
    await store.close()
    with pytest.raises(UnavailableError):
        await store.record([event()])

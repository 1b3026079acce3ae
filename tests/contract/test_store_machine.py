"""Whatever happens in whatever order, quota counters equal what tasks hold, and every change has its record."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from jupyter_qsec.application.ports import Duplicate, Refused, Store, Submitted
from jupyter_qsec.domain.audit import Checkpoint
from jupyter_qsec.domain.errors import ConflictError
from jupyter_qsec.domain.quota import Charge, Metric
from jupyter_qsec.domain.task import TRANSITIONS, QuantumTask, TaskState
from tests.contract.builders import DAY, NOON, PAYLOAD, charge, event, task
from tests.contract.conftest import SIGNER, postgres_store, sqlite_store
from tests.contract.postgres import PostgresServer
from tests.fakes.store import FakeStore

LIMITS = {("tenant:sandbox", Metric.TASKS): 4, ("tenant:sandbox", Metric.SHOTS): 30, ("os:ada", Metric.SHOTS): 20}


class StoreMachine(RuleBasedStateMachine):
    """The store beside a model: what each task holds of each counter, and which records there must be."""

    tasks = Bundle("tasks")

    def make(self) -> Store:
        return FakeStore(signer=SIGNER)

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.store = self.make()
        self.run(self.store.open())
        self.current: dict[str, QuantumTask] = {}
        self.holds: dict[str, list[Charge]] = {}
        self.settled: set[str] = set()
        self.records: list[str] = []
        self.checkpoints: list[Checkpoint] = []
        self.count = 0

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.run(self.store.close())
            self.runner.close()

    def used(self, scope: str, metric: Metric) -> int:
        held = [entry for entries in self.holds.values() for entry in entries]
        return sum(entry.amount for entry in held if (entry.scope, entry.metric) == (scope, metric))

    def charges(self, shots: int) -> list[Charge]:
        amounts = {Metric.TASKS: 1, Metric.SHOTS: shots}
        return [charge(amounts[metric], limit, metric, scope) for (scope, metric), limit in LIMITS.items()]

    @rule(target=tasks, shots=st.integers(0, 12))
    def submit(self, shots: int) -> str:
        self.count += 1
        made = task(f"t{self.count}", shots=shots, created_at=NOON + timedelta(seconds=self.count))
        charges = self.charges(shots)
        fits = all(self.used(one.scope, one.metric) + one.amount <= (one.limit or 0) for one in charges)
        outcome = self.run(self.store.submit(made, PAYLOAD, charges, [event(f"submitted {made.id}")]))
        assert isinstance(outcome, Submitted if fits else Refused)
        if fits:
            self.current[made.id] = made
            self.holds[made.id] = charges
            self.records.append(f"submitted {made.id}")
        return made.id

    @rule(identity=tasks)
    def submit_again(self, identity: str) -> None:
        if identity in self.current:
            again = task(f"{identity}-again", client_token=f"token-{identity}")
            outcome = self.run(self.store.submit(again, PAYLOAD, self.charges(1), [event("again")]))
            assert outcome == Duplicate(self.current[identity])

    @rule(identity=tasks, choice=st.integers(0, 9), shots=st.integers(0, 25))
    def move(self, identity: str, choice: int, shots: int) -> None:
        before = self.current.get(identity)
        if before is None or before.state.terminal:
            return
        steps = sorted(TRANSITIONS[before.state])
        after = before.moved(steps[choice % len(steps)])
        settle = self.actual(after, shots) if after.state.terminal else None
        self.run(self.store.put_task(after, [event(f"{after.state} {identity}")], settle=settle))
        self.current[identity] = after
        self.records.append(f"{after.state} {identity}")
        if settle is not None:
            self.holds[identity] = settle
            self.settled.add(identity)

    def actual(self, after: QuantumTask, shots: int) -> list[Charge]:
        return self.charges(shots) if after.state is TaskState.COMPLETED else []

    @rule(identity=tasks)
    def move_from_a_stale_copy(self, identity: str) -> None:
        current = self.current.get(identity)
        if current is not None and current.revision:
            with pytest.raises(ConflictError):
                self.run(self.store.put_task(current, [event("stale")], settle=[]))

    @rule(identity=consumes(tasks))
    def settle_twice(self, identity: str) -> None:
        if identity in self.settled:
            after = replace(self.current[identity], revision=self.current[identity].revision + 1)
            self.run(self.store.put_task(after, [event(f"late {identity}")], settle=self.charges(5)))
            self.current[identity] = after
            self.records.append(f"late {identity}")

    @rule()
    def publish(self) -> None:
        self.checkpoints.append(self.run(self.store.checkpoint()))

    @precondition(lambda self: len(self.checkpoints) > 1)
    @rule(data=st.data())
    def any_two_checkpoints_are_consistent(self, data: st.DataObject) -> None:
        new = data.draw(st.sampled_from(self.checkpoints))
        old = data.draw(st.sampled_from([one for one in self.checkpoints if one.size <= new.size]))
        proof = self.run(self.store.consistency_proof(old.size, new.size))
        assert proof.holds(old.root, new.root)

    @invariant()
    def counters_equal_what_tasks_hold(self) -> None:
        if not hasattr(self, "runner"):
            return
        found = self.run(self.store.usage([scope for scope, _ in LIMITS], DAY))
        counted = {(usage.scope, usage.metric): usage.used for usage in found}
        for scope, metric in LIMITS:
            assert counted.get((scope, metric), 0) == self.used(scope, metric)

    @invariant()
    def tasks_and_records_are_those_of_the_model(self) -> None:
        if not hasattr(self, "runner"):
            return
        for identity, expected in self.current.items():
            assert self.run(self.store.task(identity)) == expected
        records = self.run(self.store.audit_records(0, 10_000))
        assert [record.event.kind for record in records] == self.records


class SqliteMachine(StoreMachine):
    """The same on a real database, which is also closed and opened again in between."""

    def make(self) -> Store:
        self.directory = tempfile.TemporaryDirectory()
        return self.reopened()

    def reopened(self) -> Store:
        return sqlite_store(Path(self.directory.name))

    @rule()
    def restart(self) -> None:
        self.run(self.store.close())
        self.store = self.reopened()
        self.run(self.store.open())

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "directory"):
            self.directory.cleanup()


class PostgresMachine(SqliteMachine):
    """The same on PostgreSQL."""

    server: PostgresServer

    def make(self) -> Store:
        self.name = self.server.new_database()
        return super().make()

    def reopened(self) -> Store:
        return postgres_store(self.server.url(self.name), Path(self.directory.name))

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "name"):
            self.server.drop_database(self.name)


def test_the_memory_store_keeps_its_books() -> None:
    run_state_machine_as_test(StoreMachine, settings=settings(max_examples=40, stateful_step_count=25))


SLOW = settings(max_examples=12, stateful_step_count=20, suppress_health_check=[HealthCheck.too_slow])


def test_the_sqlite_store_keeps_its_books() -> None:
    run_state_machine_as_test(SqliteMachine, settings=SLOW)


def test_the_postgresql_store_keeps_its_books(postgres_server: PostgresServer) -> None:
    class Machine(PostgresMachine):
        server = postgres_server

    run_state_machine_as_test(Machine, settings=SLOW)

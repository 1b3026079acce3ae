"""Quotas: limits in the metric's own unit, windows by UTC day, and a reservation machine that never overspends."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from jupyter_qsec.application.ports import Refused, Submitted
from jupyter_qsec.domain.quota import Charge, Metric, QuotaBreach, QuotaLimits, day_window
from jupyter_qsec.domain.task import QuantumTask, TaskPayload
from tests.fakes.store import FakeStore
from tests.unit.application.test_outcomes import task_of

T = TypeVar("T")
LIMIT = 100


def test_limits_come_in_the_metrics_own_unit() -> None:
    limits = QuotaLimits(tasks=3, simulator_minutes=2)
    assert limits.of(Metric.TASKS) == 3
    assert limits.of(Metric.SIMULATOR_MS) == 120_000
    assert limits.of(Metric.SHOTS) is None


@pytest.mark.parametrize(
    ("moment", "window"),
    [
        (datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC), "2026-03-01"),
        (datetime(2026, 3, 2, 0, 0, tzinfo=UTC), "2026-03-02"),
        (datetime(2026, 3, 1, 20, 0, tzinfo=timezone(timedelta(hours=-5))), "2026-03-02"),
    ],
)
def test_a_window_is_a_utc_day(moment: datetime, window: str) -> None:
    assert day_window(moment) == window


def test_a_breach_carries_all_quantities() -> None:
    text = str(QuotaBreach("tenant:alpha", Metric.SHOTS, "2026-03-01", used=90, requested=20, limit=100))
    assert all(part in text for part in ("tenant:alpha", "100 shots", "90 are used", "2026-03-01", "20 were asked"))


class QuotaMachine(RuleBasedStateMachine):
    """Reserve, settle and give back against one counter with a limit, as the store does it."""

    reserved = Bundle("reserved")

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.store = FakeStore()
        self.run(self.store.open())
        self.amounts: dict[str, int] = {}
        self.count = 0

    def teardown(self) -> None:
        with suppress(AttributeError):
            self.loop.close()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(coroutine)

    def charge(self, amount: int) -> Charge:
        return Charge("tenant:alpha", Metric.SHOTS, "2026-03-01", amount, LIMIT)

    @rule(target=reserved, amount=st.integers(0, 150))
    def reserve(self, amount: int) -> object:
        self.count += 1
        task = task_of(id=f"task-{self.count}", client_token=f"token-{self.count}")
        outcome = self.run(self.store.submit(task, TaskPayload("{}"), [self.charge(amount)], []))
        fits = sum(self.amounts.values()) + amount <= LIMIT
        assert isinstance(outcome, Submitted if fits else Refused)
        if not fits:
            return multiple()
        self.amounts[task.id] = amount
        return task

    @rule(task=consumes(reserved), share=st.floats(0, 1))
    def settle(self, task: QuantumTask, share: float) -> None:
        used = int(self.amounts[task.id] * share)
        once = replace(task, revision=task.revision + 1)
        self.run(self.store.put_task(once, [], settle=[self.charge(used)] if used else []))
        twice = replace(once, revision=once.revision + 1)
        self.run(self.store.put_task(twice, [], settle=[]))  # a second settlement changes nothing
        self.amounts[task.id] = used

    @invariant()
    def the_counter_is_the_sum_of_what_is_reserved_and_used(self) -> None:
        if hasattr(self, "store"):
            used = sum(usage.used for usage in self.run(self.store.usage(["tenant:alpha"], "2026-03-01")))
            assert used == sum(self.amounts.values()) <= LIMIT


QuotaMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=30)
TestQuota = QuotaMachine.TestCase

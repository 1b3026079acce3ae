"""Start-time fair queueing: shares by weight and cost, no starvation, no banked credit, nothing lost."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_qsec.domain.fairness import FairQueue


def drain(queue: FairQueue) -> list[str]:
    order = []
    while (item := queue.pop()) is not None:
        order.append(item)
    return order


def test_one_tenant_is_first_in_first_out() -> None:
    queue = FairQueue()
    for number in range(5):
        queue.push("a", f"a{number}", cost=10 - number)
    assert drain(queue) == [f"a{number}" for number in range(5)]


def test_equal_tenants_take_turns() -> None:
    queue = FairQueue()
    for number in range(3):
        queue.push("a", f"a{number}", cost=1)
    for number in range(3):
        queue.push("b", f"b{number}", cost=1)
    assert drain(queue) == ["a0", "b0", "a1", "b1", "a2", "b2"]


def test_cheap_items_run_more_often_than_dear_ones() -> None:
    queue = FairQueue()
    for number in range(100):
        queue.push("cheap", f"cheap{number}", cost=1)
        queue.push("dear", f"dear{number}", cost=10)
    first = drain(queue)[:55]
    assert 48 <= sum(item.startswith("cheap") for item in first) <= 52


def test_a_weight_of_two_gets_twice_the_service() -> None:
    queue = FairQueue()
    for number in range(300):
        queue.push("single", f"single{number}", cost=5, weight=1)
        queue.push("double", f"double{number}", cost=5, weight=2)
    first = drain(queue)[:150]
    assert 98 <= sum(item.startswith("double") for item in first) <= 102


def test_a_newcomer_waits_for_no_backlog_and_has_no_banked_credit() -> None:
    queue = FairQueue()
    for number in range(1000):
        queue.push("flood", f"flood{number}", cost=1)
    for _ in range(500):
        queue.pop()
    for number in range(100):
        queue.push("late", f"late{number}", cost=1)
    first = [queue.pop() for _ in range(20)]
    assert 9 <= sum(str(item).startswith("late") for item in first) <= 11


def test_items_taken_back_cost_their_tenant_nothing() -> None:
    queue = FairQueue()
    for number in range(50):
        queue.push("a", f"a{number}", cost=100)
    for number in range(50):
        assert queue.remove(f"a{number}")
    queue.push("a", "wanted", cost=1)
    queue.push("b", "other", cost=1)
    assert drain(queue) == ["wanted", "other"]
    assert not queue.remove("a1")


def test_a_tenant_that_may_not_run_is_passed_over_and_keeps_its_place() -> None:
    queue = FairQueue()
    queue.push("capped", "c0", cost=1)
    queue.push("free", "f0", cost=1)
    assert queue.pop(lambda tenant: tenant != "capped") == "f0"
    assert queue.pop(lambda tenant: tenant != "capped") is None
    assert queue.pop() == "c0"


def test_places_are_counted_within_the_own_tenant() -> None:
    queue = FairQueue()
    for number in range(3):
        queue.push("a", f"a{number}", cost=1)
        queue.push("b", f"b{number}", cost=1)
    assert [queue.ahead(f"a{number}") for number in range(3)] == [0, 1, 2]
    assert queue.ahead("nothing") is None
    assert (queue.waiting("a"), queue.waiting("nobody"), len(queue)) == (3, 0, 6)


def test_a_second_push_changes_nothing() -> None:
    queue = FairQueue()
    queue.push("a", "x", cost=1)
    queue.push("b", "x", cost=1)
    assert drain(queue) == ["x"]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.floats(0.1, 100), st.integers(1, 5)), max_size=60),
    st.lists(st.integers(0, 59), max_size=20),
)
def test_everything_pushed_comes_out_once_and_in_its_tenants_order(
    pushes: list[tuple[int, float, int]], removals: list[int]
) -> None:
    queue = FairQueue()
    for number, (tenant, cost, weight) in enumerate(pushes):
        queue.push(f"t{tenant}", str(number), cost=cost, weight=weight)
    removed = {str(number) for number in removals if queue.remove(str(number))}
    order = drain(queue)
    assert sorted(order) == sorted({str(n) for n in range(len(pushes))} - removed)
    for tenant in range(4):
        own = [int(item) for item in order if pushes[int(item)][0] == tenant]
        assert own == sorted(own)


def served(seed: int) -> dict[str, float]:
    """A classroom: two floods, a sweep and a light user on one serial device."""
    rng = random.Random(seed)
    queue, cost, owner = FairQueue(), {}, {}
    for tenant, count in (("flood1", 4000), ("flood2", 4000), ("sweep", 2500)):
        for number in range(count):
            item = f"{tenant}-{number}"
            cost[item], owner[item] = rng.uniform(1, 100), tenant
            queue.push(tenant, item, cost=cost[item])
    time, service = 0.0, dict.fromkeys(("flood1", "flood2", "sweep", "light"), 0.0)
    worst_wait, arrivals = 0.0, {}
    for number in range(3000):
        if number % 50 == 0:
            item = f"light-{number}"
            cost[item], owner[item], arrivals[item] = 1.0, "light", time
            queue.push("light", item, cost=1.0)
        item = str(queue.pop())
        if item in arrivals:
            worst_wait = max(worst_wait, time - arrivals[item])
        time += cost[item]
        service[owner[item]] += cost[item]
    return {**service, "worst_wait": worst_wait}


@pytest.mark.parametrize("seed", range(3))
def test_a_classroom_is_served_fairly_and_a_light_user_hardly_waits(seed: int) -> None:
    result = served(seed)
    shares = [result[name] for name in ("flood1", "flood2", "sweep")]
    jain = sum(shares) ** 2 / (len(shares) * sum(share**2 for share in shares))
    assert jain > 0.9999
    assert result["worst_wait"] <= 3 * 100  # at most one task of each other tenant

"""The plot's geometry: bars lie in their columns, on each other, below the top, and add up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_qsec.gateway.dashboard.chart import Chart, ceiling, short

AMOUNTS = st.lists(st.floats(0, 1e9), min_size=3, max_size=3)


@given(st.lists(AMOUNTS, min_size=1, max_size=8))
def test_bars_stay_inside_and_are_as_high_as_their_amounts(amounts: list[list[float]]) -> None:
    chart = Chart(["a", "b", "c"], {f"t{number}": column for number, column in enumerate(amounts)}, ["a", "", "c"])
    scale = (chart.bottom - chart.top) / chart.top_amount
    for bar in chart.bars:
        assert chart.left <= bar.x
        assert bar.x + bar.width <= chart.right
        assert bar.y >= chart.top - 1
        assert bar.height == pytest.approx(bar.amount * scale, abs=0.06)
    for step, total in zip(chart.steps, chart.totals, strict=True):
        heights = [bar.height for bar in chart.bars if bar.step == step]
        assert sum(heights) == pytest.approx(total * scale, abs=0.06 * len(amounts))
    assert chart.empty == (not any(chart.totals))


def test_without_tenants_there_is_nothing_to_draw() -> None:
    chart = Chart(["a", "b"], {}, ["a", "b"])
    assert (chart.empty, chart.bars, chart.totals) == (True, [], [0.0, 0.0])


@given(st.floats(0, 1e12))
def test_the_axis_reaches_above_and_not_far(amount: float) -> None:
    assert amount <= ceiling(amount) <= max(4.0, 2 * amount)


@pytest.mark.parametrize(
    ("amount", "text"), [(0, "0"), (250, "250"), (1500, "1.5k"), (2_000_000, "2M"), (1e9, "1G"), (0.5, "0.5")]
)
def test_labels_are_short(amount: float, text: str) -> None:
    assert short(amount) == text

"""Money is exact, rounded once, and billed as the price sheet says."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_qsec.domain.money import DevicePrice, PriceSheet, task_cost

SV1 = DevicePrice(per_minute=Decimal("0.075"), minimum_seconds=3)
QPU = DevicePrice(per_task=Decimal("0.30"), per_shot=Decimal("0.00145"))


@pytest.mark.parametrize(
    ("price", "shots", "seconds", "cost"),
    [
        (SV1, 1000, "0.01", "0.0038"),  # billed for 3 s
        (SV1, 1000, "3", "0.0038"),
        (SV1, 1000, "60", "0.0750"),
        (SV1, 1000, "90", "0.1125"),
        (QPU, 1000, "0", "1.7500"),
        (QPU, 0, "3600", "0.3000"),
        (DevicePrice(), 10**6, "1000", "0.0000"),
    ],
)
def test_what_a_task_costs(price: DevicePrice, shots: int, seconds: str, cost: str) -> None:
    assert str(task_cost(price, shots, Decimal(seconds))) == cost


def test_halves_round_up() -> None:
    assert task_cost(DevicePrice(per_task=Decimal("0.00005")), 1, Decimal(0)) == Decimal("0.0001")


@given(st.integers(0, 10**9), st.decimals(0, 10**6, places=3))
def test_more_never_costs_less(shots: int, seconds: Decimal) -> None:
    assert task_cost(QPU, shots + 1, seconds) >= task_cost(QPU, shots, seconds)
    assert task_cost(SV1, shots, seconds + 1) >= task_cost(SV1, shots, seconds)


def test_a_sheet_finds_devices_by_arn_in_any_region() -> None:
    sheet = PriceSheet("a table", date(2026, 9, 1), {"quantum-simulator/amazon/sv1": SV1})
    assert sheet.price("arn:aws:braket:::device/quantum-simulator/amazon/sv1") is SV1
    assert sheet.price("arn:aws:braket:us-west-1::device/quantum-simulator/amazon/sv1") is SV1
    assert sheet.price("arn:aws:braket:::device/qpu/x/Y") is None
    assert sheet.price("nonsense") is None

"""Money in Decimal, with the price sheet's source and date beside every figure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

_CENT_OF_A_CENT = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class DevicePrice:
    """What a device costs, in US dollars."""

    per_task: Decimal = Decimal(0)
    per_shot: Decimal = Decimal(0)
    per_minute: Decimal = Decimal(0)
    minimum_seconds: int = 0
    """Simulator time is billed for at least this long (3 s on SV1 and DM1)."""


@dataclass(frozen=True, slots=True)
class PriceSheet:
    """Prices by device ARN suffix (`quantum-simulator/amazon/sv1`), with where and when they were read."""

    source: str
    read_on: date
    prices: dict[str, DevicePrice]

    def price(self, device_arn: str) -> DevicePrice | None:
        """The price of a device, or `None` when the sheet does not list it."""
        return self.prices.get(device_arn.partition("::device/")[2])


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """What a task would cost at the provider; embedded simulation itself is free of charge."""

    amount: Decimal
    """US dollars, rounded half up to a hundredth of a cent."""
    basis: str
    """One sentence that shows the multiplication."""
    source: str


def task_cost(price: DevicePrice, shots: int, seconds: Decimal) -> Decimal:
    """Cost in US dollars of one task: per task + per shot times shots + per minute times billed minutes."""
    billed = max(seconds, Decimal(price.minimum_seconds)) if price.per_minute else Decimal(0)
    total = price.per_task + price.per_shot * shots + price.per_minute * billed / 60
    return total.quantize(_CENT_OF_A_CENT, rounding=ROUND_HALF_UP)

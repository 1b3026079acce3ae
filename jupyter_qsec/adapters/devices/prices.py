"""The shipped price sheet: `prices.toml` beside this module, with its source and date."""

from __future__ import annotations

import tomllib
from datetime import date
from decimal import Decimal
from importlib.resources import files
from typing import Any

from jupyter_qsec.domain.money import CostEstimate, DevicePrice, PriceSheet, task_cost

_MONEY = ("per_task", "per_shot", "per_minute")


def parse_price_sheet(text: str) -> PriceSheet:
    """A price sheet from TOML: `source`, `read_on`, and one table per device ARN suffix. Amounts are strings, so that
    none passes through binary floating point. `ValueError` for anything else."""
    document = tomllib.loads(text)
    source, read_on = document.pop("source", None), document.pop("read_on", None)
    if not isinstance(source, str) or not source or not isinstance(read_on, date):
        raise ValueError("a price sheet needs a source and the date read_on")
    return PriceSheet(source, read_on, {suffix: _price(suffix, table) for suffix, table in document.items()})


def _price(suffix: str, table: object) -> DevicePrice:
    if not isinstance(table, dict) or not table.keys() <= {*_MONEY, "minimum_seconds"}:
        raise ValueError(f"the price of {suffix} has fields that are not known")
    amounts: dict[str, Any] = {}
    for name in _MONEY:
        text = table.get(name, "0")
        if not isinstance(text, str) or not (amount := Decimal(text)).is_finite() or amount < 0:
            raise ValueError(f"{name} of {suffix} must be an amount in quotes")
        amounts[name] = amount
    return DevicePrice(**amounts, minimum_seconds=int(table.get("minimum_seconds", 0)))


def shipped_price_sheet() -> PriceSheet:
    return parse_price_sheet(files(__package__).joinpath("prices.toml").read_text(encoding="utf-8"))


def estimate(sheet: PriceSheet, price: DevicePrice, shots: int, seconds: Decimal) -> CostEstimate:
    """What a task costs by the sheet, with the multiplication in words."""
    parts = []
    if price.per_task:
        parts.append(f"${price.per_task} per task")
    if price.per_shot:
        parts.append(f"{shots} shots at ${price.per_shot}")
    if price.per_minute:
        billed = max(seconds, Decimal(price.minimum_seconds))
        minimum = f", the minimum of {price.minimum_seconds} s" if seconds <= price.minimum_seconds else ""
        parts.append(f"{billed.normalize():f} s at ${price.per_minute} per minute{minimum}")
    return CostEstimate(
        amount=task_cost(price, shots, seconds),
        basis=(" + ".join(parts) or "free of charge") + ".",
        source=f"{sheet.source} (read on {sheet.read_on.isoformat()})",
    )

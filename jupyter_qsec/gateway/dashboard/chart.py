"""A stacked bar chart as numbers: where each bar lies, for a template that draws it in SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 760, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 8, 10, 30
_COLOURS = 6
_TICKS = 4
_GAP = 0.28
"""The part of each step that stays empty between bars."""


@dataclass(frozen=True, slots=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    series: int
    """Which colour: 0 to 5."""
    name: str
    step: str
    amount: float


@dataclass(frozen=True, slots=True)
class Mark:
    """A label at an axis."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """`series` by name, each with one amount for each step."""

    steps: Sequence[str]
    series: Mapping[str, Sequence[float]]
    labels: Sequence[str]
    """What stands at the axis below each step; may be empty."""

    left, right, top, bottom = _LEFT, WIDTH - _RIGHT, _TOP, HEIGHT - _BOTTOM
    width, height = WIDTH, HEIGHT

    @property
    def totals(self) -> list[float]:
        return [sum(amounts) for amounts in zip(*self.series.values(), strict=True)] or [0.0] * len(self.steps)

    @property
    def empty(self) -> bool:
        return not any(self.totals)

    @property
    def top_amount(self) -> float:
        return ceiling(max(self.totals, default=0.0))

    @property
    def bars(self) -> list[Bar]:
        step_width = (self.right - self.left) / max(1, len(self.steps))
        scale = (self.bottom - self.top) / self.top_amount
        bars: list[Bar] = []
        for column, step in enumerate(self.steps):
            base = float(self.bottom)
            for number, (name, amounts) in enumerate(self.series.items()):
                height = amounts[column] * scale
                if height <= 0:
                    continue
                base -= height
                x = self.left + step_width * (column + _GAP / 2)
                width = step_width * (1 - _GAP)
                colour = number % _COLOURS
                bars.append(
                    Bar(
                        round(x, 1),
                        round(base, 1),
                        round(width, 1),
                        round(height, 1),
                        colour,
                        name,
                        step,
                        amounts[column],
                    )
                )
        return bars

    @property
    def rows(self) -> list[Mark]:
        """Marks of the upright axis, with their lines."""
        height = (self.bottom - self.top) / _TICKS
        return [
            Mark(round(self.bottom - number * height, 1), short(self.top_amount * number / _TICKS))
            for number in range(_TICKS + 1)
        ]

    @property
    def columns(self) -> list[Mark]:
        step_width = (self.right - self.left) / max(1, len(self.steps))
        return [
            Mark(round(self.left + step_width * (column + 0.5), 1), label)
            for column, label in enumerate(self.labels)
            if label
        ]


def ceiling(amount: float) -> float:
    """A round number at or above an amount that four lines divide well."""
    if amount <= _TICKS:
        return float(_TICKS) if amount > 0 else 1.0
    power = 1.0
    while power * 10 < amount:
        power *= 10
    return next(power * step for step in (1.2, 1.6, 2, 4, 6, 8, 10) if power * step >= amount)


def short(amount: float) -> str:
    """An amount at an axis: `250`, `1.5k`, `2M`."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if amount >= size:
            return f"{amount / size:g}{letter}"
    return f"{amount:g}"

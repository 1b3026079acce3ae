"""The table that `make bench` prints: one row per figure, each beside a peer measured in the same run.

A benchmark is a module `benchmarks/bench_NAME.py` with `def rows() -> list[Row]`. `benchmarks/run.py` calls them all,
and exits 1 when a figure misses its target.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One measured figure."""

    name: str
    value: float
    unit: str
    """`ms`, `/s`, `MB/s`, `s`, …"""
    peer: str = ""
    """What it is compared with and how that did in the same run: `LocalSimulator 3.4 ms`."""
    ratio: float | None = None
    """Value over the peer's value."""
    target: str = ""
    """The promise in words: `peer + 20 ms or less`; empty when the figure is for information."""
    ok: bool | None = None
    """Whether the target is met; `None` when there is none."""


_HEADINGS = ("benchmark", "measured", "beside", "ratio", "target", "")


def _number(value: float) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    magnitude = abs(value)
    if magnitude >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if magnitude >= 10 else f"{value:.2f}"


def _cells(row: Row) -> tuple[str, ...]:
    verdict = "" if row.ok is None else ("ok" if row.ok else "MISSED")
    ratio = "" if row.ratio is None else f"{row.ratio:.2f} x"
    return (row.name, f"{_number(row.value)} {row.unit}", row.peer, ratio, row.target, verdict)


def render(rows: Iterable[Row]) -> str:
    """The rows as an aligned text table, headings first."""
    lines: Sequence[tuple[str, ...]] = [_HEADINGS, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADINGS))]
    rule = "  ".join("-" * width for width in widths).rstrip()
    body = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([body[0], rule, *body[1:]])

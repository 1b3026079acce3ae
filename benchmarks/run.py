"""Runs every `bench_*.py` beside this file and prints one table: `python -m benchmarks.run [NAME…]`. Those that take
minutes run only when they are named.

Exit codes: 0 every target is met, 1 a target is missed or a benchmark failed, 2 no such benchmark.
"""

from __future__ import annotations

import importlib
import sys
import time
import traceback
from pathlib import Path

from benchmarks.table import Row, render


def available() -> list[str]:
    """Names of the benchmarks: `task` for `bench_task.py`."""
    return sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))


LONG = frozenset({"growth", "load"})


def measure(name: str) -> list[Row]:
    """The rows of one benchmark; one that breaks is a row that missed, and the others still run."""
    print(f"… {name}", file=sys.stderr, flush=True)
    started = time.perf_counter()
    try:
        rows: list[Row] = importlib.import_module(f"benchmarks.bench_{name}").rows()
    except Exception as problem:  # noqa: BLE001  # one broken benchmark must not hide the others; it fails the run
        traceback.print_exc()
        return [Row(name, 0, "", target=f"failed: {type(problem).__name__}", ok=False)]
    print(f"  {name}: {time.perf_counter() - started:.1f} s", file=sys.stderr, flush=True)
    return rows


def main(arguments: list[str]) -> int:
    known = available()
    unknown = [name for name in arguments if name not in known]
    if unknown:
        print(f"No benchmark {', '.join(unknown)}; there are: {', '.join(known)}.", file=sys.stderr)
        return 2
    rows = [row for name in arguments or sorted(set(known) - LONG) for row in measure(name)]
    print(render(rows))
    return 1 if any(row.ok is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

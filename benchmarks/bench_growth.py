"""What a durable submission costs at the store's port, by how many tasks are stored already: PostgreSQL databases that
began with 10³ to 10⁶ of them, measured in turns, each after a checkpoint of the server, so that every page that is
touched first is written whole, as it is for most submissions of a large database. What was submitted stays, so the
smallest one has a few thousand tasks in the end.

Not part of `make bench`: filling a million tasks takes minutes, and some gigabytes of disk until it has ended.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.bench_store import PAYLOAD, charges, events, task
from benchmarks.load.filling import fill
from benchmarks.load.processes import nothing_left
from benchmarks.table import Row, render
from jupyter_qsec.adapters.clock import SystemClock
from jupyter_qsec.adapters.keys import NoteSigner
from jupyter_qsec.adapters.store import PostgresDatabase, SqlStore
from jupyter_qsec.application.ports import Submitted
from jupyter_qsec.application.taskids import new_task_id
from tests.contract.postgres import PostgresServer, binaries

SIZES = (1_000, 10_000, 100_000, 1_000_000)
SUBMISSIONS, CONCURRENCY, ROUNDS = 400, 16, 7
_WANTED = 1.2
_FILL_SECONDS = 300.0
"""Of one statement."""
_LONGEST_SECONDS = 1500.0


def rows(sizes: Sequence[int] = SIZES, submissions: int = SUBMISSIONS) -> list[Row]:
    programs = binaries()
    if programs is None:
        return [Row("store: growth of the cost per submission", float("nan"), "", "there is no PostgreSQL")]
    settings = {"fsync": "on", "shared_buffers": "128MB", "max_wal_size": "4GB", "checkpoint_timeout": "30min"}
    with (
        nothing_left(_LONGEST_SECONDS, lambda: os._exit(3)),
        tempfile.TemporaryDirectory(prefix="qsec-growth-") as name,
    ):
        server = PostgresServer(programs, settings)
        try:
            server.start()
            urls = {size: _filled(server, size) for size in sizes}
            costs = asyncio.run(_measure(server, urls, Path(name), submissions))
        finally:
            server.delete()
    return [_row(size, costs) for size in sizes]


def _filled(server: PostgresServer, size: int) -> str:
    started = time.monotonic()
    database = server.new_database("template0")
    url = server.url(database)
    fill(url, url.partition("?host=")[2], database, size, _FILL_SECONDS)
    print(f"  … {size:,} tasks stored in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return url


async def _measure(
    server: PostgresServer, urls: dict[int, str], folder: Path, submissions: int
) -> dict[int, list[float]]:
    """Milliseconds a submission, of each round, by size."""
    costs: dict[int, list[float]] = {size: [] for size in urls}
    async with AsyncExitStack() as closing:
        stores = {}
        for size, url in urls.items():
            stores[size] = SqlStore(
                PostgresDatabase(url),
                signer=NoteSigner(bytes(32)),
                clock=SystemClock(),
                checkpoint_dir=folder / str(size),
                shared=True,
            )
            await stores[size].open()
            closing.push_async_callback(stores[size].close)
            await _submit(stores[size], submissions // 4)  # warm
        for turn in range(ROUNDS):
            order = list(urls) if turn % 2 else list(reversed(urls))
            for size in order:
                await asyncio.to_thread(server.run, "CHECKPOINT")
                started = time.perf_counter()
                await _submit(stores[size], submissions)
                costs[size].append(1000 * (time.perf_counter() - started) / submissions)
    return costs


async def _submit(store: SqlStore, count: int) -> None:
    numbers = iter(range(count))

    async def client() -> None:
        for number in numbers:
            made = replace(task(number), id=new_task_id(datetime.now(UTC)), client_token=str(uuid.uuid4()))
            assert isinstance(await store.submit(made, PAYLOAD, charges(), events(number)), Submitted)

    await asyncio.gather(*[client() for _ in range(CONCURRENCY)])


def _row(size: int, costs: dict[int, list[float]]) -> Row:
    """The ratio is the median of the rounds' own: what slowed a whole round down is in both."""
    least = min(costs)
    ratio = statistics.median(cost / first for cost, first in zip(costs[size], costs[least], strict=True))
    measured = statistics.median(costs[size])
    spread = f"{min(costs[size]):.2f} to {max(costs[size]):.2f} ms"
    if size == least:
        return Row(f"store: cost of a submission, {size:,} tasks stored", measured, "ms", spread, ratio)
    return Row(
        f"store: cost of a submission, {size:,} tasks stored",
        measured,
        "ms",
        spread,
        ratio,
        f"{_WANTED:g} x that with {least:,}, or less",
        ratio <= _WANTED,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_growth", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="how many tasks are stored")
    parser.add_argument("--submissions", type=int, default=SUBMISSIONS, help="of each round and size")
    options = parser.parse_args(arguments)
    found = rows(tuple(sorted(options.sizes)), options.submissions)
    print(render(found))
    return 1 if any(row.ok is False for row in found) else 0


if __name__ == "__main__":
    sys.exit(main())

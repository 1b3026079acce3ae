"""A process that submits tasks to a real database: `HOME NAME COUNT URL` prints each acknowledged task id on a line.

COUNT 0 goes on until it is killed. An empty URL means the SQLite file in HOME.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from pathlib import Path

from jupyter_qsec.application.ports import Submitted
from jupyter_qsec.domain.quota import Metric
from tests.contract.builders import PAYLOAD, charge, event, task
from tests.contract.conftest import postgres_store, sqlite_store


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def main(home: Path, name: str, count: int, url: str) -> None:
    store = postgres_store(url, home) if url else sqlite_store(home)
    await store.open()
    say("ready")
    sys.stdin.readline()

    async def submit(number: int) -> None:
        made = task(f"{name}-{number}")
        charges = [charge(3, 100), charge(7, 10**9, Metric.SHOTS)]
        if count == 0:
            charges = [charge(1, None)]
        outcome = await store.submit(made, PAYLOAD, charges, [event("task.submitted", subject=made.id)])
        if isinstance(outcome, Submitted):
            say(made.id)
        else:
            await store.record([event("task.refused", subject=made.id)])

    numbers = itertools.count() if count == 0 else iter(range(count))
    while batch := list(itertools.islice(numbers, 8)):
        await asyncio.gather(*[submit(number) for number in batch])
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]))

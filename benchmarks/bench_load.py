"""Many people at once: single-user servers with kernels and clients that sign, against several gateway processes on one
PostgreSQL, while one of the processes is killed and PostgreSQL is restarted. Afterwards the clients' books are held
against the database.

`python -m benchmarks.bench_load --servers 0 --clients 20 --seconds 15` is a small one. Not part of `make bench`: it
takes minutes, and the machine for itself. Nothing leaves loopback.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.bench_batch import canned
from benchmarks.load import report
from benchmarks.load.clients import Client, Generator, Identity
from benchmarks.load.ledger import Ledger
from benchmarks.load.options import Options
from benchmarks.load.people import Person, at_work, people
from benchmarks.load.processes import Sampler, nothing_left
from benchmarks.load.site import ACCOUNTS, Site, site
from benchmarks.load.wire import Keys
from benchmarks.table import Row, render

_FLOOR_SECONDS = 3.0
_DRAIN_SECONDS = 90.0
_SEED = 3


def rows(options: Options | None = None) -> list[Row]:
    options = options or Options()
    load_before = os.getloadavg()[0]
    with (
        nothing_left(options.longest, lambda: os._exit(3)),
        tempfile.TemporaryDirectory(prefix="qsec-load-") as name,
    ):
        floor = _floor(options)
        folder = Path(name)
        with (
            site(folder, processes=options.processes, people=options.servers, limit=options.limit) as made,
            people(made.hub, folder, made.people) as persons,
        ):
            ledger = Ledger()
            _say(f"{options.clients} leases")
            identities = made.identities(options.clients)
            _say(f"{options.seconds:g} s of load")
            run = asyncio.run(_measure(options, made, identities, persons, ledger))
            _say("checks")
            found = report.findings(made, ledger, folder)
        for check, wrong in found.items():
            for text in wrong[:5]:
                _say(f"{check}: {text}")
        return report.table(options, run, floor, ledger, found, load_before, made)


def _say(text: str) -> None:
    print(f"  … {text}", file=sys.stderr, flush=True)


async def _measure(
    options: Options, made: Site, identities: Sequence[Identity], persons: Sequence[Person], ledger: Ledger
) -> report.Run:
    chance = random.Random(_SEED)
    clients = [Client(identity, made.gateway.port, ledger, chance, curious=True) for identity in identities]
    generator = Generator(clients, options.rate, chance)
    processor = time.process_time()
    with Sampler(made.supervisor) as sampler, at_work(persons, ledger):
        await generator.run(options.warm_up)
        begun = time.monotonic()
        faults = asyncio.create_task(_faults(made, options.seconds))
        await generator.run(options.seconds)
        ended = time.monotonic()
        await faults
        await generator.run(options.afterwards)
        unfinished = await generator.drain(_DRAIN_SECONDS)
    for client in clients:
        client.close()
    used = {"generator": time.process_time() - processor, **sampler.processor()}
    return report.Run(begun, ended, used, made.outages, sampler.samples, unfinished, os.getloadavg()[0])


async def _faults(made: Site, seconds: float) -> None:
    begun = time.monotonic()
    for share, fault in ((1 / 3, made.kill_a_process), (2 / 3, made.restart_database)):
        await asyncio.sleep(max(0.0, begun + share * seconds - time.monotonic()))
        await fault()


def _floor(options: Options) -> report.Floor:
    """The generator against canned answers, at the same rate: what of the times is its own."""

    async def measure(port: int) -> report.Floor:
        ledger, chance = Ledger(), random.Random(_SEED)
        account = ACCOUNTS["one"]
        keys = Keys("ASIACANNED", "canned", "canned", f"127.0.0.1:{port}")
        identity = Identity("one", account, keys)
        clients = [Client(identity, port, ledger, chance, curious=False) for _ in range(options.clients)]
        generator = Generator(clients, options.rate, chance)
        processor = time.process_time()
        await generator.run(min(_FLOOR_SECONDS, options.seconds / 4))
        await generator.drain(10)
        processor = time.process_time() - processor
        for client in clients:
            client.close()
        times = [submission.seconds for submission in ledger.submissions]
        return report.Floor(report.percentile(times, 95), processor / max(1, len(times)))

    with canned() as server:
        return asyncio.run(measure(server.port))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_load", description=__doc__)
    told = Options()
    parser.add_argument("--servers", type=int, default=told.servers, help="single-user servers with a kernel each")
    parser.add_argument("--clients", type=int, default=told.clients, help="leased clients of the load generator")
    parser.add_argument("--seconds", type=float, default=told.seconds, help="how long, without the warm-up")
    parser.add_argument("--processes", type=int, default=told.processes, help="gateway processes, two or more")
    parser.add_argument("--rate", type=float, default=told.rate, help="tasks a second of all clients together")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """0: every target is met; 1: one is missed; 3: it took too long and was ended."""
    options = Options(**vars(_parser().parse_args(arguments)))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    found = rows(options)
    print(render(found))
    return 1 if any(row.ok is False for row in found) else 0


if __name__ == "__main__":
    sys.exit(main())

"""A batch of 200 Bell tasks with `run_batch`: through the gateway, and against a server of canned answers, whose time
is all the client's own. `LocalSimulator` and `%qsubmit`'s leaner way stand beside.

Where the client's own time goes (SDK 1.127): it builds an S3 resource for each result, pure Python of some 30 ms, on up
to `max_connections` threads, 100 unless told. So many wait for the interpreter's lock that a batch switches threads a
million times, and how long that takes is the machine's and the day's: 200 tasks took 6.9 s on one thread, 7.8 s on ten,
16 s on a hundred, all against canned answers. Therefore two rows: the default, as people run it, and ten connections,
where the floor is low and steady and what the gateway adds cannot hide in it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import stack
from benchmarks.circuits import bell
from benchmarks.table import Row

SV1 = "arn:aws:braket:::device/quantum-simulator/amazon/sv1"
TASKS, SHOTS, ROUNDS = 200, 100, 3
_CONNECTIONS = {"": 100, ", 10 connections": 10}
"""Named in the table, and the SDK's `max_connections`; 100 is its default."""
_ALLOWED = 1.3


@contextlib.contextmanager
def canned() -> Iterator[stack.Stack]:
    """The canned server as a process; it ends with this one."""
    with tempfile.TemporaryDirectory(prefix="qsec-canned-") as name:
        command = [sys.executable, "-m", "benchmarks.canned_server"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            assert process.stdout is not None
            port = int(json.loads(process.stdout.readline())["port"])
            yield stack.Stack(port, Path(name), Path(name))
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(10)
            assert process.stdout is not None
            process.stdout.close()


def rows() -> list[Row]:
    from braket.devices import LocalSimulator

    local = _seconds(lambda: LocalSimulator().run_batch([bell()] * TASKS, shots=SHOTS).results())
    with canned() as floor, stack.running(tenants=stack.UNLIMITED) as running:
        token_file = floor.folder / "token"
        token_file.write_text("canned")
        _, real_token_file = running.lease()
        compared = []
        for name, connections in _CONNECTIONS.items():
            rounds = [
                (
                    _batch(floor.environment(token_file), connections),
                    _batch(running.environment(real_token_file), connections),
                )
                for _ in range(ROUNDS)
            ]
            compared.append(_compared(f"run_batch of {TASKS} tasks{name}", rounds))
        with stack.within(running.environment(real_token_file)):
            lean = _lean()
    default = compared[0]
    return [
        dataclasses.replace(default, peer=f"{default.peer}, LocalSimulator {local:.1f} s"),
        *compared[1:],
        Row(
            f"%qsubmit of {TASKS} tasks",
            lean,
            "s",
            peer=f"run_batch {default.value:.1f} s",
            ratio=lean / default.value,
        ),
    ]


def _compared(name: str, rounds: list[tuple[float, float]]) -> Row:
    """`rounds` are pairs of seconds: canned answers, then the gateway. Compared pair by pair, the median counts."""
    ratio = statistics.median(mine / floor for floor, mine in rounds)
    return Row(
        name,
        statistics.median(mine for _, mine in rounds),
        "s",
        peer=f"canned answers {statistics.median(floor for floor, _ in rounds):.1f} s",
        ratio=ratio,
        target=f"{_ALLOWED:g} x canned answers or less",
        ok=ratio <= _ALLOWED,
    )


def _batch(environment: dict[str, str], connections: int) -> float:
    """Seconds of a batch in a client process of its own, so that no round inherits anything of another."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.bench_batch", str(connections)],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        check=True,
        timeout=120,
    )
    return float(done.stdout)


def client(connections: int) -> float:
    """One batch, after a task that makes sessions, buckets and workers be there."""
    from braket.aws import AwsDevice

    device = AwsDevice(SV1)
    device.run(bell(), shots=SHOTS).result()
    return _seconds(lambda: device.run_batch([bell()] * TASKS, shots=SHOTS, max_connections=connections).results())


def _lean() -> float:
    """The batch of the magic, in the environment that was set last."""
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "jupyter_qsec.magics")
    shell.user_ns["circuits"] = [bell()] * TASKS

    def submit() -> Any:
        with capture_output():
            return shell.run_line_magic("qsubmit", f"circuits --shots {SHOTS}")

    return _seconds(submit)


def _seconds(work: Callable[[], list[Any]]) -> float:
    started = time.perf_counter()
    results = work()
    assert len(results) == TASKS
    assert all(sum(result.measurement_counts.values()) == SHOTS for result in results)
    return time.perf_counter() - started


if __name__ == "__main__":
    print(client(int(sys.argv[1])))

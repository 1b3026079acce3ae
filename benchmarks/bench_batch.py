"""A batch of 200 Bell tasks with `run_batch`: through the gateway, and against a server of canned answers, whose time
is all the client's own. `LocalSimulator` and `%qsubmit`'s leaner way stand beside."""

from __future__ import annotations

import contextlib
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
            yield stack.Stack(process, port, Path(name), Path(name))
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
        through, beside = [], []
        for _ in range(ROUNDS):
            beside.append(_batch(floor.environment(token_file)))
            through.append(_batch(running.environment(real_token_file)))
        os.environ.update(running.environment(real_token_file))
        lean = _lean()
    mine, peer = statistics.median(through), statistics.median(beside)
    # Round by round: the client's ten threads make a round's time vary more than what is compared.
    ratio = statistics.median(one / other for one, other in zip(through, beside, strict=True))
    return [
        Row(
            f"run_batch of {TASKS} tasks",
            mine,
            "s",
            peer=f"canned answers {peer:.1f} s, LocalSimulator {local:.1f} s",
            ratio=ratio,
            target=f"{_ALLOWED:g} x canned answers or less",
            ok=ratio <= _ALLOWED,
        ),
        Row(f"%qsubmit of {TASKS} tasks", lean, "s", peer=f"run_batch {mine:.1f} s", ratio=lean / mine),
    ]


def _batch(environment: dict[str, str]) -> float:
    """Seconds of a batch in a client process of its own: in one that ran a batch before, the SDK is slower."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.bench_batch"],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        check=True,
        timeout=120,
    )
    return float(done.stdout)


def client() -> float:
    """One batch, after a task that makes sessions, buckets and workers be there."""
    from braket.aws import AwsDevice

    device = AwsDevice(SV1)
    device.run(bell(), shots=SHOTS).result()
    return _seconds(lambda: device.run_batch([bell()] * TASKS, shots=SHOTS).results())


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
    print(client())

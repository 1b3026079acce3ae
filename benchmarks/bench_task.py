"""One task through `AwsDevice` and a real gateway, beside `LocalSimulator` on the same circuit in the same run, and
beside the same client against canned answers: what the SDK itself takes for a task, whoever answers."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks import stack
from benchmarks.bench_batch import canned
from benchmarks.circuits import bell, ghz_with_rotations
from benchmarks.table import Row

SV1 = "arn:aws:braket:::device/quantum-simulator/amazon/sv1"
_WARM_UP = 5
_TURNS = 3
_TASKS = 40


def rows() -> list[Row]:
    with stack.running(tenants=stack.UNLIMITED) as running:
        _, token_file = running.lease()
        beside_canned = _beside_canned(running.environment(token_file))
        with stack.within(running.environment(token_file)):
            from braket.aws import AwsDevice
            from braket.devices import LocalSimulator

            device, local = AwsDevice(SV1), LocalSimulator("braket_sv")
            return [
                _row("Bell task, 100 shots", device, local, lambda turn: bell(), 100, rounds=60, allowed_ms=20),
                beside_canned,
                _row("18 qubits, 1,000 shots", device, local, _rotated, 1000, rounds=20, allowed_ms=60),
            ]


def _rotated(turn: int) -> Any:
    return ghz_with_rotations(turn=turn)


def _row(
    name: str,
    device: Any,
    local: Any,
    make: Callable[[int], Any],
    shots: int,
    *,
    rounds: int,
    allowed_ms: float,
) -> Row:
    for _ in range(_WARM_UP):
        device.run(make(0), shots=shots).result()
        local.run(make(0), shots=shots).result()
    through, beside = [], []
    for turn in range(rounds):  # in turns, so that both see the same machine
        circuit = make(1 + turn)
        through.append(_milliseconds(device, circuit, shots))
        beside.append(_milliseconds(local, circuit, shots))
    mine, peer = statistics.median(through), statistics.median(beside)
    return Row(
        name,
        mine,
        "ms",
        peer=f"LocalSimulator {peer:.1f} ms (difference {mine - peer:.1f} ms)",
        ratio=mine / peer,
        target=f"LocalSimulator + {allowed_ms:g} ms or less",
        ok=mine <= peer + allowed_ms,
    )


def _beside_canned(environment: dict[str, str]) -> Row:
    """Medians of client processes in turns."""
    with canned() as floor:
        token_file = floor.folder / "token"
        token_file.write_text("canned")
        turns = [(_in_a_process(floor.environment(token_file)), _in_a_process(environment)) for _ in range(_TURNS)]
    own, mine = (statistics.median(medians) for medians in zip(*turns, strict=True))
    return Row("the same, beside canned answers", mine, "ms", f"canned answers {own:.1f} ms", mine / own)


def _in_a_process(environment: dict[str, str]) -> float:
    command = [sys.executable, "-m", "benchmarks.bench_task"]
    done = subprocess.run(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, check=True, timeout=120)
    return float(done.stdout)


def _client() -> float:
    """Median milliseconds of a Bell task in the environment of this process."""
    from braket.aws import AwsDevice

    device = AwsDevice(SV1)
    taken = [_milliseconds(device, bell(), 100) for _ in range(_WARM_UP + _TASKS)]
    return statistics.median(taken[_WARM_UP:])


def _milliseconds(device: Any, circuit: Any, shots: int) -> float:
    started = time.perf_counter()
    assert device.run(circuit, shots=shots).result() is not None
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    print(_client())

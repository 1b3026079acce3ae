"""What every `Executor` does: results, limits, cancelling, crashes, the end."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterable
from typing import Any

import pytest
from braket.circuits import Circuit, Observable
from braket.program_sets import ProgramSet

from jupyter_qsec.application.ports import ExecutionFailure, ExecutionResult
from jupyter_qsec.domain.task import TaskPayload
from tests.contract.executorbenches import Bench, DaskBench, PoolBench
from tests.fakes.executor_thread import BELL, SLOW, openqasm, program, reason, task
from tests.fakes.processes import gone

CANCELLED = ExecutionFailure("The task was cancelled.", cancelled=True)


class TestResults:
    @pytest.mark.parametrize(
        ("device", "shots", "payload"),
        [
            ("sv1", 0, program(Circuit().h(0).ry(1, 0.3).cnot(0, 1).state_vector().expectation(Observable.Y(), 0))),
            ("sv1", 20, program(Circuit().x(0).i(1).x(2).measure(2).measure(1))),
            ("sv1", 20, TaskPayload(ProgramSet([Circuit().x(0), Circuit().i(0)]).to_ir().json())),
            ("dm1", 0, program(Circuit().h(0).bit_flip(0, 0.3).density_matrix())),
            ("sv1", 7, openqasm("OPENQASM 3.0;\ninput float a;\nqubit q;\nrx(a) q;", a=3.141592653589793)),
        ],
        ids=["exact", "samples", "program-set", "noise", "inputs"],
    )
    def test_both_give_the_same_document(
        self, pool_bench: PoolBench, dask_bench: DaskBench, device: str, shots: int, payload: TaskPayload
    ) -> None:
        """To the last bit, where chance has no part in it; but for the times that it took."""
        submitted = task(shots, device)
        assert timeless(dask_bench.execute(submitted, payload)) == timeless(pool_bench.execute(submitted, payload))

    def test_samples_are_drawn(self, bench: Bench) -> None:
        rows = document(bench.execute(task(300), program(BELL)))["measurements"]
        assert len(rows) == 300
        assert {tuple(row) for row in rows} == {(0, 0), (1, 1)}

    def test_a_broken_program_is_explained_in_one_line(self, bench: Bench) -> None:
        said = reason(bench.execute(task(), openqasm("qubit[2] q;\nfoo q[0];")))
        assert said == "OpenQASM line 2: gate 'foo' is not defined."

    def test_a_program_reads_no_file(self, bench: Bench) -> None:
        said = reason(bench.execute(task(), openqasm('include "/etc/hostname";\n')))
        assert said == "The program may not read files."

    def test_an_unknown_device_is_refused(self, bench: Bench) -> None:
        assert reason(bench.execute(task(device="tn1"), program(BELL))) == "This device is not simulated here."


def document(outcome: ExecutionResult | ExecutionFailure) -> dict[str, Any]:
    assert isinstance(outcome, ExecutionResult), outcome
    assert outcome.duration_ms >= 1
    content: dict[str, Any] = json.loads(outcome.results_json)
    return content


def timeless(outcome: ExecutionResult | ExecutionFailure) -> str:
    """As text, so that 0.0 is not -0.0."""
    content = document(outcome)
    for part in _parts(content):
        for name in ("endedAt", "executionDuration"):
            part.pop(name, None)
    return json.dumps(content)


def _parts(value: Any) -> Iterable[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _parts(each)


class TestLimits:
    def test_a_program_that_needs_too_much_memory_fails_alone(self, bench: Bench) -> None:
        said = reason(bench.execute(task(10), openqasm("qubit[24] q;\nh q;")))
        assert said == "The task needs more memory than a simulator may use."
        assert isinstance(bench.execute(task(10), program(BELL)), ExecutionResult)

    def test_a_program_with_too_many_qubits_is_refused(self, bench: Bench) -> None:
        said = reason(bench.execute(task(10), openqasm("qubit[25] q;\nh q;")))
        assert said == "The program uses 25 qubits; 24 are allowed here."

    def test_a_program_that_runs_too_long_is_ended(self, bench: Bench) -> None:
        assert reason(bench.execute(task(10), SLOW)) == "The task ran longer than the limit of 3 s."
        assert isinstance(bench.execute(task(10), program(BELL)), ExecutionResult)

    def test_a_result_that_is_too_large_is_refused(self, bench: Bench) -> None:
        said = reason(bench.execute(task(20_000), program(Circuit().h(range(10)))))
        assert said.startswith("The result is larger than ")
        said = reason(bench.execute(task(0), program(Circuit().h(range(15)).state_vector())))
        assert said.startswith("The result is larger than ")


class TestLife:
    def test_something_can_run(self, bench: Bench) -> None:
        assert bench.executor.capacity >= 1
        assert bench.executor.obstacle == ""

    def test_a_cancelled_task_ends_at_once_and_its_simulator_too(self, bench: Bench) -> None:
        submitted = task()
        ending = bench.begin(bench.executor.execute(submitted, SLOW))
        simulator = bench.running(submitted)
        bench.call(bench.executor.cancel(submitted.id))
        assert ending.result(3) == CANCELLED
        assert gone(simulator, seconds=3)
        assert isinstance(bench.execute(task(), program(BELL)), ExecutionResult)

    def test_a_task_that_waits_for_a_worker_can_be_cancelled(self, bench: Bench) -> None:
        busy = [task() for _ in range(bench.executor.capacity)]
        endings = [bench.begin(bench.executor.execute(each, SLOW)) for each in busy]
        for each in busy:
            bench.running(each)
        waits = task()
        waiting = bench.begin(bench.executor.execute(waits, program(BELL)))
        bench.call(bench.executor.cancel(waits.id))
        assert waiting.result(3) == CANCELLED
        for each in busy:
            bench.call(bench.executor.cancel(each.id))
        assert [ending.result(3) for ending in endings] == [CANCELLED for _ in busy]

    def test_cancelling_an_unknown_task_does_nothing(self, bench: Bench) -> None:
        bench.call(bench.executor.cancel("no-such-task"))

    def test_a_crash_is_the_failure_of_one_task(self, bench: Bench) -> None:
        submitted = task()
        ending = bench.begin(bench.executor.execute(submitted, SLOW))
        os.kill(bench.running(submitted), signal.SIGSEGV)
        assert reason(ending.result(10)) == "The simulator ended while it ran this task: it crashed with SIGSEGV."
        assert isinstance(bench.execute(task(), program(BELL)), ExecutionResult)

    def test_closing_ends_the_running_task_and_its_simulator(self, bench: Bench) -> None:
        with bench.another() as closing:
            submitted = task()
            ending = closing.begin(closing.executor.execute(submitted, SLOW))
            simulator = closing.running(submitted)
        assert isinstance(ending.result(5), ExecutionFailure)
        assert gone(simulator, seconds=5)

    def test_nothing_runs_after_the_end(self, bench: Bench) -> None:
        with bench.another() as closing:
            closing.call(closing.executor.close())
            assert isinstance(closing.execute(task(), program(BELL)), ExecutionFailure)

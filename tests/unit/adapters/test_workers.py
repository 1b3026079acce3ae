"""Worker processes: limits, cancelling, crashes, and the end of the gateway."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from braket.circuits import Circuit

from jupyter_qsec.adapters.providers.simulator import SimulatorExecutor
from jupyter_qsec.application.ports import ExecutionFailure, ExecutionLimits, ExecutionResult
from jupyter_qsec.domain.task import QuantumTask
from tests.fakes.executor_thread import BELL, ExecutorThread, openqasm, program, reason, task


@pytest.fixture(scope="module")
def executor() -> Iterator[ExecutorThread]:
    with ExecutorThread(SimulatorExecutor(1)) as running:
        yield running


@pytest.fixture(scope="module")
def strict() -> Iterator[ExecutorThread]:
    limits = ExecutionLimits(max_qubits=24, max_memory_bytes=200 << 20, max_seconds=1.5)
    with ExecutorThread(SimulatorExecutor(1, limits)) as running:
        yield running


@pytest.fixture(scope="module")
def small() -> Iterator[ExecutorThread]:
    """Small results, and time enough to make larger ones on any machine."""
    with ExecutorThread(SimulatorExecutor(1, ExecutionLimits(max_result_bytes=1 << 20))) as running:
        yield running


class TestLimits:
    def test_a_program_that_needs_too_much_memory_fails_alone(self, strict: ExecutorThread) -> None:
        said = reason(strict.execute(task(10), openqasm("qubit[24] q;\nh q;")))
        assert said == "The task needs more memory than a simulator may use."
        assert isinstance(strict.execute(task(10), program(BELL)), ExecutionResult)

    def test_a_program_that_runs_too_long_is_ended(self, strict: ExecutorThread) -> None:
        endless = "qubit[20] q;\nfor int i in [0:300] { h q; }"
        assert reason(strict.execute(task(10), openqasm(endless))) == "The task ran longer than the limit of 1.5 s."
        assert isinstance(strict.execute(task(10), program(BELL)), ExecutionResult)

    def test_a_result_that_is_too_large_is_refused(self, small: ExecutorThread) -> None:
        said = reason(small.execute(task(100_000), program(Circuit().h(range(10)))))
        assert said.startswith("The result is larger than 1 MiB")
        said = reason(small.execute(task(0), program(Circuit().h(range(17)).state_vector())))
        assert said.startswith("The result is larger than 1 MiB")


SLOW = openqasm("qubit q;\nfor int i in [0:999999] { h q; }")


def running(executor: ExecutorThread, submitted: QuantumTask) -> int:
    """The process id of the worker that runs a task, waiting until one does."""

    async def look() -> int | None:
        run = executor.executor._running.get(submitted.id)
        return run.worker.pid if run and run.worker else None

    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if pid := executor.call(look()):
            return pid
        time.sleep(0.01)
    raise AssertionError("no worker took the task")


class TestLife:
    def test_a_cancelled_task_ends_at_once(self, executor: ExecutorThread) -> None:
        submitted = task()
        ending = executor.begin(executor.executor.execute(submitted, SLOW))
        running(executor, submitted)
        executor.call(executor.executor.cancel(submitted.id))
        assert ending.result(5) == ExecutionFailure("The task was cancelled.", cancelled=True)

    def test_a_task_that_waits_for_a_worker_can_be_cancelled(self, executor: ExecutorThread) -> None:
        first, second = task(), task()
        busy = executor.begin(executor.executor.execute(first, SLOW))
        running(executor, first)
        waiting = executor.begin(executor.executor.execute(second, program(BELL)))
        executor.call(executor.executor.cancel(second.id))
        assert waiting.result(5).cancelled  # type: ignore[union-attr]  # a failure, as the next line shows
        executor.call(executor.executor.cancel(first.id))
        assert isinstance(busy.result(5), ExecutionFailure)

    def test_cancelling_an_unknown_task_does_nothing(self, executor: ExecutorThread) -> None:
        executor.call(executor.executor.cancel("no-such-task"))

    def test_a_crash_is_the_failure_of_one_task(self, executor: ExecutorThread) -> None:
        submitted = task()
        ending = executor.begin(executor.executor.execute(submitted, SLOW))
        os.kill(running(executor, submitted), signal.SIGSEGV)
        assert reason(ending.result(10)) == "The simulator ended while it ran this task: it crashed with SIGSEGV."
        assert isinstance(executor.execute(task(), program(BELL)), ExecutionResult)

    def test_a_worker_that_dies_while_idle_is_replaced(self, executor: ExecutorThread) -> None:
        executor.execute(task(), program(BELL))
        [pid] = executor.workers()
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        outcome = executor.execute(task(), program(BELL))
        while isinstance(outcome, ExecutionFailure) and time.monotonic() < deadline:
            outcome = executor.execute(task(), program(BELL))
        assert isinstance(outcome, ExecutionResult)
        assert executor.workers() != [pid]

    def test_an_unknown_device_is_refused(self, executor: ExecutorThread) -> None:
        assert reason(executor.execute(task(device="tn1"), program(BELL))) == "This device is not simulated here."

    @pytest.mark.parametrize(
        ("command", "cause"),
        [
            ([sys.executable, "-c", "import sys; sys.exit(3)"], "it ended with code 3"),
            ([sys.executable, "-c", "print('hello, this is no frame', flush=True); input()"], "it broke the protocol"),
            (["/no/such/python"], "No such file or directory"),
        ],
        ids=["ends", "babbles", "missing"],
    )
    def test_workers_that_cannot_start_fail_the_task(self, command: list[str], cause: str) -> None:
        with ExecutorThread(SimulatorExecutor(1, command=command)) as broken:
            said = reason(broken.execute(task(), program(BELL)))
        assert said.startswith("The simulator could not be started: ")
        assert cause in said

    def test_closing_ends_the_running_task_and_its_worker(self) -> None:
        with ExecutorThread(SimulatorExecutor(1)) as closing:
            submitted = task()
            ending = closing.begin(closing.executor.execute(submitted, SLOW))
            pid = running(closing, submitted)
        assert isinstance(ending.result(5), ExecutionFailure)
        assert gone(pid)

    def test_workers_die_with_a_killed_gateway(self, tmp_path: Path) -> None:
        script = tmp_path / "gateway.py"
        script.write_text(
            "import asyncio, sys\n"
            "from jupyter_qsec.adapters.providers.simulator import SimulatorExecutor\n"
            "async def main():\n"
            "    executor = SimulatorExecutor(1)\n"
            "    await executor.start()\n"
            "    while not executor._idle:\n"
            "        await asyncio.sleep(0.05)\n"
            "    print(executor._idle[0].pid, flush=True)\n"
            "    await asyncio.sleep(600)\n"
            "asyncio.run(main())\n"
        )
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
        with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, env=environment) as gateway:
            assert gateway.stdout is not None
            pid = int(gateway.stdout.readline())
            assert not gone(pid, seconds=0)
            gateway.kill()
        assert gone(pid)


def gone(pid: int, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while True:
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat")
            if state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z":
                return True  # ended; whoever inherited it has not looked yet
        except (ProcessLookupError, FileNotFoundError):
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)

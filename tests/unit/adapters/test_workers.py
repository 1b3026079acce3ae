"""Worker processes: their start, their replacement, and the end of the gateway. The rest is the executor's contract."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_qsec.adapters.providers.simulator import CANCELLED, SimulatorExecutor
from jupyter_qsec.application.ports import ExecutionFailure, ExecutionResult
from tests.fakes.executor_thread import BELL, ExecutorThread, program, reason, task
from tests.fakes.processes import gone


@pytest.fixture(scope="module")
def executor() -> Iterator[ExecutorThread]:
    with ExecutorThread(SimulatorExecutor(1)) as running:
        yield running


class TestLife:
    def test_a_cancelled_execution_that_ends_soon_costs_no_worker(self) -> None:
        with ExecutorThread(SimulatorExecutor(1, grace=60)) as patient:
            patient.execute(task(), program(BELL))
            before, submitted = patient.workers(), task()

            async def cancel_at_once() -> ExecutionResult | ExecutionFailure:
                execution = asyncio.ensure_future(patient.executor.execute(submitted, program(BELL)))
                await asyncio.sleep(0)
                assert patient.executor.busy == 1
                await patient.executor.cancel(submitted.id)
                result: ExecutionResult | ExecutionFailure = await execution
                return result

            assert patient.call(cancel_at_once()) == CANCELLED
            assert patient.workers() == before
            assert isinstance(patient.execute(task(), program(BELL)), ExecutionResult)

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

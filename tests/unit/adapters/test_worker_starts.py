"""When simulator workers start: with the first task, or once the gateway's own start is over."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from jupyter_qsec.adapters.providers import simulator
from jupyter_qsec.adapters.providers.frames import Frame, Kind
from jupyter_qsec.adapters.providers.simulator import SimulatorExecutor
from jupyter_qsec.application.ports import ExecutionResult
from tests.fakes.executor_thread import BELL, program, task


class IdleWorker:
    """A process that answers at once."""

    alive = True

    async def run(self, job: Frame) -> Frame:
        return Frame(Kind.DONE, {"duration_ms": 1}, b"{}")

    async def kill(self) -> None:
        pass


class Starts:
    """Stands for the class of workers, and counts."""

    def __init__(self) -> None:
        self.count = 0

    async def start(self, *_: Any) -> IdleWorker:
        self.count += 1
        return IdleWorker()


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Starts]:
    starts = Starts()
    monkeypatch.setattr(simulator, "Worker", starts)
    yield starts


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_none_starts_beside_the_gateway(starts: Starts) -> None:
    executor = SimulatorExecutor(2, quiet=3600)
    await executor.start()
    await turns()
    assert (starts.count, executor.capacity) == (0, 2)
    await executor.close()


async def test_the_first_tasks_start_all_of_them_once(starts: Starts) -> None:
    executor = SimulatorExecutor(2, quiet=3600)
    await executor.start()
    outcomes = await asyncio.gather(*(executor.execute(task(), program(BELL)) for _ in range(3)))
    assert all(isinstance(outcome, ExecutionResult) for outcome in outcomes)
    assert starts.count == 2
    await executor.close()


async def test_without_a_task_they_start_when_it_has_been_quiet(starts: Starts) -> None:
    executor = SimulatorExecutor(2, quiet=0)
    await executor.start()
    await turns()
    assert starts.count == 2
    assert isinstance(await executor.execute(task(), program(BELL)), ExecutionResult)
    assert starts.count == 2
    await executor.close()


async def test_none_starts_after_the_end(starts: Starts) -> None:
    executor = SimulatorExecutor(2, quiet=0)
    await executor.start()
    await executor.close()
    await turns()
    assert starts.count == 0 and executor._later is None

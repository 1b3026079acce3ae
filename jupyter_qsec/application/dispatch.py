"""Runs accepted tasks in fair turns, in a process that has the store for itself.

A task that was accepted ends exactly once. Whatever the process was doing when it died, `recover` finds the task in the
store and finishes what was begun: a complete result becomes the task's outcome, anything less runs again.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
from collections.abc import Iterator, Sequence

from jupyter_qsec.application.cancelling import cancel
from jupyter_qsec.application.ports import Catalogue, Clock, Executor, Store, TaskQuery
from jupyter_qsec.application.running import MAX_ATTEMPTS, Runner
from jupyter_qsec.application.taskbook import TaskBook
from jupyter_qsec.application.turns import Turns
from jupyter_qsec.domain.task import QuantumTask, TaskPayload, TaskState, WaitReason

_log = logging.getLogger(__name__)

_PAGE = 500


class Dispatcher:
    """Implements `queueing.Dispatch` in memory."""

    def __init__(
        self,
        *,
        store: Store,
        book: TaskBook,
        runner: Runner,
        executor: Executor,
        catalogue: Catalogue,
        clock: Clock,
    ) -> None:
        self._store = store
        self._book = book
        self._runner = runner
        self._executor = executor
        self._clock = clock
        self._turns = Turns(catalogue, executor)
        self._runs: dict[str, asyncio.Task[None]] = {}

    # -- life
    async def start(self) -> None:
        """Start the executor and take up what an earlier process left."""
        await self._executor.start(self._pump)
        await self.pauses_changed()
        await self.recover()

    async def close(self) -> None:
        """Stop. What runs is left as RUNNING in the store, and the next start runs it again."""
        self._runner.closing = True
        await self._executor.close()
        runs = list(self._runs.values())
        if runs:
            _, pending = await asyncio.wait(runs, timeout=5)
            for run in pending:
                run.cancel()
            await asyncio.gather(*pending, return_exceptions=True)

    async def recover(self) -> int:
        """Settle every task that the store holds as not ended; returns how many there were."""
        states = (TaskState.CREATED, TaskState.QUEUED, TaskState.RUNNING, TaskState.CANCELLING)
        found: list[QuantumTask] = []
        before = None
        while page := await self._store.tasks(TaskQuery(states=states, limit=_PAGE, before=before)):
            found += page
            before = (page[-1].created_at, page[-1].id)
        for task in sorted(found, key=lambda task: (task.created_at, task.id)):
            self._book.add(task)
            await self._recover_one(task)
        return len(found)

    async def _recover_one(self, task: QuantumTask) -> None:
        if task.state in (TaskState.RUNNING, TaskState.CANCELLING):
            again = await self._runner.recover(task)
            if again is None:
                return
            task = again
        elif task.state is TaskState.CREATED:
            task = await self._book.change(
                task.id, lambda task: task.moved(TaskState.QUEUED, queued_at=self._clock.now()), lambda task: []
            )
        self.enqueue(task)

    # -- queue
    def admitted(self, task: QuantumTask, *, cost: int) -> QuantumTask:
        """That it runs is recorded with its submission, which spares it a write of its own."""
        if self._runner.closing or not self._turns.take(task, cost):
            return task
        return self._runner.begun(task)

    def withdraw(self, task: QuantumTask) -> None:
        self._turns.leave(task.id)
        self._pump()

    def enqueue(self, task: QuantumTask, payload: TaskPayload | None = None, *, cost: int = 0) -> None:
        self._book.add(task)
        if payload is not None:
            self._runner.keep(task.id, payload)
        if task.state is TaskState.RUNNING:
            self._start(task.id)
        else:
            self._turns.queue(task, cost)
            self._pump()

    def _pump(self) -> None:
        """Start whatever may run now."""
        while not self._runner.closing:
            task_id = self._turns.next()
            if task_id is None:
                return
            self._start(task_id)

    def _start(self, task_id: str) -> None:
        """Let a task that has its turn run. In a context of its own: a run belongs to no request, whichever made room
        for it."""
        if self._runner.closing:
            return  # the next start takes it up
        run = asyncio.get_running_loop().create_task(
            self._run(task_id), name=f"task {task_id}", context=contextvars.Context()
        )
        self._runs[task_id] = run

    async def _run(self, task_id: str) -> None:
        try:
            task = await self._begin(task_id)
            if task is not None:
                await self._runner.carry(task)
        except asyncio.CancelledError:
            raise
        except Exception:  # noqa: BLE001 - a defect here must cost one task, never the dispatcher
            _log.exception("task %s could not be carried through", task_id)
            await self._runner.give_up(task_id, "The gateway failed while it ran the task.")
        finally:
            self._runner.drop(task_id)
            self._runs.pop(task_id, None)
            self._turns.leave(task_id)
            self._pump()

    async def _begin(self, task_id: str) -> QuantumTask | None:
        """The task as one that runs, which is recorded now unless it was with its submission; `None` when it has ended
        meanwhile."""

        def step(task: QuantumTask) -> QuantumTask:
            return self._runner.begun(task) if task.state is TaskState.QUEUED else task

        async def attempt() -> QuantumTask:
            return await self._book.change(task_id, step, lambda task: [self._runner.started_event(task)])

        task = await self._runner.persist(attempt)
        return task if task is not None and not task.state.terminal else None

    # -- asked by others
    async def cancel(self, task_id: str, by: str) -> QuantumTask:
        task = await cancel(self._book, self._clock, task_id, by)
        if task.state is TaskState.CANCELLING and task_id in self._runs:
            await self._executor.cancel(task_id)
        elif task.state is TaskState.CANCELLING:  # nothing of it runs here, or not yet: so nothing ends it but this
            await self._runner.recover(task)
            return await self._book.get(task_id) or task
        else:
            self._turns.leave(task_id)
            self._runner.drop(task_id)
        return task

    async def wait_for_change(self, task: QuantumTask, timeout: float) -> QuantumTask | None:
        await self._book.wait(task.id, timeout)
        return await self._book.get(task.id)

    @contextlib.contextmanager
    def pausing(self, tenant: str) -> Iterator[None]:
        self._turns.held.add(tenant)
        try:
            yield
            self._turns.paused |= {tenant}
        finally:
            self._turns.held.discard(tenant)
            self._pump()

    async def pauses_changed(self) -> None:
        self._turns.paused = frozenset(await self._store.pauses())
        self._pump()

    # -- what is told of the queue
    async def imminent(self, task: QuantumTask) -> bool:
        return self._turns.imminent(task)

    async def position(self, task: QuantumTask) -> int | None:
        return self._turns.position(task)

    async def reasons(self, task: QuantumTask) -> Sequence[WaitReason]:
        return self._turns.reasons(task)

    @property
    def in_charge(self) -> bool:
        return True

    @property
    def load(self) -> tuple[int, int]:
        return self._turns.running, self._turns.waiting

    async def counts(self, tenant: str = "") -> tuple[int, int]:
        live = [task for task in self._book.live() if tenant in ("", task.tenant)]
        running = sum(task.state in (TaskState.RUNNING, TaskState.CANCELLING) for task in live)
        return running, len(live) - running


__all__ = ["MAX_ATTEMPTS", "Dispatcher"]

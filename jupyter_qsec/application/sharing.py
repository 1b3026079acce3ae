"""Runs accepted tasks beside other processes on the same store, where waiting tasks are claimed in fair turns over all.

A worker looks at its claims and at the queue several times a second, at once when a task comes in or ends here, and
counts its beats. Who falls silent loses its claims to whoever sees it first; what had been begun is finished by the
same rules as after a restart. So a task that was accepted ends exactly once, whichever process dies.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace

from jupyter_qsec.application.cancelling import cancel
from jupyter_qsec.application.claims import Claims, Glance, Share
from jupyter_qsec.application.ports import Catalogue, Clock, Executor
from jupyter_qsec.application.running import Runner
from jupyter_qsec.application.taskbook import TaskBook
from jupyter_qsec.application.turns import share_of, soon, wait_reasons
from jupyter_qsec.application.watching import Queue, Watch
from jupyter_qsec.domain.audit import AuditEvent
from jupyter_qsec.domain.errors import ClaimLostError, QsecError
from jupyter_qsec.domain.task import QuantumTask, TaskPayload, TaskState, WaitReason

_log = logging.getLogger(__name__)

BEAT_SECONDS = 1.0
SILENT_BEATS = 6
"""A worker whose count stood still for so many of ours in a row counts as dead."""
LOOK_SECONDS = 0.2
"""How often a worker looks when nothing happens here: how late it hears of a cancellation, or of work that came in
elsewhere while the others were busy."""
_CLOSE_SECONDS = 5.0


class RollCall:
    """Tells from the beats of all who has fallen silent. Each call is one that was answered, so an outage of the store
    makes nobody silent."""

    def __init__(self, patience: int = SILENT_BEATS) -> None:
        self._patience = patience
        self._seen: dict[str, tuple[int, int]] = {}

    def silent(self, beats: Mapping[str, int]) -> list[tuple[str, int]]:
        """Workers and their beats; one that has claims without being on the list (-1) is silent at once."""
        seen: dict[str, tuple[int, int]] = {}
        for worker, count in beats.items():
            before, still = self._seen.get(worker, (count, -1))
            seen[worker] = count, still + 1 if before == count else 0
        self._seen = seen
        return [(worker, count) for worker, (count, still) in seen.items() if count < 0 or still >= self._patience]


class SharedDispatcher:
    """Implements `queueing.Dispatch` over a store that several processes share."""

    def __init__(
        self,
        *,
        claims: Claims,
        book: TaskBook,
        runner: Runner,
        executor: Executor,
        catalogue: Catalogue,
        clock: Clock,
        beat_seconds: float = BEAT_SECONDS,
        look_seconds: float = LOOK_SECONDS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._claims = claims
        self._book = book
        self._runner = runner
        self._executor = executor
        self._catalogue = catalogue
        self._clock = clock
        self._beat_seconds = beat_seconds
        self._look_seconds = look_seconds
        self._sleep = sleep
        self._queue = Queue(claims)
        self._watch = Watch(claims, book)
        self._worker = ""
        self._in_charge = False
        self._roll = RollCall()
        self._runs: dict[str, asyncio.Task[None]] = {}
        self._claiming = asyncio.Lock()
        """Whoever gets claims holds it until their runs are known here."""
        self._work = asyncio.Event()
        """A task came in, or one ended: there may be something to claim."""
        self._loops: Sequence[asyncio.Task[None]] = ()

    # -- life
    async def start(self) -> None:
        await self._executor.start(self._work.set)
        await self._enlist()
        loop = asyncio.get_running_loop()
        self._loops = (
            loop.create_task(self._forever(self._look, self._until_work), name="claims"),
            loop.create_task(self._forever(self._beat, self._until_beat), name="beats"),
        )

    async def close(self) -> None:
        """Stop, and give back what runs here: another worker takes it up at once."""
        self._runner.closing = True
        self._watch.close()
        for task in self._loops:
            task.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await self._executor.close()
        runs = list(self._runs.values())
        if runs:
            _, pending = await asyncio.wait(runs, timeout=_CLOSE_SECONDS)
            for run in pending:
                run.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._give_back()
        except (QsecError, TimeoutError) as error:
            _log.error("claims stay behind, for others to take over: %s", error)

    async def _give_back(self) -> None:
        for task_id in (await self._claims.glance(self._worker)).claims:
            task = await self._book.get(task_id)
            if task is not None:
                await self._runner.give_back(task, claimed_by=self._worker)
        await self._claims.strike_off(self._worker)

    async def _enlist(self) -> None:
        worker = secrets.token_hex(16)
        await self._claims.enlist(worker, self._executor.capacity)
        self._worker, self._in_charge = worker, False

    async def _forever(self, work: Callable[[], Awaitable[None]], pause: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except ClaimLostError as error:
                await self._struck_off(error)
            except QsecError as error:
                _log.error("the store does not serve this worker (%s)", error.code)
            except Exception:  # noqa: BLE001 - a defect here must cost one round, never the worker
                _log.exception("a round of this worker failed")
            await pause()

    async def _struck_off(self, error: ClaimLostError) -> None:
        """Others took this worker for dead and have its tasks: break off what runs, and begin again as a new one."""
        _log.error("%s", error.message)
        for task_id in list(self._runs):
            await self._executor.cancel(task_id)
        try:
            await self._enlist()
        except QsecError as failure:
            _log.error("this worker cannot begin again yet (%s)", failure.code)

    async def _until_work(self) -> None:
        with suppress(TimeoutError):  # not `wait_for`: before 3.12 it swallows a cancellation that comes with the event
            async with asyncio.timeout(self._look_seconds):
                await self._work.wait()

    async def _until_beat(self) -> None:
        await self._sleep(self._beat_seconds)

    # -- claims
    async def _look(self) -> None:
        """End what is to end, start what may start."""
        self._work.clear()
        kept = self._runner.kept
        async with self._claiming:
            await self._settle_claims()
        for task_id in kept - self._runs.keys():  # whoever claims it later reads it
            self._runner.drop(task_id)

    async def _settle_claims(self) -> None:
        running, worker = set(self._runs), self._worker
        glance = await self._claims.glance(worker)
        await self._follow(glance, running)
        for task_id in glance.claims.keys() - running - self._runs.keys():
            # Claimed, but the answer was lost on its way here.
            task = await self._book.get(task_id)
            if task is not None:
                self._launch(task, self._adopt(task, worker))
        capacity = self._executor.capacity
        free = capacity - len(self._runs)
        if glance.waiting and free > 0:
            in_all = capacity if self._executor.common else None
            for task in await self._claims.claim(worker, free, self._share, self._begin, in_all=in_all):
                self._launch(task, self._run(task, worker))

    async def _follow(self, glance: Glance, running: set[str]) -> None:
        """Break off executions that somebody cancelled, and those whose claim is not ours any more."""
        for task_id in running:
            if glance.claims.get(task_id, TaskState.CANCELLING) is TaskState.CANCELLING:
                await self._executor.cancel(task_id)

    async def _beat(self) -> None:
        worker = self._worker
        counts = await self._claims.beat(worker)
        self._in_charge = worker == min(name for name, count in counts.items() if count >= 0)
        for silent, beats in self._roll.silent(counts):
            async with self._claiming:
                for task in await self._claims.take_over(worker, silent, beats):
                    _log.warning("task %s is taken over from worker %s", task.id, silent[:8])
                    self._launch(task, self._adopt(task, worker))

    def _share(self, tenant_id: str) -> Share:
        return share_of(self._catalogue, tenant_id)

    def _begin(self, task: QuantumTask) -> tuple[QuantumTask, list[AuditEvent]]:
        if task.state is TaskState.CREATED:
            task = replace(task, state=TaskState.QUEUED, queued_at=self._clock.now())
        begun = self._runner.begun(task)
        return begun, [self._runner.started_event(begun)]

    def _launch(self, task: QuantumTask, work: Coroutine[None, None, None]) -> None:
        self._book.notify(task.id)
        self._runs[task.id] = asyncio.get_running_loop().create_task(
            work, name=f"task {task.id}", context=contextvars.Context()
        )

    async def _run(self, task: QuantumTask, worker: str) -> None:
        try:
            await self._runner.carry(task, claimed_by=worker)
        except asyncio.CancelledError:
            raise
        except Exception:  # noqa: BLE001 - a defect here must cost one task, never the dispatcher
            _log.exception("task %s could not be carried through", task.id)
            reason = "The gateway failed while it ran the task."
            await self._runner.give_up(task.id, reason, claimed_by=worker)
        finally:
            self._left(task.id)

    async def _adopt(self, task: QuantumTask, worker: str) -> None:
        """Finish what another process had begun; what cannot be finished waits again."""
        try:
            await self._runner.recover(task, claimed_by=worker)
        finally:
            self._left(task.id)

    def _left(self, task_id: str) -> None:
        self._runner.drop(task_id)
        self._runs.pop(task_id, None)
        self._work.set()

    # -- asked by others
    def admitted(self, task: QuantumTask, *, cost: int) -> QuantumTask:
        return task  # whoever claims it first starts it

    def withdraw(self, task: QuantumTask) -> None:
        pass

    def enqueue(self, task: QuantumTask, payload: TaskPayload | None = None, *, cost: int = 0) -> None:
        if payload is not None:
            self._runner.keep(task.id, payload)
        self._work.set()

    async def cancel(self, task_id: str, by: str) -> QuantumTask:
        task = await cancel(self._book, self._clock, task_id, by)
        if task.state is TaskState.CANCELLING and task_id in self._runs:
            await self._executor.cancel(task_id)
        else:
            self._runner.drop(task_id)
        return task

    async def wait_for_change(self, task: QuantumTask, timeout: float) -> QuantumTask | None:
        await self._watch.wait(task, timeout)
        return await self._book.get(task.id)

    def pausing(self, tenant: str) -> AbstractContextManager[None]:
        return nullcontext()  # who claims reads the pauses in the same transaction

    async def pauses_changed(self) -> None:
        self._work.set()

    # -- what is told of the queue
    async def imminent(self, task: QuantumTask) -> bool:
        if task.state in (TaskState.RUNNING, TaskState.CANCELLING):
            return True
        ahead, _ = await self._queue.place(task)
        return ahead is None or soon(ahead, self._share(task.tenant).most_running)

    async def position(self, task: QuantumTask) -> int | None:
        if task.state not in (TaskState.CREATED, TaskState.QUEUED):
            return None
        ahead, _ = await self._queue.place(task)
        return None if ahead is None else ahead + 1

    async def reasons(self, task: QuantumTask) -> Sequence[WaitReason]:
        if task.state not in (TaskState.CREATED, TaskState.QUEUED):
            return ()
        ahead, line = await self._queue.place(task)
        own, cap = line.running.get(task.tenant, 0), self._share(task.tenant).most_running
        capacity = self._executor.capacity
        if not self._executor.common:
            # Workers may have come since this process was put on the list.
            capacity = max(line.capacity, capacity)
        return wait_reasons(task, ahead, own=own, cap=cap, capacity=capacity, obstacle=self._executor.obstacle)

    @property
    def in_charge(self) -> bool:
        return self._in_charge

    @property
    def load(self) -> tuple[int, int]:
        return len(self._runs), 0

    async def counts(self, tenant: str = "") -> tuple[int, int]:
        line = await self._claims.line(tenant)
        running = sum(count for owner, count in line.running.items() if tenant in ("", owner))
        return running, sum(len(waiting) for waiting in line.waiting.values())


__all__ = ["BEAT_SECONDS", "LOOK_SECONDS", "SILENT_BEATS", "RollCall", "SharedDispatcher"]

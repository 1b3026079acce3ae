"""Tasks in memory, written through: the one place in this process that changes a stored task."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from weakref import WeakValueDictionary

from jupyter_qsec.application.ports import Store
from jupyter_qsec.domain.audit import AuditEvent
from jupyter_qsec.domain.errors import ConflictError, NotFoundError, RecordingError
from jupyter_qsec.domain.quota import Charge
from jupyter_qsec.domain.task import QuantumTask

Step = Callable[[QuantumTask], QuantumTask]
Events = Callable[[QuantumTask], Sequence[AuditEvent]]

_ATTEMPTS = 3


class TaskBook:
    """Reads come from memory while a task lives and for a while after; every change goes to the store first."""

    def __init__(self, store: Store, *, keep_ended: int = 4096, shared: bool = False) -> None:
        """`shared`: other processes change tasks as well, so nothing is remembered and every read is the store's."""
        self._store = store
        self._shared = shared
        self._keep_ended = keep_ended
        self._live: dict[str, QuantumTask] = {}
        self._ended: OrderedDict[str, QuantumTask] = OrderedDict()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    def add(self, task: QuantumTask) -> None:
        """Remember a task as it is stored."""
        if self._shared:
            return
        known = self.known(task.id)
        if known is not None and known.revision > task.revision:
            return
        if task.state.terminal:
            self._live.pop(task.id, None)
            self._ended[task.id] = task
            while len(self._ended) > self._keep_ended:
                self._ended.popitem(last=False)
        else:
            self._live[task.id] = task

    def known(self, task_id: str) -> QuantumTask | None:
        """The task if it is in memory."""
        return self._live.get(task_id) or self._ended.get(task_id)

    def live(self) -> Sequence[QuantumTask]:
        """Every task in memory that has not ended."""
        return tuple(self._live.values())

    async def get(self, task_id: str) -> QuantumTask | None:
        task = self.known(task_id)
        if task is None:
            task = await self._store.task(task_id)
            if task is not None:
                self.add(task)
                task = self.known(task_id) or task
        return task

    async def change(
        self,
        task_id: str,
        step: Step,
        events: Events,
        *,
        settle: Callable[[QuantumTask], Sequence[Charge] | None] | None = None,
        claimed_by: str = "",
    ) -> QuantumTask:
        """Store what `step` makes of the task, with its events. A step that returns its argument changes nothing.
        `claimed_by` is the worker that writes as the holder of the task's claim.

        `NotFoundError`; `ClaimLostError`; whatever `step` raises; `RecordingError` when it is certain that nothing was
        stored."""
        lock = self._locks.setdefault(task_id, asyncio.Lock())
        async with lock:
            for attempt in range(_ATTEMPTS):
                current = await self.get(task_id)
                if current is None:
                    raise NotFoundError("The task was not found.")
                changed = step(current)
                if changed is current:
                    return current
                try:
                    settled = settle(changed) if settle else None
                    await self._store.put_task(changed, events(changed), settle=settled, claimed_by=claimed_by)
                except ConflictError:  # somebody else wrote: look again
                    self._forget(task_id)
                    if attempt == _ATTEMPTS - 1:
                        raise
                    continue
                except RecordingError:  # the outcome may be unknown: reading tells
                    self._forget(task_id)
                    stored = await self._store.task(task_id)
                    if stored is None or (stored.revision, stored.state) != (changed.revision, changed.state):
                        raise
                self.add(changed)
                self.notify(task_id)
                return changed
            raise AssertionError("unreachable")

    async def wait(self, task_id: str, timeout: float) -> None:
        """Return at the task's next change here, or after `timeout` seconds."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(task_id, set())
        waiting.add(future)
        try:
            await asyncio.wait_for(future, timeout)
        except TimeoutError:
            pass
        finally:
            waiting.discard(future)
            if not waiting:
                self._waiting.pop(task_id, None)

    def notify(self, task_id: str) -> None:
        """Wake all who wait for a change of the task."""
        for future in self._waiting.get(task_id, ()):
            if not future.done():
                future.set_result(None)

    def _forget(self, task_id: str) -> None:
        self._live.pop(task_id, None)
        self._ended.pop(task_id, None)

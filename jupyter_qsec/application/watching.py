"""How a process sees what others do with tasks: those that somebody waits for here, and the queue as people see it."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from time import monotonic

from jupyter_qsec.application.claims import Claims, Line
from jupyter_qsec.application.taskbook import TaskBook
from jupyter_qsec.domain.errors import QsecError
from jupyter_qsec.domain.task import QuantumTask

_log = logging.getLogger(__name__)

TICK_SECONDS = 0.02
_TICK_WHEN_AWAY = 0.5
LINE_SECONDS = 0.5
"""How old the picture of the queue may be."""
_TENANTS = 1000


class Watch:
    """Looks at the tasks that somebody waits for, with one query for all of them, while somebody waits."""

    def __init__(self, claims: Claims, book: TaskBook, *, tick: float = TICK_SECONDS) -> None:
        self._claims = claims
        self._book = book
        self._tick = tick
        self._revisions: dict[str, int] = {}
        self._waiters: Counter[str] = Counter()
        self._looking: asyncio.Task[None] | None = None

    def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()

    async def wait(self, task: QuantumTask, timeout: float) -> None:
        """Return when the task has changed, wherever, or after `timeout` seconds."""
        self._waiters[task.id] += 1
        self._revisions[task.id] = max(task.revision, self._revisions.get(task.id, 0))
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look(), name="watch")
        try:
            await self._book.wait(task.id, timeout)
        finally:
            self._waiters[task.id] -= 1
            if not self._waiters[task.id]:
                del self._waiters[task.id], self._revisions[task.id]

    async def _look(self) -> None:
        while self._revisions:
            pause = self._tick
            try:
                for task_id, revision in (await self._claims.revisions(list(self._revisions))).items():
                    if revision > self._revisions.get(task_id, revision):
                        self._revisions[task_id] = revision
                        self._book.notify(task_id)
            except QsecError as error:
                _log.warning("tasks cannot be watched (%s)", error.code)
                pause = _TICK_WHEN_AWAY
            await asyncio.sleep(pause)


class Queue:
    """The queue of each tenant as it was moments ago."""

    def __init__(self, claims: Claims, *, timer: Callable[[], float] = monotonic) -> None:
        self._claims = claims
        self._timer = timer
        self._lines: dict[str, tuple[float, Line]] = {}

    async def place(self, task: QuantumTask) -> tuple[int | None, Line]:
        """How many of the tenant's tasks wait before this one, `None` when it is not in the line; and the line."""
        known = self._lines.get(task.tenant)
        if known is not None and self._timer() - known[0] < LINE_SECONDS:
            ahead = _ahead(known[1], task)
            if ahead is not None:
                return ahead, known[1]
        if len(self._lines) >= _TENANTS:
            self._lines.clear()
        line = await self._claims.line(task.tenant)
        self._lines[task.tenant] = self._timer(), line
        return _ahead(line, task), line


def _ahead(line: Line, task: QuantumTask) -> int | None:
    waiting = line.waiting.get(task.tenant, ())
    return waiting.index(task.id) if task.id in waiting else None

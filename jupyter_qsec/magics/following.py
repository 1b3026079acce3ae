"""Follows tasks to their end over the control API, which also says why a task waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from jupyter_qsec.magics.control import Control
from jupyter_qsec.magics.problems import QsubmitError

T = TypeVar("T")
TERMINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED"})
PATIENCE_SECONDS = 120.0
"""How long a gateway may be away in the middle of a task: it is started again and goes on with the task."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.5


class Follower:
    """Polls quickly at first, then ever more slowly."""

    def __init__(
        self,
        control: Control,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._control = control
        self._clock = clock
        self._sleep = sleep

    def follow(self, task_id: str, changed: Callable[[Mapping[str, Any]], None]) -> Mapping[str, Any]:
        """The task in its last state; `changed` is called with every state seen."""
        for task in self._looks(lambda: self._control.task(task_id)):
            changed(task)
            if task["state"] in TERMINAL:
                return task
        raise AssertionError("looking never ends")

    def follow_all(
        self, task_ids: Iterable[str], ended: Callable[[Mapping[str, Any]], None], tick: Callable[[], None]
    ) -> None:
        """Calls `ended` once for each task when it has ended, and `tick` after every look."""
        open_ids = set(task_ids)
        for tasks in self._looks(lambda: self._look_at(open_ids)):
            for task in tasks:
                if task["state"] in TERMINAL and task["id"] in open_ids:
                    open_ids.discard(task["id"])
                    ended(task)
            tick()
            if not open_ids:
                return

    def _look_at(self, open_ids: set[str]) -> list[dict[str, Any]]:
        """All open tasks with one request where the list of the newest tasks holds them."""
        newest = {task["id"]: task for task in self._control.tasks(limit=1000)}
        return [newest[task_id] if task_id in newest else self._control.task(task_id) for task_id in open_ids]

    def _looks(self, look: Callable[[], T]) -> Iterator[T]:
        pause, last_answer = _FIRST_PAUSE, self._clock()
        while True:
            try:
                seen = look()
            except QsubmitError as problem:
                if problem.code != "unavailable" or self._clock() - last_answer > PATIENCE_SECONDS:
                    raise
            else:
                last_answer = self._clock()
                yield seen
            self._sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 1.5)

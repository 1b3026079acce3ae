"""The shared queue in the database: claims in fair turns, beats, and what comes of a worker that fell silent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar

from jupyter_qsec.adapters.store import rows, tables
from jupyter_qsec.adapters.store.claimstatements import TOGETHER
from jupyter_qsec.adapters.store.operations import Operation, replace
from jupyter_qsec.adapters.store.session import Session
from jupyter_qsec.adapters.store.writer import Writer
from jupyter_qsec.application.claims import Begin, Glance, Line, Share
from jupyter_qsec.domain.audit import canonical_leaf
from jupyter_qsec.domain.errors import ClaimLostError
from jupyter_qsec.domain.fairness import finish_tag, start_tag
from jupyter_qsec.domain.task import QuantumTask, TaskState

_VIRTUAL_TIME = ""
"""Its row among the flows; no tenant has an empty name."""
_UNIT = 1000
"""Tags are stored as whole thousandths of a millisecond."""
NOT_ON_LIST = -1

Answer = TypeVar("Answer")


class Read(Protocol):
    def __call__(self, question: Callable[[Session], Answer], *, snapshot: bool = True) -> Awaitable[Answer]: ...


class SqlClaims:
    """Implements the `Claims` port on the store's writer and readers."""

    def __init__(self, writer: Writer, read: Read) -> None:
        self._writer = writer
        self._read = read

    async def enlist(self, worker: str, capacity: int) -> None:
        await self._writer.commit(_Enlist(worker, capacity))

    async def beat(self, worker: str) -> Mapping[str, int]:
        found: Mapping[str, int] = await self._writer.commit(_Beat(worker))
        return found

    async def strike_off(self, worker: str) -> None:
        await self._writer.commit(_StrikeOff(worker))

    async def claim(
        self, worker: str, most: int, share_of: Callable[[str], Share], begin: Begin, *, in_all: int | None = None
    ) -> Sequence[QuantumTask]:
        claimed: Sequence[QuantumTask] = await self._writer.commit(_Claim(worker, most, share_of, begin, in_all))
        return claimed

    async def take_over(self, worker: str, silent: str, beats: int) -> Sequence[QuantumTask]:
        taken: Sequence[QuantumTask] = await self._writer.commit(_TakeOver(worker, silent, beats))
        return taken

    async def glance(self, worker: str) -> Glance:
        def look(session: Session) -> Glance:
            statements = session.statements.claims
            claims = {
                task_id: TaskState(state) for task_id, state in session.execute(statements.claims, {"worker": worker})
            }
            return Glance(claims, bool(session.execute(statements.waits, {})))

        return await self._read(look)

    async def line(self, tenant: str = "") -> Line:
        def look(session: Session) -> Line:
            statements = session.statements.claims
            waiting: dict[str, list[str]] = {}
            for owner, task_id in session.execute(statements.line, {"tenant": tenant, "every": int(not tenant)}):
                waiting.setdefault(owner, []).append(task_id)
            running = _pairs(session.execute(statements.running, {}))
            return Line(waiting, running, int(session.execute(statements.capacity, {})[0][0]))

        return await self._read(look)

    async def time(self) -> datetime:
        def look(session: Session) -> datetime:
            return rows.moment(int(session.execute(session.statements.claims.time, {})[0][0]))

        return await self._read(look, snapshot=False)

    async def revisions(self, task_ids: Sequence[str]) -> Mapping[str, int]:
        def look(session: Session) -> Mapping[str, int]:
            found: dict[str, int] = {}
            for start in range(0, len(task_ids), TOGETHER):
                some = task_ids[start : start + TOGETHER]
                values = {f"task_{number}": some[number % len(some)] for number in range(TOGETHER)}
                found.update(session.execute(session.statements.claims.revisions, values))
            return found

        return await self._read(look, snapshot=False)


class _Enlist(Operation):
    def __init__(self, worker: str, capacity: int) -> None:
        super().__init__([])
        self._values = {"worker": worker, "capacity": capacity}

    def apply(self, session: Session) -> None:
        session.execute(session.statements.claims.enlist, self._values)


class _StrikeOff(Operation):
    def __init__(self, worker: str) -> None:
        super().__init__([])
        self._values = {"worker": worker}

    def apply(self, session: Session) -> None:
        session.execute(session.statements.claims.strike_off, self._values)


class _Beat(Operation):
    def __init__(self, worker: str) -> None:
        super().__init__([])
        self._values = {"worker": worker}

    def apply(self, session: Session) -> Mapping[str, int]:
        statements = session.statements.claims
        if not session.execute(statements.beat, self._values):
            raise _struck_off(self._values["worker"])
        lost = {worker: NOT_ON_LIST for (worker,) in session.execute(statements.lost, {})}
        return lost | _pairs(session.execute(statements.roll, {}))


class _TakeOver(Operation):
    def __init__(self, worker: str, silent: str, beats: int) -> None:
        super().__init__([])
        self._values = {"worker": worker, "silent": silent}
        self._beats = beats

    def apply(self, session: Session) -> Sequence[QuantumTask]:
        statements = session.statements.claims
        _require_on_list(session, self._values["worker"])
        silent = {"worker": self._values["silent"]}
        found = session.execute(statements.on_list, silent)
        if (found[0][0] if found else NOT_ON_LIST) != self._beats:
            return []
        session.execute(statements.strike_off, silent)
        taken = session.execute(statements.pass_on, self._values)
        return [_task(session, task_id) for (task_id,) in taken]


class _Claim(Operation):
    """Takes tasks in the order of `domain.fairness.FairQueue`, whose state lies in the tables."""

    def __init__(
        self, worker: str, most: int, share_of: Callable[[str], Share], begin: Begin, in_all: int | None
    ) -> None:
        super().__init__([])
        self._worker = worker
        self._most = most
        self._share_of = share_of
        self._begin = begin
        self._in_all = in_all

    def apply(self, session: Session) -> Sequence[QuantumTask]:
        self.leaves = []
        statements = session.statements.claims
        _require_on_list(session, self._worker)
        running = Counter(_pairs(session.execute(statements.running, {})))
        finish = _pairs(session.execute(statements.flows, {}))
        paused = {tenant for (tenant,) in session.execute(statements.paused, {})}

        def may_start(tenant: str) -> bool:
            return tenant not in paused and running[tenant] < self._share_of(tenant).most_running

        room = self._most if self._in_all is None else min(self._most, self._in_all - running.total())
        claimed: list[QuantumTask] = []
        while len(claimed) < room:
            heads = session.mappings(statements.heads, {})
            ready = [head for head in heads if may_start(head["tenant"])]
            if not ready:
                break
            head = min(ready, key=lambda head: (_start(head, finish), head["queued_at"], head["task_id"]))
            claimed.append(self._take(session, head, finish))
            running[head["tenant"]] += 1
        if claimed and not session.execute(statements.waits, {}):
            _forgive(session, finish)
        return claimed

    def _take(self, session: Session, head: rows.Row, finish: dict[str, int]) -> QuantumTask:
        statements, tenant = session.statements, head["tenant"]
        session.execute(statements.claims.take, {"claimed_task": head["task_id"], "worker": self._worker})
        start = _start(head, finish)
        weight = self._share_of(tenant).weight
        finish[tenant] = int(finish_tag(start, _UNIT * head["cost"], weight))
        finish[_VIRTUAL_TIME] = max(finish.get(_VIRTUAL_TIME, 0), start)
        for flow in (tenant, _VIRTUAL_TIME):
            session.execute(statements.claims.move_flow, {"tenant": flow, "finish": finish[flow]})
        task, events = self._begin(_task(session, head["task_id"]))
        replace(session, statements.replace_task, "task", rows.task_row(task), "tenant")
        self.leaves += [canonical_leaf(event) for event in events]
        return task


def _start(head: rows.Row, finish: Mapping[str, int]) -> int:
    return int(start_tag(head["arrived"], finish.get(head["tenant"], 0)))


def _forgive(session: Session, finish: Mapping[str, int]) -> None:
    """When nobody waits any more, the next busy period starts afresh for all."""
    latest = max(finish.values())
    session.execute(session.statements.claims.move_flow, {"tenant": _VIRTUAL_TIME, "finish": latest})


def _pairs(rows_of_two: Sequence[Sequence[Any]]) -> dict[str, int]:
    return {str(name): int(value) for name, value in rows_of_two}


def _task(session: Session, task_id: str) -> QuantumTask:
    return rows.task_from(session.mappings(session.statements.task, {"id": task_id})[0])


def _require_on_list(session: Session, worker: str) -> None:
    if not session.execute(session.statements.claims.on_list, {"worker": worker}):
        raise _struck_off(worker)


def _struck_off(worker: str) -> ClaimLostError:
    return ClaimLostError(f"Worker {worker[:8]} counts as dead: others have its tasks.")


class QueueUnfinished(Operation):
    """Puts tasks into the queue that are not there although they have not ended, such as those of a gateway that had
    the database for itself. What somebody ran is claimed by nobody on the list, so that a worker takes it over."""

    def __init__(self) -> None:
        super().__init__([])

    def apply(self, session: Session) -> None:
        found = session.mappings(session.statements.claims.unfinished, {})
        waiting = (TaskState.CREATED, TaskState.QUEUED)
        missing = [
            {
                "task_id": task["id"],
                "tenant": task["tenant"],
                "queued_at": task["queued_at"] or task["created_at"],
                "cost": 1,
                "arrived": 0,
                "claimed_by": "" if task["state"] in waiting else "unknown",
            }
            for task in found
        ]
        session.insert_rows(tables.task_queue, missing)

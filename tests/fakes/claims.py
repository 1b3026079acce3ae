"""Claims and signatures in memory, beside a `FakeStore`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from jupyter_qsec.application.claims import Begin, Glance, Line, Share
from jupyter_qsec.domain.errors import ClaimLostError, ConflictError, UnavailableError
from jupyter_qsec.domain.fairness import FairQueue
from jupyter_qsec.domain.task import QuantumTask

if TYPE_CHECKING:
    from tests.fakes.store import FakeStore


class FakeClaims:
    """Implements the `Claims` port. `waiting` and `holder` are kept by the store's writes."""

    def __init__(self, store: FakeStore) -> None:
        self._store = store
        self._fair = FairQueue()
        self._cost: dict[str, float] = {}
        self._beats: dict[str, int] = {}
        self._capacity: dict[str, int] = {}
        self.waiting: dict[str, QuantumTask] = {}
        self.holder: dict[str, str] = {}

    # -- kept by the store
    def arrive(self, task: QuantumTask, cost: float) -> None:
        self.waiting[task.id] = task
        self._cost[task.id] = max(1, cost)

    def require_holder(self, task_id: str, claimed_by: str) -> None:
        if claimed_by and self.holder.get(task_id) != claimed_by:
            raise ClaimLostError("The claim was lost.")

    def changed(self, task: QuantumTask, claimed_by: str) -> None:
        if task.state.terminal:
            self.waiting.pop(task.id, None)
            self.holder.pop(task.id, None)
            self._fair.remove(task.id)
        elif claimed_by and task.state == "QUEUED":
            del self.holder[task.id]
            self.waiting[task.id] = task
            for other in self.waiting:  # all are pushed again, in their order
                self._fair.remove(other)

    # -- the port
    async def enlist(self, worker: str, capacity: int) -> None:
        self._writable()
        if worker in self._beats:
            raise ConflictError("There is such a worker.")
        self._beats[worker], self._capacity[worker] = 0, capacity

    async def beat(self, worker: str) -> Mapping[str, int]:
        self._require(worker)
        self._beats[worker] += 1
        return {**dict.fromkeys(self.holder.values(), -1), **self._beats}

    async def strike_off(self, worker: str) -> None:
        self._writable()
        self._beats.pop(worker, None)
        self._capacity.pop(worker, None)

    async def claim(
        self, worker: str, most: int, share_of: Callable[[str], Share], begin: Begin, *, in_all: int | None = None
    ) -> Sequence[QuantumTask]:
        self._require(worker)
        for task in sorted(self.waiting.values(), key=lambda task: (task.queued_at or task.created_at, task.id)):
            share = share_of(task.tenant)
            self._fair.push(task.tenant, task.id, cost=self._cost[task.id], weight=share.weight)
        running = self._running()
        room = most if in_all is None else min(most, in_all - running.total())
        claimed: list[QuantumTask] = []
        while len(claimed) < room:
            found = self._fair.pop(lambda tenant: self._may_start(tenant, running, share_of(tenant)))
            if found is None:
                break
            del self.waiting[found]
            self.holder[found] = worker
            task, events = begin(self._store.stored(found))
            await self._store.put_task(task, events)
            running[task.tenant] += 1
            claimed.append(task)
        return claimed

    def _may_start(self, tenant: str, running: Counter[str], share: Share) -> bool:
        return tenant not in self._store.paused and running[tenant] < share.most_running

    async def take_over(self, worker: str, silent: str, beats: int) -> Sequence[QuantumTask]:
        self._require(worker)
        if self._beats.get(silent, -1) != beats:
            return []
        await self.strike_off(silent)
        taken = [task_id for task_id, holder in self.holder.items() if holder == silent]
        for task_id in taken:
            self.holder[task_id] = worker
        return [self._store.stored(task_id) for task_id in taken]

    async def glance(self, worker: str) -> Glance:
        mine = [task_id for task_id, holder in self.holder.items() if holder == worker]
        return Glance({task_id: self._store.stored(task_id).state for task_id in mine}, bool(self.waiting))

    async def time(self) -> datetime:
        return datetime.now(UTC)

    async def line(self, tenant: str = "") -> Line:
        waiting: dict[str, list[str]] = {}
        for task in sorted(self.waiting.values(), key=lambda task: (task.queued_at or task.created_at, task.id)):
            if tenant in ("", task.tenant):
                waiting.setdefault(task.tenant, []).append(task.id)
        return Line(waiting, self._running(), sum(self._capacity.values()))

    async def revisions(self, task_ids: Sequence[str]) -> Mapping[str, int]:
        return {task_id: task.revision for task_id in task_ids if (task := await self._store.task(task_id))}

    # -- inside
    def _running(self) -> Counter[str]:
        return Counter(self._store.stored(task_id).tenant for task_id in self.holder)

    def _writable(self) -> None:
        if self._store.fail_with is not None:
            raise self._store.fail_with

    def _require(self, worker: str) -> None:
        self._writable()
        if worker not in self._beats:
            raise ClaimLostError("The worker is not on the list.")


class FakeSignatures:
    """Implements the `Signatures` port; `now` is its clock."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)
        self.away = False
        self._seen: dict[bytes, tuple[datetime, datetime]] = {}

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    async def first_seen(self, signature: bytes, signed_at: datetime) -> float | None:
        if self.away:
            raise UnavailableError("The database is away.")
        if signature not in self._seen:
            self._seen[signature] = signed_at, self.now
            return None
        return (self.now - self._seen[signature][1]).total_seconds()

    async def forget(self, signed_before: datetime) -> None:
        self._seen = {key: value for key, value in self._seen.items() if value[0] >= signed_before}

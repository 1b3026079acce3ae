"""Start-time fair queueing: tenants share a resource by weight and cost, whatever they pile up.

P. Goyal, H. M. Vin, H. Cheng, "Start-time Fair Queueing", IEEE/ACM Transactions on Networking 5(5), 1997. Each item's
start tag is the later of the virtual time at its arrival and its tenant's last finish tag; the smallest start tag goes
next and becomes the virtual time. Tags are given when an item becomes its tenant's first, so items that are taken back
before their turn cost nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field


def start_tag(arrived_at: float, finish: float) -> float:
    """The start tag of a flow's first item: the later of the virtual time at its arrival and the flow's finish tag."""
    return max(arrived_at, finish)


def finish_tag(start: float, cost: float, weight: float) -> float:
    """The flow's finish tag when the item with that start tag goes."""
    return start + cost / max(weight, 1e-9)


@dataclass(slots=True)
class _Waiting:
    cost: float
    arrived_at: float
    """Virtual time of arrival."""
    order: int


@dataclass(slots=True)
class _Flow:
    weight: float
    finish: float = 0.0
    """Finish tag of the item that went last."""
    waiting: OrderedDict[str, _Waiting] = field(default_factory=OrderedDict)

    def start_tag(self) -> tuple[float, int]:
        first = next(iter(self.waiting.values()))
        return start_tag(first.arrived_at, self.finish), first.order


class FairQueue:
    """A queue of item ids by tenant. Deterministic; costs are in any one unit, here milliseconds of simulator time."""

    def __init__(self) -> None:
        self._flows: dict[str, _Flow] = {}
        self._tenant_of: dict[str, str] = {}
        self._virtual_time = 0.0
        self._order = 0

    def __len__(self) -> int:
        return len(self._tenant_of)

    def __contains__(self, item: str) -> bool:
        return item in self._tenant_of

    def push(self, tenant: str, item: str, *, cost: float, weight: float = 1.0) -> None:
        """Add an item at the end of its tenant's line. A second push of the same item changes nothing."""
        if item in self._tenant_of:
            return
        flow = self._flows.setdefault(tenant, _Flow(weight))
        flow.weight = max(weight, 1e-9)
        self._order += 1
        flow.waiting[item] = _Waiting(max(cost, 1e-9), self._virtual_time, self._order)
        self._tenant_of[item] = tenant

    def pop(self, may_run: Callable[[str], bool] = lambda tenant: True) -> str | None:
        """The next item of the tenants for which `may_run` holds, or `None`."""
        ready = [(flow.start_tag(), tenant) for tenant, flow in self._flows.items() if flow.waiting and may_run(tenant)]
        if not ready:
            return None
        (start, _), tenant = min(ready)
        flow = self._flows[tenant]
        item, waiting = flow.waiting.popitem(last=False)
        del self._tenant_of[item]
        flow.finish = finish_tag(start, waiting.cost, flow.weight)
        self._virtual_time = max(self._virtual_time, start)
        self._forget_idle()
        return item

    def remove(self, item: str) -> bool:
        """Take an item back; `False` when it does not wait."""
        tenant = self._tenant_of.pop(item, None)
        if tenant is None:
            return False
        del self._flows[tenant].waiting[item]
        self._forget_idle()
        return True

    def ahead(self, item: str) -> int | None:
        """How many items of the *same tenant* are before this one; `None` when it does not wait. O(length)."""
        tenant = self._tenant_of.get(item)
        if tenant is None:
            return None
        return next(n for n, waiting in enumerate(self._flows[tenant].waiting) if waiting == item)

    def waiting(self, tenant: str) -> int:
        """How many items of a tenant wait."""
        flow = self._flows.get(tenant)
        return len(flow.waiting) if flow else 0

    def _forget_idle(self) -> None:
        """When nobody waits any more, let the next busy period start afresh."""
        if self._tenant_of:
            return
        self._virtual_time = max([self._virtual_time, *(flow.finish for flow in self._flows.values())])
        self._flows.clear()

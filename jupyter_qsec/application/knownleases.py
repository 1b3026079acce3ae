"""Leases as this process knows them, so that most calls need no store."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from jupyter_qsec.application import tokens
from jupyter_qsec.application.ports import Store
from jupyter_qsec.domain.lease import Lease

MOST = 10_000


class KnownLeases:
    """The leases used last."""

    def __init__(self, store: Store, fresh_seconds: float | None, timer: Callable[[], float]) -> None:
        """`fresh_seconds`: what was read so long ago is read again; `None`: nobody else changes leases."""
        self._store = store
        self._fresh_seconds = fresh_seconds
        self._timer = timer
        self._cache: OrderedDict[str, Lease] = OrderedDict()
        self._read_at: dict[str, float] = {}

    async def get(self, lease_id: str) -> Lease | None:
        """As it is now, or was within `fresh_seconds`."""
        lease = self._cache.get(lease_id)
        if lease is not None and self._is_fresh(lease):
            self._cache.move_to_end(lease_id)
            return lease
        if not tokens.is_lease_id(lease_id):
            return None
        asked_at = self._timer()
        lease = await self._store.lease(lease_id)
        return None if lease is None else self.remember(lease, asked_at)

    def last(self, lease_id: str) -> Lease | None:
        """As it was known last, however long ago."""
        return self._cache.get(lease_id)

    def remember(self, lease: Lease, at: float | None = None) -> Lease:
        """Keep the newer of what is known and what was read at that time: a slow read must not undo a revocation."""
        known = self._cache.get(lease.id)
        if known is None or known.revision <= lease.revision:
            self._read_at[lease.id] = self._timer() if at is None else at
        if known is not None and known.revision >= lease.revision:
            return known
        self._cache[lease.id] = lease
        while len(self._cache) > MOST:
            old, _ = self._cache.popitem(last=False)
            self._read_at.pop(old, None)
        return lease

    def _is_fresh(self, lease: Lease) -> bool:
        """Whether it may be used as it is known. A revoked lease stays revoked."""
        if self._fresh_seconds is None or lease.revoked_at is not None:
            return True
        return 0 <= self._timer() - self._read_at[lease.id] < self._fresh_seconds

"""Leases end with the people and services that hold them: who is deleted at the identity source holds none for long."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from time import monotonic

from jupyter_qsec.application.leasing import Leasing
from jupyter_qsec.application.ports import Clock, Roster, Store
from jupyter_qsec.application.queueing import Dispatch
from jupyter_qsec.domain.principal import Principal

_log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How often the identity source is asked."""
_REST, _LONGEST_REST = 4.0, 5.0
"""A look that took long is followed by a rest of so many times that long: the source has more to do than this. So many
seconds are rest enough, lest those who are gone work on."""


class Departures:
    """Looks whether the identity source still knows those who hold active leases, and ends what the others hold.

    An identity source that is away ends nobody's: leases that nobody renews expire anyway."""

    def __init__(
        self,
        *,
        store: Store,
        leasing: Leasing,
        roster: Roster,
        dispatcher: Dispatch,
        clock: Clock,
        actor: Principal,
        timer: Callable[[], float] = monotonic,
    ) -> None:
        """`actor`: who ends leases, for the record."""
        self._store = store
        self._leasing = leasing
        self._roster = roster
        self._dispatcher = dispatcher
        self._clock = clock
        self._actor = actor
        self._timer = timer
        self._rests_until = -math.inf
        self._problem = ""

    async def look(self) -> None:
        """One look, unless another process looks or this one rests. Errors are those of the store."""
        began = self._timer()
        if began < self._rests_until or not self._dispatcher.in_charge:
            return
        holders = await self._store.holders(self._clock.now())
        if not holders:
            return
        found = await self._roster.departed(holders)
        ended = self._timer()
        self._rests_until = ended + min(_REST * (ended - began), _LONGEST_REST)
        self._tell(found.problem)
        for holder in found.gone:
            _log.warning("%s is no longer known to the hub: its leases end", holder.principal)
            kind = "service" if holder.principal.startswith("service:") else "person"
            await self._leasing.end(self._actor, holder, f"the {kind} is no longer known to the hub")

    def _tell(self, problem: str) -> None:
        """Once for as long as it lasts."""
        if problem != self._problem:
            if problem:
                _log.warning("leases of people who are gone end no sooner than they expire: %s", problem)
            else:
                _log.info("the hub tells again who is gone")
        self._problem = problem

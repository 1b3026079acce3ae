"""The Dask workers that take our jobs: which there are, and which have room."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from distributed import Client


class Loss(Enum):
    """Why nothing is heard of a job any more."""

    WORKER = "worker"
    CONNECTION = "connection"


@dataclass(slots=True, eq=False)
class Member:
    """A Dask worker that is ready, as long as it stays."""

    client: Client
    """The connection that knows it."""
    address: str
    id: str
    """Random: another one when it was started again at its address."""
    threads: int
    """So many jobs it runs at once."""
    open: bool = True
    """Whether it takes new jobs: not when it is about to leave, or short of memory."""
    busy: int = 0
    """Jobs of this process."""
    others: int = 0
    """Jobs of other processes, when somebody looked last."""
    lost: asyncio.Future[Loss] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def room(self) -> int:
        return self.threads - self.busy if self.open else 0


class Crew:
    """Members come and go at any time; `take` waits for one with room."""

    def __init__(self) -> None:
        self.on_room: Callable[[], None] = lambda: None
        self._members: dict[str, Member] = {}
        self._changed = asyncio.Event()

    @property
    def capacity(self) -> int:
        return sum(member.threads for member in self._members.values() if member.open)

    def __contains__(self, address: str) -> bool:
        return address in self._members

    def join(self, member: Member) -> None:
        self._members[member.address] = member
        self._wake()
        self.on_room()

    def keep(self, present: Mapping[str, bool]) -> None:
        """Only those are there, by their addresses; the values say which are open."""
        before = self.capacity
        for member in list(self._members.values()):
            if member.address not in present:
                self.lose(member, Loss.WORKER)
            else:
                member.open = present[member.address]
        self._wake()
        if self.capacity > before:
            self.on_room()

    def disband(self) -> None:
        """The connection is gone, and all members with it."""
        for member in list(self._members.values()):
            self.lose(member, Loss.CONNECTION)

    def weigh(self, jobs: Mapping[str, int]) -> None:
        """So many jobs each member has, of whomever, by address."""
        for member in self._members.values():
            member.others = max(0, jobs.get(member.address, 0) - member.busy)

    async def take(self) -> Member:
        """The member with the most room, of several the one that has rested longest: it has a simulator that is ready.
        Jobs of others count when it is chosen, but nobody waits for their end, of which nobody hears. The taker gives
        it back."""
        while True:
            free = [member for member in self._members.values() if member.room > 0]
            best = max(free, key=lambda member: member.room - member.others, default=None)
            if best is not None:
                best.busy += 1
                return best
            await self._changed.wait()

    def give(self, member: Member) -> None:
        member.busy -= 1
        if self._members.get(member.address) is member:
            del self._members[member.address]
            self._members[member.address] = member
        self._wake()

    def lose(self, member: Member, loss: Loss) -> None:
        if self._members.get(member.address) is member:
            del self._members[member.address]
        if not member.lost.done():
            member.lost.set_result(loss)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

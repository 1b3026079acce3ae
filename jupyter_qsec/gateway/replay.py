"""Replays: a signature counts once, with one narrow exception that honest clients need.

A SigV4 signature has a resolution of one second and covers no nonce that boto3 would sign. So two threads that poll the
same task in the same second send the very same signature, and so does a retry within the second. The rules, by what a
second execution could do:

* Reads, and operations whose second execution is harmless by construction (a client token or a fixed outcome), may
  repeat within `REPEAT_WINDOW` of the first sight. Beyond it the same bytes can only be a replay: a client that is
  still trying signs again with a new time.
* Everything else counts once. Within the window the refusal is one that SDKs retry, and their retry carries a new
  time and so a new signature; whoever only holds a recording can never make one.
* After the window every repeat is refused for good.

Where several processes serve, the record is theirs together, in their database: no process knows what the others saw,
so each asks before it answers, and answers nothing while it cannot ask. A process alone keeps it in its memory.

That memory is bounded. When it overflows, the oldest minute is forgotten and every signature that old is refused,
because it could no longer be told from a replay. The same holds for times before this process started, unless the one
before it ended in order and left its memory. The refusal is one that SDKs retry: while a gateway is started again,
honest requests wait in its socket and were signed before.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol

from jupyter_qsec.application.claims import Signatures
from jupyter_qsec.domain.errors import ReplayedRequestError
from jupyter_qsec.gateway.replaymemory import Memory
from jupyter_qsec.gateway.sigv4 import MAX_SKEW

REPEAT_WINDOW = timedelta(seconds=2)
_BUCKET_SECONDS = 60
_SWEEP_EVERY = timedelta(minutes=1)
_KEEP = 4 * MAX_SKEW
"""Long beyond what any process accepts, because their clocks may differ."""


class RepeatedRequestError(ReplayedRequestError):
    """The signature came twice at nearly the same time, for an operation that must not run twice, or may have come to
    a process before this one. SDKs sign anew and try again; a recording can never do that."""

    code = "signature-repeated"


class Replays(Protocol):
    async def check(self, signature: str, signed_at: datetime, now: datetime, *, repeatable: bool) -> None:
        """Note a verified signature (hex), or raise `ReplayedRequestError` or (retried by SDKs) `RepeatedRequestError`.

        Call it only after verification, so that strangers cannot fill the record."""
        ...

    def recall(self, memory: Memory, now: datetime) -> None:
        """Take up what a process before this one has seen."""
        ...

    def seal(self, now: datetime) -> Memory | None:
        """See nothing more, and tell what was seen; `None` where others hold the record."""
        ...


def replays(shared: Signatures | None, now: datetime) -> Replays:
    """The record of this process alone, from `now` on, or the one that it shares."""
    return SharedReplays(shared) if shared is not None else OwnReplays(ReplayGuard(now))


def judge(age: float | None, *, repeatable: bool) -> None:
    """Raise unless a signature counts that was first seen `age` seconds ago, or never (`None`)."""
    if age is None:
        return
    if not 0 <= age <= REPEAT_WINDOW.total_seconds():
        raise ReplayedRequestError("This signed request was received before. Sign the request again.")
    if not repeatable:
        raise RepeatedRequestError("This signed request was received a moment ago. Sign the request again.")


class OwnReplays:
    """The record of a process that serves alone."""

    def __init__(self, guard: ReplayGuard) -> None:
        self._guard = guard

    async def check(self, signature: str, signed_at: datetime, now: datetime, *, repeatable: bool) -> None:
        self._guard.check(signature, signed_at, now, repeatable=repeatable)

    def recall(self, memory: Memory, now: datetime) -> None:
        self._guard.recall(memory, now)

    def seal(self, now: datetime) -> Memory:
        return self._guard.seal(now)


class SharedReplays:
    """The record of all processes. It outlives each of them, so no time before a start has to be refused."""

    def __init__(self, signatures: Signatures) -> None:
        self._signatures = signatures
        self._swept: datetime | None = None

    async def check(self, signature: str, signed_at: datetime, now: datetime, *, repeatable: bool) -> None:
        judge(await self._signatures.first_seen(bytes.fromhex(signature), signed_at), repeatable=repeatable)
        if self._swept is None or abs(now - self._swept) >= _SWEEP_EVERY:
            self._swept = now
            await self._signatures.forget(now - _KEEP)

    def recall(self, memory: Memory, now: datetime) -> None:
        pass

    def seal(self, now: datetime) -> None:
        return None


class ReplayGuard:
    """Remembers the signatures whose time is still acceptable."""

    def __init__(self, now: datetime, *, capacity: int = 250_000) -> None:
        """`now` is when this process starts to serve: what was signed before it may have been used already."""
        self._capacity = capacity
        self._size = 0
        self._buckets: dict[int, dict[bytes, float]] = {}
        self._floor = now.replace(microsecond=0)
        self._latest = self._swept = now
        self._sealed = False

    def check(self, signature: str, signed_at: datetime, now: datetime, *, repeatable: bool) -> None:
        """Note a verified signature (hex), or raise `ReplayedRequestError` or (retried by SDKs) `RepeatedRequestError`.

        Call it only after verification, so that strangers cannot fill the record."""
        if self._sealed:
            raise RepeatedRequestError("The gateway ends at this moment. Sign the request again.")
        self._follow_clock(now)
        if signed_at < self._floor:
            raise RepeatedRequestError(
                f"The signature was made at {signed_at:%Y%m%dT%H%M%SZ}, before the gateway can rule out a replay "
                f"(since {self._floor:%Y%m%dT%H%M%SZ}). Sign the request again."
            )
        bucket = self._buckets.setdefault(int(signed_at.timestamp()) // _BUCKET_SECONDS, {})
        key = bytes.fromhex(signature)
        seen = bucket.get(key)
        if seen is None:
            bucket[key] = now.timestamp()
            self._size += 1
            if self._size > self._capacity:
                self._forget_oldest()
            return
        judge(now.timestamp() - seen, repeatable=repeatable)

    def recall(self, memory: Memory, now: datetime) -> None:
        """Take up what the process before this one has seen, unless the clock was set back since."""
        if memory.sealed_at <= now:
            self._buckets = {minute: dict(seen) for minute, seen in memory.seen.items()}
            self._size = sum(map(len, self._buckets.values()))
            # What had become unacceptable by then was forgotten.
            self._floor = max(memory.floor, memory.sealed_at - MAX_SKEW)

    def seal(self, now: datetime) -> Memory:
        """What was seen. From then on every signature is refused: it could not be told to the next process any more."""
        memory = Memory(max(now, self._latest), self._floor, self._buckets)
        self._sealed = True
        return memory

    def _follow_clock(self, now: datetime) -> None:
        """Drop what has become unacceptable. When the clock jumped back, the floor follows it: kept in the future it
        would refuse every honest request until then."""
        if now < self._latest - timedelta(seconds=1):
            self._floor = min(self._floor, now.replace(microsecond=0))
        elif now < self._swept + timedelta(seconds=1):
            self._latest = now
            return
        self._latest = self._swept = now
        oldest = int((now - MAX_SKEW).timestamp()) // _BUCKET_SECONDS
        newest = int((now + MAX_SKEW).timestamp()) // _BUCKET_SECONDS
        for minute in [minute for minute in self._buckets if not oldest <= minute <= newest]:
            self._size -= len(self._buckets.pop(minute))

    def _forget_oldest(self) -> None:
        minute = min(self._buckets)
        self._size -= len(self._buckets.pop(minute))
        end = datetime.fromtimestamp((minute + 1) * _BUCKET_SECONDS, tz=self._floor.tzinfo)
        self._floor = max(self._floor, end)

"""The findings that the panel shows: kept in memory within bounds, and passed on to the gateway's record."""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from jupyter_qsec.client.wire import FindingRecord, finding_record
from jupyter_qsec.domain.errors import QsecError, UnavailableError
from jupyter_qsec.server.notices import Log, Notices
from jupyter_qsec.server.registry import moment

_KEPT = 1000
_WAITING = 2000
_BATCH = 200
_RETRY_SECONDS = 5.0
_AT_A_TIME = 40
"""Each takes 0.1 ms and more, most of it for what listeners are told."""


@dataclass(frozen=True, slots=True)
class ShownFinding:
    """A finding as the panel sees it. Never the secret itself."""

    id: str
    found_at: str
    kernel_id: str
    path: str
    cell: str
    cell_id: str
    place: str
    line: int
    kind: str
    preview: str
    fingerprint: str
    action: str


class FindingsBoard:
    """Newest findings, for the event loop."""

    def __init__(
        self, send: Callable[[Sequence[FindingRecord]], Awaitable[object]], notices: Notices, log: Log
    ) -> None:
        """`send` passes findings to the gateway and raises `QsecError`."""
        self._send, self._notices, self._log = send, notices, log
        self._shown: deque[ShownFinding] = deque(maxlen=_KEPT)
        self._waiting: deque[FindingRecord] = deque()
        self._arrived = asyncio.Event()
        self._dropped = 0

    def add(
        self,
        *,
        found_at: datetime,
        place: str,
        line: int,
        kind: str,
        preview: str,
        fingerprint: str,
        action: str,
        kernel_id: str = "",
        lease_id: str = "",
        path: str = "",
        cell: str = "",
        cell_id: str = "",
    ) -> ShownFinding:
        """Show one, tell listeners, and queue it for the record. Never blocks and never raises."""
        shown = ShownFinding(
            id=uuid.uuid4().hex,
            found_at=moment(found_at) or "",
            kernel_id=kernel_id,
            path=path,
            cell=cell,
            cell_id=cell_id,
            place=place,
            line=line,
            kind=kind,
            preview=preview,
            fingerprint=fingerprint,
            action=action,
        )
        self._shown.appendleft(shown)
        self._notices.finding(kernel_id, path, kind, place, action)
        if len(self._waiting) >= _WAITING:
            self._waiting.popleft()
            self._dropped += 1
        self._waiting.append(
            finding_record(
                found_at=shown.found_at,
                lease_id=lease_id,
                path=path,
                cell=cell or cell_id,
                place=place,
                line=line,
                kind=kind,
                preview=preview,
                fingerprint=fingerprint,
                action=action,
            )
        )
        self._arrived.set()
        return shown

    def add_many(self, findings: Iterable[dict[str, Any]]) -> None:
        """As `add` with each of these arguments, in order, but only a few at a time: the event loop serves others
        between them."""
        rest = iter(findings)
        few = list(islice(rest, _AT_A_TIME))
        for finding in few:
            self.add(**finding)
        if len(few) == _AT_A_TIME:
            asyncio.get_running_loop().call_soon(self.add_many, rest)

    def newest(self, limit: int) -> list[dict[str, Any]]:
        return [asdict(shown) for shown in islice(self._shown, max(0, limit))]

    async def forward(self) -> None:
        """Runs as a task: what waits goes to the gateway in batches, again and again while it is away."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                if not await self.forward_batch():
                    await asyncio.sleep(_RETRY_SECONDS)

    async def forward_batch(self) -> bool:
        """Pass one batch on; `False` when it must be tried again later."""
        batch = list(islice(self._waiting, _BATCH))
        try:
            await self._send(batch)
        except UnavailableError:
            return False
        except QsecError as error:
            # The gateway looked at it and said no: one by one, so that a single odd finding does not take others along.
            for finding in batch if len(batch) > 1 else ():
                try:
                    await self._send([finding])
                except QsecError:
                    self._log.warning("a finding was not recorded: %s", error)
            if len(batch) == 1:
                self._log.warning("a finding was not recorded: %s", error)
        for finding in batch:
            if self._waiting and self._waiting[0] is finding:  # unless dropped meanwhile to make room
                self._waiting.popleft()
        if self._dropped:
            self._log.warning("%d findings were not recorded: the gateway was away for too long", self._dropped)
            self._dropped = 0
        return True

"""Finds and removes secrets for the relay: scanner, live secrets and reporting behind one face."""

from __future__ import annotations

import os
import stat
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.kernels.relay.wire import Json
from jupyter_qsec.scanning.finding import Fingerprinter, preview

UNSCANNABLE = "[REDACTED:unscannable]"
LEASES = "lease-token"
"""The kind of a live secret that opens a lease."""

_REMEMBERED_REQUESTS = 2_048
_REMEMBERED_FINDINGS = 4_096
_MAX_TOKEN = 4_096
_REMEMBERED_TOKENS = 64


class Reporter:
    """Turns secrets that were met into findings, each once per cell and place."""

    def __init__(self, fingerprinter: Fingerprinter, emit: Callable[[Json], None]) -> None:
        self._fingerprinter = fingerprinter
        self._emit = emit
        self._cells: OrderedDict[str, str] = OrderedDict()
        self._seen: OrderedDict[tuple[str, ...], None] = OrderedDict()

    def request(self, message_id: str, metadata: Json) -> None:
        """Remember which cell a request belongs to; clients tell it in the metadata as `cellId`."""
        cell = metadata.get("cellId")
        self._cells[message_id] = cell[:256] if isinstance(cell, str) else ""
        _bound(self._cells, _REMEMBERED_REQUESTS)

    def knows(self, message_id: str) -> bool:
        """Whether a client made this request not long ago."""
        return message_id in self._cells

    def found(self, secrets: Iterable[tuple[str, str, int]], *, place: str, action: str, message_id: str) -> None:
        """Report `(kind, secret, line)` of one place of one request."""
        findings = []
        cell = self._cells.get(message_id, "")
        for kind, secret, line in secrets:
            fingerprint = self._fingerprinter.fingerprint(kind, secret)
            identity = (cell or message_id, place, action, fingerprint)
            if identity in self._seen:
                continue
            self._seen[identity] = None
            _bound(self._seen, _REMEMBERED_FINDINGS)
            findings.append(
                {
                    "found_at": datetime.now(UTC).isoformat(),
                    "place": place,
                    "line": line,
                    "kind": kind,
                    "preview": preview(secret),
                    "fingerprint": fingerprint,
                    "action": action,
                    "cell_id": cell,
                    "message_id": message_id,
                }
            )
        if findings:
            self._emit({"event": "findings", "findings": findings})


class LiveToken:
    """Keeps the lease token in the set of exactly known secrets while the provisioner replaces its file."""

    def __init__(self, path: str, live: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._live = live
        self._clock = clock
        self._tokens: deque[str] = deque()
        self._known: tuple[int, int, int] | None = None
        self._looked = float("-inf")

    def refresh(self, *, at_once: bool = False) -> None:
        """Re-read the file when it changed; looks at most every second unless `at_once`."""
        now = self._clock()
        if not self._path or (not at_once and now - self._looked < 1.0):
            return
        self._looked = now
        if self._unchanged():
            return
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return
        try:
            status = os.fstat(descriptor)
            identity = _identity(status)
            if identity != self._known and stat.S_ISREG(status.st_mode):
                token = os.read(descriptor, _MAX_TOKEN).decode("ascii", "ignore").strip()
                # The tokens before stay known: what was printed with them may be shown again.
                with suppress(InvalidRequestError):  # no token at all
                    self._live.add(token, LEASES)
                    self._keep(token)
                self._known = identity
        finally:
            os.close(descriptor)

    def _keep(self, token: str) -> None:
        """Whoever may write the file could make the set grow for ever."""
        if token not in self._tokens:
            self._tokens.append(token)
            while len(self._tokens) > _REMEMBERED_TOKENS:
                self._live.discard(self._tokens.popleft())

    def _unchanged(self) -> bool:
        """Asked for every cell, so by one call; whatever else is there is looked at in full."""
        try:
            return _identity(os.lstat(self._path)) == self._known
        except OSError:
            return False


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_mtime_ns, status.st_size


def line_of(text: str, position: int) -> int:
    """1-based line of a position."""
    return text.count("\n", 0, position) + 1


def _bound(table: OrderedDict[Any, Any], limit: int) -> None:
    while len(table) > limit:
        table.popitem(last=False)

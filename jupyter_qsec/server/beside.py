"""Large saves are scanned on a thread before Jupyter's own hook, so that the event loop serves others meanwhile.

Jupyter calls pre-save hooks on the event loop, where a scan of a large notebook would stop every kernel's messages.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakValueDictionary

from jupyter_qsec.scanning.finding import Finding
from jupyter_qsec.server.uploads import FollowingChunks

SMALL = 64 << 10
"""Characters up to which a scan takes about as long as handing it to a thread: 2 ms."""
_AT_ONCE = 2

Report = Callable[[list[Finding], str], None]
"""Takes the findings of one save and the action: `redacted`, `refused` or `warned`. If it raises, nothing is saved."""


class Passed:
    """Remembers which models were scanned, by identity: only as long as their content is the very object that was."""

    def __init__(self) -> None:
        self._content: dict[int, Any] = {}

    def holds(self, model: dict[str, Any]) -> bool:
        """Whether this model was scanned as it is."""
        content = self._content.get(id(model))
        return content is not None and model.get("content") is content

    @contextmanager
    def noted(self, model: dict[str, Any]) -> Iterator[None]:
        """Until the end of the block."""
        self._content[id(model)] = model.get("content")
        try:
            yield
        finally:
            del self._content[id(model)]


class ScanBeside:
    """Wraps one contents manager's `save`. Where that is not asynchronous scans are not either: it must give its result
    at once."""

    def __init__(
        self,
        contents_manager: Any,
        scan: Callable[[dict[str, Any], str, Report], None],
        tell: Callable[[list[Finding], str, str], None],
        passed: Passed,
    ) -> None:
        """`scan` is called on a thread, `tell` (findings, action, path) on the event loop; both raise `HTTPError`."""
        self._manager = contents_manager
        self._scan_model, self._tell, self._passed = scan, tell, passed
        self._save: Callable[..., Any] = contents_manager.save
        self._chunks = FollowingChunks()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """One for each file: a later save must not overtake an earlier one whose scan takes longer."""
        self._threads = asyncio.Semaphore(_AT_ONCE)

    def attach(self) -> None:
        """Take the place of the manager's `save`."""
        self._manager.save = self.save if inspect.iscoroutinefunction(self._save) else self.save_at_once

    async def save(self, model: dict[str, Any], path: str = "") -> Any:
        """What the manager's `save` gives, after the scan."""
        turn = self._turns.setdefault(path.strip("/"), asyncio.Lock())
        async with turn:
            piece = self._chunks.piece(model, path.strip("/"))
            if piece is not None:
                await self._scan(piece, path.strip("/"))
            if piece is not None or not _is_large(model.get("content")):
                return await self._save(model, path)
            await self._scan(model, path.strip("/"))
            with self._passed.noted(model):
                return await self._save(model, path)

    def save_at_once(self, model: dict[str, Any], path: str = "") -> Any:
        """As `save`, for a manager that is not asynchronous; whole files are left to the hook."""
        path = path.strip("/")
        piece = self._chunks.piece(model, path)
        if piece is not None:
            self._scan_model(piece, path, lambda findings, action: self._tell(findings, action, path))
        return self._save(model, path)

    async def _scan(self, model: dict[str, Any], path: str) -> None:
        """Findings are told on the event loop, whatever the scan ends in."""
        told: list[tuple[list[Finding], str]] = []
        async with self._threads:
            try:
                await asyncio.to_thread(
                    self._scan_model, model, path, lambda findings, action: told.append((findings, action))
                )
            finally:
                for findings, action in told:
                    self._tell(findings, action, path)


def _is_large(content: Any) -> bool:
    """Whether strings of more than `SMALL` characters are in it; looks at no more than that."""
    size, pending = 0, [content]
    while pending and size <= SMALL:
        value = pending.pop()
        if isinstance(value, str):
            size += len(value)
        elif isinstance(value, dict):
            pending += value.values()
        elif isinstance(value, list):
            pending += value
    return size > SMALL

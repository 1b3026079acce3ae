"""Large saves are scanned on a thread before Jupyter's own hook, so that the event loop serves others meanwhile.

Jupyter calls pre-save hooks on the event loop, where a scan of a large notebook would stop every kernel's messages.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakValueDictionary

from jupyter_qsec.scanning.finding import Finding
from jupyter_qsec.scanning.mimebundle import is_telling
from jupyter_qsec.server.uploads import FollowingChunks, Piece, following

SMALL = 1 << 10
"""Characters and values up to which a scan may stop the event loop: the slowest text of this size takes 10 ms."""
_TELLING = 3
"""How often a text under a telling name is scanned at most: behind the name, by itself, and as part of a list."""
_AT_ONCE = 2

Report = Callable[[list[Finding], str], None]
"""Takes the findings of one save and the action: `redacted`, `refused` or `warned`. If it raises, nothing is saved."""


Scan = Callable[[dict[str, Any], str, Report], None]
ScanPiece = Callable[[Piece, str, Report], None]


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
        scan: Scan,
        scan_piece: ScanPiece,
        tell: Callable[[list[Finding], str, str], None],
        passed: Passed,
    ) -> None:
        """`scan` and `scan_piece` are called on a thread, `tell` (findings, action, path) on the event loop; all raise
        `HTTPError`."""
        self._manager = contents_manager
        self._scan_model, self._scan_piece, self._tell, self._passed = scan, scan_piece, tell, passed
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
        name = path.strip("/")
        turn = self._turns.setdefault(name, asyncio.Lock())
        async with turn:
            chunk = model.get("chunk")
            if chunk is None:
                self._chunks.forget(name)
                return await self._save_scanned(model, path)
            before = self._chunks.before(name, chunk)
            piece, arrived = await asyncio.to_thread(following, model, before)
            if piece is not None:
                await self._scan(name, functools.partial(self._scan_piece, piece, name))
                done = await self._save(model, path)
            else:
                done = await (self._save_scanned(model, path) if chunk == 1 else self._save(model, path))
            self._chunks.saved(name, chunk, arrived)
            return done

    def save_at_once(self, model: dict[str, Any], path: str = "") -> Any:
        """As `save`, for a manager that is not asynchronous; what hooks see is left to the hook."""
        name, chunk = path.strip("/"), model.get("chunk")
        if chunk is None:
            self._chunks.forget(name)
            return self._save(model, path)
        piece, arrived = following(model, self._chunks.before(name, chunk))
        if piece is not None:
            self._scan_piece(piece, name, lambda findings, action: self._tell(findings, action, name))
        done = self._save(model, path)
        self._chunks.saved(name, chunk, arrived)
        return done

    async def _save_scanned(self, model: dict[str, Any], path: str) -> Any:
        """Save what a hook sees; a large one scanned ahead of it."""
        name = path.strip("/")
        is_parsed = model.get("type") == "file" and name.lower().endswith(".ipynb")
        if not is_parsed and not is_large(model.get("content")):
            return await self._save(model, path)
        await self._scan(name, functools.partial(self._scan_model, model, name))
        with self._passed.noted(model):
            return await self._save(model, path)

    async def _scan(self, path: str, scan: Callable[[Report], None]) -> None:
        """On a thread. Findings are told on the event loop, whatever the scan ends in."""
        told: list[tuple[list[Finding], str]] = []
        async with self._threads:
            try:
                await asyncio.to_thread(scan, lambda findings, action: told.append((findings, action)))
            finally:
                for findings, action in told:
                    self._tell(findings, action, path)


def is_large(content: Any) -> bool:
    """Whether a scan of it may take longer than one of `SMALL` characters; looks at no more than that."""
    left = SMALL
    pending: list[tuple[int, Any]] = [(0, content)]
    """What is left to look at, each with the size of the telling name it stands under."""
    while pending and left >= 0:
        name, value = pending.pop()
        if isinstance(value, str):
            left -= _TELLING * len(value) + name if name else len(value)
        elif isinstance(value, (dict, list, tuple)):
            left -= len(value)
            if left >= 0 and isinstance(value, dict):
                left -= sum(len(key) for key in value if isinstance(key, str))
                pending += _under_names(value) if left >= 0 else ()
            elif left >= 0:
                pending += [(name, item) for item in value]
    return left < 0


def _under_names(value: dict[Any, Any]) -> Iterator[tuple[int, Any]]:
    for key, item in value.items():
        yield (len(key) if isinstance(key, str) and is_telling(key) else 0), item

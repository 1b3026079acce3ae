"""Notebooks are scanned when they are opened: one that a kernel, a terminal or Git wrote has passed no save guard.

Opening is not held up and nothing is changed: what is found is reported, and the next save takes it out.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from jupyter_qsec.domain.errors import QsecError
from jupyter_qsec.scanning.finding import Finding
from jupyter_qsec.scanning.scanner import Scanner
from jupyter_qsec.server.beside import Report
from jupyter_qsec.server.notices import Log

_REMEMBERED = 2_048


class OpenedNotebooks:
    """Wraps one contents manager's asynchronous `get`. For the event loop; a manager that is not asynchronous is left
    as it is: a scan would hold up whoever opens."""

    def __init__(self, contents_manager: Any, scanner: Scanner, report: Report, log: Log) -> None:
        self._manager, self._scanner, self._report, self._log = contents_manager, scanner, report, log
        self._get: Callable[..., Awaitable[dict[str, Any]]] = contents_manager.get
        self._seen: OrderedDict[tuple[str, ...], None] = OrderedDict()
        self._scans: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()

    def attach(self) -> None:
        """Take the place of the manager's `get`."""
        if inspect.iscoroutinefunction(self._get):
            self._manager.get = self.get

    async def get(self, *arguments: Any, **options: Any) -> dict[str, Any]:
        """What the manager's `get` gives; the scan goes on after it."""
        model = await self._get(*arguments, **options)
        if model.get("type") == "notebook" and isinstance(model.get("content"), dict):
            path, version = str(model.get("path", "")), str(model.get("last_modified", ""))
            if self._is_new("version", path, version):
                task = asyncio.get_running_loop().create_task(self._scan(path, model["content"]))
                self._scans.add(task)
                task.add_done_callback(self._scans.discard)
        return model

    async def settle(self) -> None:
        """Wait for the scans under way."""
        if self._scans:
            await asyncio.gather(*self._scans, return_exceptions=True)

    async def _scan(self, path: str, content: dict[str, Any]) -> None:
        try:
            async with self._turn:  # one at a time: opening a session opens many
                found = await asyncio.to_thread(self._scanner.scan_notebook, content, filename=path)
        except QsecError as error:
            self._log.warning("%s was opened but could not be scanned for secrets: %s", path, error)
            return
        except Exception:  # noqa: BLE001 - nobody must be kept from opening a notebook by a scan that only reports
            self._log.exception("%s was opened but could not be scanned for secrets", path)
            return
        new = [finding for finding in found if self._is_new(*_identity(finding))]
        if new:
            self._report(new, "warned")

    def _is_new(self, *identity: str) -> bool:
        """Whether this is asked for the first time, as far as memory goes."""
        if identity in self._seen:
            self._seen.move_to_end(identity)
            return False
        self._seen[identity] = None
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return True


def _identity(finding: Finding) -> tuple[str, ...]:
    return ("finding", finding.path, finding.cell_id or finding.cell, finding.place, finding.fingerprint)

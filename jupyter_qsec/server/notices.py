"""The extension's events on Jupyter's event bus. They are hints: any client may forge one, so readers ask REST."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

SCHEMAS = tuple(sorted((Path(__file__).parent / "events").glob("*.yaml")))
_BASE = "https://schema.jupyter-qsec.org"

Log = logging.Logger | logging.LoggerAdapter[Any]


class EventLogger(Protocol):
    """The part of `jupyter_events.EventLogger` that is used here."""

    def register_event_schema(self, schema: Path) -> Any: ...

    def emit(self, *, schema_id: str, data: dict[str, Any]) -> Any: ...


class Notices:
    """Emits our events; may be called from any thread once it is bound to the event loop."""

    def __init__(self, events: EventLogger, log: Log) -> None:
        self._events, self._log = events, log
        self._loop: asyncio.AbstractEventLoop | None = None
        for schema in SCHEMAS:
            events.register_event_schema(schema)

    def bind(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._loop = loop

    def session(self, kind: str, kernel_id: str, path: str, reason: str, deadline: str) -> None:
        self._emit("session", kind=kind, kernel_id=kernel_id, path=path, reason=reason, deadline=deadline)

    def finding(self, kernel_id: str, path: str, kind: str, place: str, action: str) -> None:
        self._emit("finding", kernel_id=kernel_id, path=path, kind=kind, place=place, action=action)

    def lease(self, kernel_id: str, lease_id: str, state: str) -> None:
        self._emit("lease", kernel_id=kernel_id, lease_id=lease_id, state=state)

    def relay_ended(self, kernel_id: str, path: str) -> None:
        self._emit("kernel", kind="relay-ended", kernel_id=kernel_id, path=path)

    def gateway(self, state: str, reason: str) -> None:
        self._emit("gateway", state=state, reason=reason)

    def on_loop(self, call: Callable[[], object]) -> None:
        """Run on the server's event loop; dropped when the server has no loop (any more)."""
        if self._loop is not None and not self._loop.is_closed():
            try:
                self._loop.call_soon_threadsafe(call)
            except RuntimeError:  # closed between the question and the call
                return

    def _emit(self, name: str, **data: str) -> None:
        def emit() -> None:
            try:
                self._events.emit(schema_id=f"{_BASE}/{name}/v1", data=data)
            except Exception:  # noqa: BLE001 - a listener of somebody else must not stop a lease or a session's end
                self._log.exception("the event %s could not be emitted", name)

        self.on_loop(emit)

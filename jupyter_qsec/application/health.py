"""Whether the gateway can record and decide now."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import Callable

from jupyter_qsec.application.ports import Policy, Store
from jupyter_qsec.domain.errors import QsecError

_log = logging.getLogger(__name__)

FRESH_SECONDS = 1.0
ASKER_SECONDS = 2.0
"""How long an asker waits for a look around: probes of orchestrators give up soon."""
LOOK_SECONDS = 15.0
"""A look that takes longer than the store's patience with its database has failed."""


class Health:
    """Looks around when asked, once for all who ask at the same time, and remembers for a moment what it saw."""

    def __init__(
        self,
        store: Store,
        policy: Policy,
        has_room: Callable[[], bool],
        has_secrets: Callable[[], bool],
        *,
        fresh: float = FRESH_SECONDS,
        asker_waits: float = ASKER_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`has_room` tells whether the disk of results takes more, `has_secrets` whether all root secrets in use are
        held."""
        self._store = store
        self._policy = policy
        self._has_room = has_room
        self._has_secrets = has_secrets
        self._fresh = fresh
        self._asker_waits = asker_waits
        self._monotonic = monotonic
        self._problem = "The gateway has not found out yet whether it can record."
        self._seen_at: float | None = None
        self._look: asyncio.Task[None] | None = None
        self._look_began = 0.0

    async def problem(self) -> str:
        """What keeps the gateway from recording or deciding, for everybody's eyes; empty when nothing does.

        While a look around takes its time, because the store waits for its database, what was seen before stands."""
        now = self._monotonic()
        if self._seen_at is None or now - self._seen_at >= self._fresh:
            if self._look is None:
                self._look_began = now
                # In a context of its own: what is seen belongs to no request.
                loop = asyncio.get_running_loop()
                self._look = loop.create_task(self._look_around(), name="health", context=contextvars.Context())
            await asyncio.wait({self._look}, timeout=self._asker_waits)
        if self._look is not None and self._monotonic() - self._look_began >= LOOK_SECONDS:
            return "The gateway cannot record: its state database does not answer."
        return self._problem

    async def close(self) -> None:
        look = self._look
        if look is not None:
            look.cancel()
            await asyncio.gather(look, return_exceptions=True)

    async def _look_around(self) -> None:
        before = self._problem
        try:
            self._problem = await self._seen()
        except Exception:  # noqa: BLE001  # whatever it was, all is not well
            _log.exception("the gateway's health could not be found out")
            self._problem = "The gateway cannot find out whether it can record and decide."
        finally:
            if self._problem != before:
                _log.log(logging.ERROR if self._problem else logging.INFO, "health: %s", self._problem or "all is well")
            self._seen_at = self._monotonic()
            self._look = None

    async def _seen(self) -> str:
        if not self._policy.probe():
            return "The gateway cannot decide: its policies fail."
        if not self._has_room():
            return "The gateway cannot record: its disk is full or read-only."
        if not self._has_secrets():
            return "The gateway cannot decide: a root secret cannot be read."
        try:
            await self._store.probe()
        except QsecError:
            return "The gateway cannot record: its state database takes no writes."
        return ""

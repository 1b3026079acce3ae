"""What goes on in a gateway beside the requests."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import cast

from jupyter_qsec.bootstrap import Gateway
from jupyter_qsec.domain.errors import UnavailableError


async def test_housekeeping_outlives_whatever_fails_in_one_round() -> None:
    failures: list[Exception] = [UnavailableError("The database is away."), ValueError("a defect")]
    again = asyncio.Event()

    async def action() -> None:
        if failures:
            raise failures.pop()
        again.set()

    keeping = asyncio.create_task(Gateway._every(cast(Gateway, None), 0, action))
    async with asyncio.timeout(10):
        await again.wait()
    keeping.cancel()
    with suppress(asyncio.CancelledError):
        await keeping

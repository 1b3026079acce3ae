"""Clears up worlds whose tasks still wait when their test ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.fakes.world import World


@pytest.fixture(autouse=True)
def no_world_left(jp_asyncio_loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    yield
    for world in list(World.alive):
        jp_asyncio_loop.run_until_complete(world.kill())

"""Gateways of fakes that end with their test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.fakes.executor import FakeExecutor
from tests.fakes.world import World


@pytest.fixture
def new_world(jp_asyncio_loop: asyncio.AbstractEventLoop) -> Iterator[Callable[..., World]]:
    """Makes a `World` whose executions end when the test says so."""
    worlds: list[World] = []

    def make(**parts: Any) -> World:
        worlds.append(World(**{"executor": FakeExecutor(manual=True), **parts}))
        return worlds[-1]

    yield make
    for world in worlds:
        jp_asyncio_loop.run_until_complete(world.dispatcher.close())


@pytest.fixture
def world(new_world: Callable[..., World]) -> World:
    return new_world()

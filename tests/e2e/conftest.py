"""A real Jupyter Server in a process of its own, with a fresh HOME and a planted root credential."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.realserver import RealServer


@pytest.fixture
def real_server(tmp_path: Path) -> Iterator[RealServer]:
    """Started for one test; ended with everything it started."""
    yield from _running(tmp_path)


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """Started once for the tests of a module that leave it as they found it."""
    yield from _running(tmp_path_factory.mktemp("shared"))


@pytest.fixture(scope="module")
def unprotected_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """The same server without the extension."""
    yield from _running(tmp_path_factory.mktemp("unprotected"), protected=False)


def _running(folder: Path, *, protected: bool = True) -> Iterator[RealServer]:
    server = RealServer(folder / "home", protected=protected)
    server.start()
    try:
        yield server
    finally:
        server.stop()

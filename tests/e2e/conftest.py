"""A real Jupyter Server in a process of its own, with an empty HOME and a planted root credential."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.realserver import RealServer


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home directory with planted AWS credentials in the usual place."""
    home = tmp_path / "home"
    (home / ".aws").mkdir(parents=True)
    (home / ".aws" / "credentials").write_text(
        f"[default]\naws_access_key_id = {RealServer.PLANTED_ID}\naws_secret_access_key = {RealServer.PLANTED_SECRET}\n"
    )
    return home


@pytest.fixture
def real_server(home: Path) -> Iterator[RealServer]:
    """Started with the planted credential in its environment as well; ended with everything it started."""
    server = RealServer(home)
    server.start()
    try:
        yield server
    finally:
        server.stop()

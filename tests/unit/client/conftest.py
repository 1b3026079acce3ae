"""What tests of the keeper share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.kept_leases import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)

"""What unit tests do without."""

from __future__ import annotations

import pytest


@pytest.fixture
def jp_server_cleanup() -> None:
    """Tests here leave no server behind; cleaning up after each of thousands takes longer than many of them."""

"""A real JupyterLab and a real browser."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ui.browser import installed_browser, running_browser
from tests.ui.lab import LabPage, RealLab

_SKIP = "QSEC_SKIP_BROWSER"


@pytest.fixture
def lab_server(tmp_path: Path) -> Iterator[RealLab]:
    """JupyterLab, not yet started, so that a test can put files below its root first; ended with all it started."""
    server = RealLab(tmp_path / "home")
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def lab_page(tmp_path: Path) -> Iterator[LabPage]:
    """An empty tab."""
    if os.environ.get(_SKIP) == "1":
        pytest.skip(f"!! {_SKIP}=1: what a person sees in the browser is NOT tested in this run")
    executable = installed_browser()
    if executable is None:
        pytest.fail(f"No Chromium or Chrome was found. Install one, or set {_SKIP}=1 to go on without this test.")
    with running_browser(executable, tmp_path / "browser") as browser:
        page = browser.new_page(viewport={"width": 1440, "height": 1000}, locale="en-GB")
        lab = LabPage(page)
        try:
            yield lab
        finally:
            lab.screenshot("last")

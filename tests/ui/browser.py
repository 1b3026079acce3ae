"""An installed Chromium or Chrome, driven headless."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_MACOS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
# A browser that speaks to nobody but this machine.
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)


def installed_browser() -> str | None:
    """The path of a browser, `None` when there is none."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None and sys.platform == "darwin":
        found = next((path for path in _MACOS if Path(path).exists()), None)
    return found


@contextmanager
def running_browser(executable: str, home: Path) -> Iterator[Browser]:
    """A headless browser with a profile and a home of its own, ended with the context."""
    home.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, headless=True, args=list(_FLAGS), env={**os.environ, "HOME": str(home)}
        )
        try:
            yield browser
        finally:
            browser.close()

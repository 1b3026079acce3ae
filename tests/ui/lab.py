"""JupyterLab as a person starts and uses it: the server's process, and what one sees and clicks in the page."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import Locator, Page, expect

from tests.e2e.realserver import RealServer

IDLE_SECONDS = 25
"""After so long without activity the test's sessions are warned: longer than the pauses of the story."""

_SCREENSHOTS = Path("test-results/screenshots")


class RealLab(RealServer):
    """`jupyter lab` with a fresh home; the extension is found as it was installed, nothing enables it by hand."""

    def start(self) -> None:
        settings = (
            self.home / ".jupyter/lab/user-settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
        )
        settings.parent.mkdir(parents=True)
        # The question whether to fetch news would lie over the panel.
        settings.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))
        super().start()

    def command(self) -> list[str]:
        return [
            sys.executable,
            "-m",
            "jupyterlab",
            "--no-browser",
            "--ServerApp.port=0",
            "--ServerApp.ip=127.0.0.1",
            f"--ServerApp.root_dir={self.root}",
            "--ServerApp.allow_root=True",
            "--QsecExtension.idle_minutes=60",
            f"--QsecExtension.warn_minutes={60 - IDLE_SECONDS / 60}",
            *self.options,
        ]

    def address(self, notebook: str) -> str:
        return f"{self.http.base_url}lab/tree/{quote(notebook)}?token={self.token}"


class LabPage:
    """One JupyterLab tab with a notebook in front."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.panel = page.locator("#jp-qsec-panel")
        self.notebook = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook")
        self.dialog = page.locator(".jp-Dialog")

    def open(self, address: str) -> None:
        self.page.goto(address)
        expect(self.notebook.locator(".jp-Cell").first).to_be_visible(timeout=60_000)
        expect(self.page.locator(".jp-NotebookPanel-toolbar .jp-Notebook-ExecutionIndicator")).to_have_attribute(
            "data-status", "idle", timeout=60_000
        )

    @property
    def panel_tab(self) -> Locator:
        return self.page.locator(".jp-SideBar .lm-TabBar-tab[data-id='jp-qsec-panel']")

    def section(self, name: str) -> Locator:
        return self.panel.locator("details.jp-qsec-section").filter(has=self.page.get_by_role("heading", name=name))

    def menu(self, *path: str) -> None:
        """Choose an entry of the menu bar."""
        self.page.get_by_role("menuitem", name=path[0], exact=True).click()
        for entry in path[1:]:
            self.page.locator(".lm-Menu-item:visible").filter(has=self.page.get_by_text(entry, exact=True)).click()

    # -- cells
    @property
    def active_cell(self) -> Locator:
        return self.notebook.locator(".jp-Cell.jp-mod-active")

    def cell(self, index: int) -> Locator:
        return self.notebook.locator(f".jp-Cell[data-windowed-list-index='{index}']")

    def go_to(self, index: int) -> Locator:
        """Make a cell the active one with the keyboard, which passes over folded ones; cells far away are not in the
        page until then."""
        self.active_cell.locator(".jp-InputPrompt, .jp-InputArea-prompt").first.click()
        self.page.keyboard.press("Escape")
        now = int(self.active_cell.get_attribute("data-windowed-list-index") or 0)
        while now != index:
            self.page.keyboard.press("ArrowDown" if index > now else "ArrowUp")
            expect(self.active_cell).not_to_have_attribute("data-windowed-list-index", str(now))
            now = int(self.active_cell.get_attribute("data-windowed-list-index") or 0)
        return self.active_cell

    def run(self, index: int, seconds: float = 60.0) -> Locator:
        """Run one cell to its end; its output."""
        cell = self.go_to(index)
        count = cell.locator(".jp-InputArea-prompt").inner_text()
        self.page.keyboard.press("Control+Enter")
        prompt = cell.locator(".jp-InputArea-prompt")
        expect(prompt).not_to_have_text(count, timeout=10_000)
        expect(prompt).not_to_have_text("[*]:", timeout=seconds * 1000)
        return cell.locator(".jp-OutputArea").first

    def save(self) -> None:
        self.page.keyboard.press("Control+s")

    # -- looks
    def theme(self, name: str) -> None:
        self.menu("Settings", "Theme", name)
        expect(self.page.locator("body")).to_have_attribute("data-jp-theme-name", name)

    def screenshot(self, name: str) -> None:
        """Below test-results/, for people to look at."""
        _SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=_SCREENSHOTS / f"{name}.png", animations="disabled")

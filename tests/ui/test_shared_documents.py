"""Two browsers in one notebook, with the extensions that share documents: what one prints, the other never sees.

These extensions change JupyterLab for everybody, so they are no dependencies: `make collaboration` installs each into
an environment of its own and runs this.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.fakes.waiting import wait_for
from tests.ui.browser import installed_browser, running_browser
from tests.ui.lab import LabPage, RealLab

pytestmark = pytest.mark.browser

_ENVIRONMENTS = "QSEC_TEST_SHARED_DOCUMENTS"
KEY = "AKIA" + "QSEC7PLANTED5Q2X"
MARK = "[REDACTED:aws-access-key]"
CELLS = (
    "print('AKIA' + 'QSEC7PLANTED5Q2X')",
    "for c in 'AKIA' + 'QSEC7PLANTED5Q2X': print(c, end='', flush=True)",
    "from IPython.display import HTML; HTML('<b>AK</b>IA' + 'QSEC7PLANTED5Q2X')",
)


class SharedLab(RealLab):
    """JupyterLab of an environment that sees ours, and has one extension more."""

    def __init__(self, home: Path, environment: Path) -> None:
        ours = Path(os.environ["VIRTUAL_ENV_OF_QSEC"])
        super().__init__(
            home,
            environment={
                "PATH": f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}",
                "JUPYTER_CONFIG_PATH": str(ours / "etc/jupyter"),
                "JUPYTER_PATH": str(ours / "share/jupyter"),
            },
        )
        self.python = environment / "bin/python"

    def command(self) -> list[str]:
        return [str(self.python), *super().command()[1:]]


@pytest.fixture(params=["jupyter-collaboration", "jupyter-server-documents"])
def shared_lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SharedLab]:
    folder = os.environ.get(_ENVIRONMENTS)
    if folder is None:
        pytest.skip("make collaboration installs what shares documents, and runs this")
    server = SharedLab(tmp_path / "home", Path(folder) / request.param)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, server.root / "shared.ipynb")
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    executable = installed_browser()
    assert executable is not None
    with running_browser(executable, tmp_path / "browser") as browser:
        yield browser


def opened(browser: Browser, server: SharedLab) -> tuple[Page, LabPage]:
    page = browser.new_context(viewport={"width": 1440, "height": 1000}).new_page()
    lab = LabPage(page)
    lab.open(server.address("shared.ipynb"))
    return page, lab


def holding(folder: Path, text: str) -> list[str]:
    found = (path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes())
    return [str(path) for path in found]


def test_a_secret_that_one_prints_reaches_neither_the_other_nor_any_file(
    shared_lab: SharedLab, browser: Browser
) -> None:
    (_, mine), (other, _) = opened(browser, shared_lab), opened(browser, shared_lab)
    for index in range(len(CELLS)):
        mine.run(index)
    outputs = other.locator(".jp-OutputArea-output")
    expect(outputs).to_have_count(len(CELLS), timeout=20_000)
    for index in range(len(CELLS)):
        expect(outputs.nth(index)).to_have_text(MARK, timeout=20_000)
    mine.save()
    saved = shared_lab.root / "shared.ipynb"
    wait_for(lambda: saved.read_text("utf-8").count(MARK) == len(CELLS), "the saved notebook", 20)
    assert holding(shared_lab.home, KEY) == []


def test_a_secret_that_somebody_types_is_seen_by_the_other_and_not_saved(
    shared_lab: SharedLab, browser: Browser
) -> None:
    (page, mine), (other, _) = opened(browser, shared_lab), opened(browser, shared_lab)
    mine.go_to(0)
    page.keyboard.press("b")
    page.keyboard.press("Enter")
    page.keyboard.type(f"k = '{KEY}'")
    page.keyboard.press("Escape")
    expect(other.locator(".jp-Notebook")).to_contain_text(KEY, timeout=20_000)
    mine.save()
    saved = shared_lab.root / "shared.ipynb"
    wait_for(lambda: MARK in saved.read_text("utf-8"), "the saved notebook", 20)
    assert KEY not in saved.read_text("utf-8")

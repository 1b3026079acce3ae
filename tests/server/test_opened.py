"""A notebook that passed no save is scanned when somebody opens it."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import nbformat
import pytest

from jupyter_qsec.scanning.engine import Engine
from jupyter_qsec.scanning.finding import Finding
from jupyter_qsec.scanning.scanner import Scanner
from jupyter_qsec.server.opened import OpenedNotebooks

KEY = "AKIA" + "QSEC7PLANTED5Q2Z"


class Opening:
    """A real server's contents manager, watched."""

    def __init__(self, manager: Any, folder: Path, scanner: Scanner) -> None:
        self.told: list[tuple[list[Finding], str]] = []
        self.folder = folder
        self.opened = OpenedNotebooks(
            manager, scanner, lambda findings, action: self.told.append((findings, action)), logging.getLogger("test")
        )
        self.opened.attach()

    def write(self, name: str, *sources: str) -> None:
        """As a kernel would: past the contents manager."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
        for number, cell in enumerate(notebook["cells"]):
            cell["id"] = f"c{number}"
        nbformat.write(notebook, self.folder / name)


@pytest.fixture
def opening(jp_serverapp: Any, jp_root_dir: Path) -> Opening:
    return Opening(jp_serverapp.contents_manager, jp_root_dir, Scanner())


async def test_what_a_kernel_wrote_is_found_when_it_is_opened(opening: Opening, jp_fetch: Any) -> None:
    opening.write("a.ipynb", "x = 1", f"key = '{KEY}'")
    answer = json.loads((await jp_fetch("api", "contents", "a.ipynb")).body)
    await opening.opened.settle()
    assert KEY in json.dumps(answer["content"]), "nothing is changed by opening"
    ((findings, action),) = opening.told
    assert action == "warned"
    assert [(f.path, f.cell, f.cell_id, f.kind) for f in findings] == [("a.ipynb", "2", "c1", "aws-access-key")]


async def test_it_is_told_once_however_often_it_is_opened(opening: Opening, jp_fetch: Any) -> None:
    opening.write("a.ipynb", f"key = '{KEY}'")
    for moment in (1_000_000_000, 1_000_000_000, 1_000_000_100):
        os.utime(opening.folder / "a.ipynb", (moment, moment))
        await jp_fetch("api", "contents", "a.ipynb")
        await opening.opened.settle()
    assert len(opening.told) == 1


async def test_listings_files_and_folders_are_not_scanned(opening: Opening, jp_fetch: Any) -> None:
    opening.write("a.ipynb", f"key = '{KEY}'")
    (opening.folder / "b.txt").write_text(KEY)
    for path, options in (("", {}), ("b.txt", {}), ("a.ipynb", {"content": "0"})):
        await jp_fetch("api", "contents", path, params=options)
    await opening.opened.settle()
    assert opening.told == []


async def test_a_scan_that_fails_holds_up_nothing_and_is_logged(
    jp_serverapp: Any, jp_root_dir: Path, jp_fetch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Engine):
        def __init__(self) -> None:
            self.live = None

        def scan(self, text: str, *, allow: bool = False) -> Any:
            raise ZeroDivisionError

    opening = Opening(jp_serverapp.contents_manager, jp_root_dir, Scanner(engine=Broken()))
    opening.write("a.ipynb", "x = 1")
    assert (await jp_fetch("api", "contents", "a.ipynb")).code == 200
    await opening.opened.settle()
    assert opening.told == [] and "could not be scanned" in caplog.text

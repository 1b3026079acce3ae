"""Notebooks that are new, broken, or of a hundred megabytes, on a real Jupyter Server: all are guarded alike, nothing
is damaged, and while a scan goes on the event loop turns."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat
import pytest
from tornado.httpclient import HTTPClientError

from jupyter_qsec.scanning.scanner import Scanner
from jupyter_qsec.server.contents import SaveGuard
from jupyter_qsec.server.opened import OpenedNotebooks
from tests.server.saves import KEY, Reports, a_notebook, put

MARK = "[REDACTED:aws-access-key]"
LONGEST_STOP = 1.5
"""Seconds. Alone on a machine it is some hundredths of one; where the loop scans itself it is as long as the scan."""


class Turning:
    """Notes when the event loop turns, and during which times something else was to leave it alone."""

    def __init__(self) -> None:
        self.turns: list[float] = []
        self.scans: list[tuple[float, float]] = []

    async def watch(self) -> None:
        while True:
            self.turns.append(time.monotonic())
            await asyncio.sleep(0.005)

    def noting(self, scan: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any, **options: Any) -> Any:
            began = time.monotonic()
            try:
                return scan(*arguments, **options)
            finally:
                self.scans.append((began, time.monotonic()))

        return noted

    def longest_stop(self) -> float:
        """During scans, which took some time."""
        assert self.scans and all(ended - began > LONGEST_STOP for began, ended in self.scans), "too quick to tell"
        inside = [[began, *(turn for turn in self.turns if began < turn < ended), ended] for began, ended in self.scans]
        return max(after - before for turns in inside for before, after in pairwise(turns))


class Guarded:
    """The contents manager of a running server with both guards, and what they report."""

    def __init__(self, manager: Any, folder: Path) -> None:
        self.saved, self.seen, self.turning, self.folder = Reports(), Reports(), Turning(), folder
        scanner = Scanner()
        guard = SaveGuard(scanner, "redact", self.saved)
        guard.scan = self.turning.noting(guard.scan)  # type: ignore[method-assign]  # what beside the loop is timed
        guard.attach(manager)
        watched = Scanner()
        watched.scan_notebook = self.turning.noting(watched.scan_notebook)  # type: ignore[method-assign]  # as above
        self.opened = OpenedNotebooks(manager, watched, self.seen, logging.getLogger("test"))
        self.opened.attach()

    def read(self, name: str) -> Any:
        return nbformat.read(self.folder / name, as_version=4)


@pytest.fixture
def server(jp_serverapp: Any, jp_root_dir: Path) -> Guarded:
    return Guarded(jp_serverapp.contents_manager, jp_root_dir)


async def made(fetch: Any, **model: Any) -> str:
    """The path of a new file."""
    answer = await fetch("api", "contents", method="POST", body=json.dumps(model))
    return str(json.loads(answer.body)["path"])


async def test_an_untitled_notebook_is_guarded_from_its_first_save_on(server: Guarded, jp_fetch: Any) -> None:
    names = [await made(jp_fetch, type="notebook") for _ in range(2)]
    assert names == ["Untitled.ipynb", "Untitled1.ipynb"] and server.saved.calls == []
    for name in names:
        await put(jp_fetch, name, type="notebook", content=a_notebook(f"key = '{KEY}'"))
        assert server.read(name).cells[0].source == f"key = '{MARK}'"
    assert server.saved.actions() == ["redacted", "redacted"]
    assert [finding.path for findings, _ in server.saved.calls for finding in findings] == names


async def test_a_copy_of_what_a_kernel_wrote_holds_no_secret(server: Guarded, jp_fetch: Any) -> None:
    (server.folder / "a.ipynb").write_text(json.dumps(a_notebook(f"key = '{KEY}'")))
    name = await made(jp_fetch, copy_from="a.ipynb")
    assert server.read(name).cells[0].source == f"key = '{MARK}'"
    assert KEY in (server.folder / "a.ipynb").read_text("utf-8"), "what a kernel wrote is left as it is"


BROKEN = {
    "empty": "",
    "cut short": json.dumps(a_notebook(f"key = '{KEY}'"))[:-40],
    "a merge conflict": f"<<<<<<< HEAD\n{KEY}\n=======\n>>>>>>> x\n",
    "no notebook": "[1, 2]",
}


@pytest.mark.parametrize("kind", BROKEN)
async def test_a_broken_notebook_is_not_opened_and_stays_as_it_is_until_it_is_saved_whole(
    server: Guarded, jp_fetch: Any, kind: str
) -> None:
    file = server.folder / "a.ipynb"
    file.write_text(BROKEN[kind], "utf-8")
    with pytest.raises(HTTPClientError):
        await jp_fetch("api", "contents", "a.ipynb")
    await server.opened.settle()
    assert file.read_text("utf-8") == BROKEN[kind] and server.seen.calls == []
    await put(jp_fetch, "a.ipynb", type="notebook", content=a_notebook(f"key = '{KEY}'"))
    assert server.read("a.ipynb").cells[0].source == f"key = '{MARK}'"


async def test_a_notebook_that_is_only_invalid_is_opened_and_scanned(server: Guarded, jp_fetch: Any) -> None:
    notebook = a_notebook(f"key = '{KEY}'")
    notebook["cells"][0]["nonsense"] = 1
    (server.folder / "a.ipynb").write_text(json.dumps(notebook))
    answer = json.loads((await jp_fetch("api", "contents", "a.ipynb")).body)
    await server.opened.settle()
    assert "nonsense" in answer["message"] and server.seen.actions() == ["warned"]


async def test_a_notebook_beyond_the_bound_is_opened_but_not_saved(
    server: Guarded, jp_fetch: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("jupyter_qsec.scanning.notebook.MAX_CHARACTERS", 1000)
    text = json.dumps(a_notebook("x = 1\n" * 500))
    (server.folder / "a.ipynb").write_text(text)
    opened = json.loads((await jp_fetch("api", "contents", "a.ipynb")).body)
    await server.opened.settle()
    assert "a.ipynb was opened but could not be scanned" in caplog.text
    with pytest.raises(HTTPClientError) as caught:
        await put(jp_fetch, "a.ipynb", type="notebook", content=opened["content"])
    assert caught.value.code == 422 and caught.value.response is not None
    assert "too large" in json.loads(caught.value.response.body)["message"]
    assert (server.folder / "a.ipynb").read_text() == text


# -- a hundred megabytes
def a_huge_notebook() -> dict[str, Any]:
    """A little less than a hundred megabytes of JSON, with five keys in it."""
    line = "step 0123456789 loss 0.123 \x1b[32mok\x1b[0m π\n"
    half = line * (20_000_000 // len(line))
    points = [{"x": n / 7, "y": f"point {n}"} for n in range(300_000)]
    figure = {"data": [{"points": points, "name": KEY}], "layout": {"title": {"text": f"of {KEY}"}}}
    shown = {"output_type": "display_data", "metadata": {}}
    notebook = a_notebook(
        f"key = '{KEY}'",
        {"output_type": "stream", "name": "stdout", "text": f"{half}{KEY}\n{half}"},
        {**shown, "data": {"application/vnd.plotly.v1+json": figure}},
        {**shown, "data": {"text/html": f"<p>{half[:10_000_000]}</p><b>{KEY}</b>"}},
        {**shown, "data": {"image/png": "iVBORw0KGgo" + "AkQ9" * 2_500_000}},
    )
    notebook["cells"] += [
        {"cell_type": "markdown", "id": f"m{n}", "metadata": {}, "source": f"cell {n}"} for n in range(5000)
    ]
    return notebook


PLANTED = [*[("1", "output")] * 4, ("1", "source")]


def places(reports: Reports) -> list[tuple[str, str]]:
    (findings, _), *more = reports.calls
    assert not more and {finding.kind for finding in findings} == {"aws-access-key"}
    return sorted((finding.cell, finding.place) for finding in findings)


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_a_hundred_megabytes_are_opened_saved_and_not_damaged_while_the_loop_turns(
    server: Guarded, jp_fetch: Any, jp_serverapp: Any
) -> None:
    text = json.dumps(a_huge_notebook(), ensure_ascii=False)
    assert 90_000_000 < len(text.encode()) < 105_000_000
    (server.folder / "huge.ipynb").write_text(text, "utf-8")
    watching = asyncio.create_task(server.turning.watch())
    try:
        # Not by HTTP, where the answer is encoded on the event loop while the scan goes on.
        model = await jp_serverapp.contents_manager.get("huge.ipynb", content=True)
        await server.opened.settle()
        assert places(server.seen) == sorted(set(PLANTED)), "one key is told once for each place"
        assert (server.folder / "huge.ipynb").read_text("utf-8") == text, "opening changes nothing"
        body = json.dumps({"type": "notebook", "content": model["content"]})
        await jp_fetch("api", "contents", "huge.ipynb", method="PUT", body=body, request_timeout=300)
    finally:
        watching.cancel()
    assert places(server.saved) == PLANTED
    assert server.saved.actions() == ["redacted"] and server.seen.actions() == ["warned"]
    assert server.turning.longest_stop() < LONGEST_STOP
    saved = server.read("huge.ipynb")
    nbformat.validate(saved)
    assert saved == nbformat.reads(text.replace(KEY, MARK), as_version=4), "nothing but the keys has changed"

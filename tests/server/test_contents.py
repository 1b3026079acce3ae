"""The save guard on a real Jupyter Server: what is on disk after a save."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_server.services.contents.largefilemanager import LargeFileManager
from tornado.httpclient import HTTPClientError

from jupyter_qsec.scanning.engine import Engine, Redaction
from jupyter_qsec.scanning.finding import Finding
from jupyter_qsec.scanning.scanner import Scanner
from jupyter_qsec.server.contents import SaveGuard
from tests.server.conftest import Guard
from tests.server.saves import KEY, Reports, ThreadNoting, a_notebook, put, refused

SECRET = "pLaNtEdSeCrEt/K7MDENG/bPxRfiCYqsecPLANT0"


async def test_a_saved_notebook_holds_no_secret(
    guarded: Guard, jp_fetch: Any, jp_root_dir: Path, reports: Reports
) -> None:
    guarded()
    streams = [{"output_type": "stream", "name": "stdout", "text": part} for part in (KEY[:7], KEY[7:14], KEY[14:])]
    notebook = a_notebook(f"secret_access_key = '{SECRET}'", *streams)
    notebook["metadata"]["aws"] = {"SecretAccessKey": SECRET}
    notebook["cells"].append(
        {
            "cell_type": "markdown",
            "id": "m1",
            "metadata": {},
            "source": [f"see http://localhost:8888/?token={'0af9' * 12}\n", "bye"],
            "attachments": {"a.txt": {"text/plain": KEY}},
        }
    )
    await put(jp_fetch, "a.ipynb", type="notebook", content=notebook)

    saved = (jp_root_dir / "a.ipynb").read_text()
    assert SECRET not in saved and KEY not in saved and KEY[:7] not in saved and "0af90af9" not in saved
    nbformat.validate(nbformat.reads(saved, as_version=4))
    assert "[REDACTED:aws-secret-key]" in saved and saved.count("[REDACTED:aws-access-key]") == 2
    (findings, action), *more = reports.calls
    assert action == "redacted" and not more
    assert {(f.cell, f.place, f.kind) for f in findings} == {
        ("1", "source", "aws-secret-key"),
        ("1", "output", "aws-access-key"),
        ("", "metadata", "aws-secret-key"),
        ("2", "source", "jupyter-token"),
        ("2", "attachment", "aws-access-key"),
    }
    assert SECRET not in repr(findings) and KEY not in repr(findings)


async def test_without_the_guard_the_secret_is_saved(jp_fetch: Any, jp_root_dir: Path) -> None:
    await put(jp_fetch, "a.ipynb", type="notebook", content=a_notebook(f"key = '{KEY}'"))
    assert KEY in (jp_root_dir / "a.ipynb").read_text()


async def test_a_notebook_without_secrets_is_saved_as_it_is(
    guarded: Guard, jp_fetch: Any, jp_root_dir: Path, reports: Reports
) -> None:
    guarded("refuse")
    notebook = a_notebook("task_id = '6d7a1f0c-9d1e-4a53-8f0e-2f6a8c1b7d10'")
    await put(jp_fetch, "a.ipynb", type="notebook", content=notebook)
    assert json.loads((jp_root_dir / "a.ipynb").read_text())["cells"] == notebook["cells"]
    assert reports.calls == []


async def test_refuse_leaves_the_file_and_says_what_and_where(
    guarded: Guard, jp_fetch: Any, jp_root_dir: Path, reports: Reports
) -> None:
    guarded("refuse")
    await put(jp_fetch, "a.ipynb", type="notebook", content=a_notebook("1"))
    before = (jp_root_dir / "a.ipynb").read_bytes()
    message = await refused(jp_fetch, "a.ipynb", type="notebook", content=a_notebook(f"x = 1\nkey = '{KEY}'"))
    assert (jp_root_dir / "a.ipynb").read_bytes() == before
    assert "cell 1, source, line 2: aws-access-key (AKIA****)" in message and KEY not in message
    assert reports.actions() == ["refused"]


async def test_warn_saves_and_reports(guarded: Guard, jp_fetch: Any, jp_root_dir: Path, reports: Reports) -> None:
    guarded("warn")
    await put(jp_fetch, "a.ipynb", type="notebook", content=a_notebook(f"key = '{KEY}'"))
    assert KEY in (jp_root_dir / "a.ipynb").read_text()
    assert reports.actions() == ["warned"]


@pytest.mark.parametrize(
    "content",
    [[], "text", {}, {"cells": 7}, {"cells": ["a"]}, {"cells": [{"outputs": {}}]}],
    ids=str,
)
async def test_what_is_no_notebook_is_refused_and_loses_nothing(
    guarded: Guard, jp_fetch: Any, jp_root_dir: Path, content: Any
) -> None:
    guarded()
    await put(jp_fetch, "a.ipynb", type="notebook", content=a_notebook("keep"))
    before = (jp_root_dir / "a.ipynb").read_bytes()
    message = await refused(jp_fetch, "a.ipynb", type="notebook", content=content)
    assert message.startswith("a.ipynb was not saved. The notebook")
    assert (jp_root_dir / "a.ipynb").read_bytes() == before


async def test_a_notebook_file_that_is_not_json_is_refused(guarded: Guard, jp_fetch: Any, jp_root_dir: Path) -> None:
    guarded()
    message = await refused(jp_fetch, "a.ipynb", type="file", format="text", content="<<<<<<< HEAD")
    assert "not JSON" in message and not (jp_root_dir / "a.ipynb").exists()


async def test_a_notebook_nested_without_end_is_refused(guarded: Guard, jp_fetch: Any, jp_root_dir: Path) -> None:
    guarded()
    deep: dict[str, Any] = {}
    for _ in range(200):
        deep = {"a": deep}
    notebook = {**a_notebook("1"), "metadata": deep}
    message = await refused(jp_fetch, "a.ipynb", type="notebook", content=notebook)
    assert "too deep" in message and not (jp_root_dir / "a.ipynb").exists()


class BrokenEngine(Engine):
    """Fails like a bug would."""

    def __init__(self) -> None:
        self.live = None

    def scan(self, text: str, *, allow: bool = False) -> Any:
        raise ZeroDivisionError(text)

    def redact(self, text: str, *, allow: bool = False) -> Redaction:
        raise ZeroDivisionError(text)


@pytest.mark.parametrize("mode", ["redact", "refuse", "warn"])
async def test_an_exception_in_the_scanner_saves_nothing_and_tells_nothing(
    guarded: Guard, jp_fetch: Any, jp_root_dir: Path, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    guarded(mode, BrokenEngine())
    (jp_root_dir / "a.ipynb").write_text("before")
    message = await refused(jp_fetch, "a.ipynb", type="notebook", content=a_notebook(f"key = '{KEY}'"))
    assert "scan for secrets failed" in message
    assert (jp_root_dir / "a.ipynb").read_text() == "before"
    assert KEY not in message and KEY not in caplog.text


async def test_a_report_that_fails_saves_nothing(guarded: Guard, jp_fetch: Any, jp_root_dir: Path) -> None:
    def report(findings: list[Finding], action: str) -> None:
        raise OSError("no space left")

    guarded("warn", report=report)
    await refused(jp_fetch, "a.ipynb", type="notebook", content=a_notebook(f"key = '{KEY}'"))
    assert not (jp_root_dir / "a.ipynb").exists()


@pytest.mark.parametrize("format_", ["text", "base64"])
async def test_a_plain_file_is_reported_but_never_rewritten(
    guarded: Guard, jp_fetch: Any, jp_root_dir: Path, reports: Reports, format_: str
) -> None:
    guarded("redact")
    text = f"# settings\nKEY = '{KEY}'\n"
    content = base64.b64encode(text.encode()).decode() if format_ == "base64" else text
    await put(jp_fetch, "job.py", type="file", format=format_, content=content)
    assert (jp_root_dir / "job.py").read_text() == text
    (findings, action), *_ = reports.calls
    assert action == "warned" and [(f.place, f.line, f.kind) for f in findings] == [("file", 2, "aws-access-key")]


async def test_a_plain_file_is_refused_under_refuse(guarded: Guard, jp_fetch: Any, jp_root_dir: Path) -> None:
    guarded("refuse")
    message = await refused(jp_fetch, "job.py", type="file", format="text", content=f"KEY = '{KEY}'\n")
    assert "line 1: aws-access-key" in message and not (jp_root_dir / "job.py").exists()


async def test_an_allowed_secret_stays_in_the_source_but_not_in_the_output(
    guarded: Guard, jp_fetch: Any, jp_root_dir: Path
) -> None:
    guarded()
    source = f"key = '{KEY}'  # pragma: allowlist secret"
    output = {"output_type": "stream", "name": "stdout", "text": f"{KEY}  # pragma: allowlist secret"}
    await put(jp_fetch, "a.ipynb", type="notebook", content=a_notebook(source, output))
    (cell,) = json.loads((jp_root_dir / "a.ipynb").read_text())["cells"]
    assert "".join(cell["source"]) == source
    assert "".join(cell["outputs"][0]["text"]).startswith("[REDACTED:aws-access-key]")


async def test_directories_and_images_pass(guarded: Guard, jp_fetch: Any, jp_root_dir: Path, reports: Reports) -> None:
    guarded("refuse")
    png = base64.b64encode(b"\x89PNG\r\n\x1a\n\0\0" + KEY.encode()).decode()
    await put(jp_fetch, "pictures", type="directory")
    await put(jp_fetch, "pictures/p.png", type="file", format="base64", content=png)
    assert (jp_root_dir / "pictures" / "p.png").read_bytes().startswith(b"\x89PNG")
    assert reports.calls == []


def test_a_manager_that_is_not_asynchronous_is_guarded_too(jp_root_dir: Path, reports: Reports) -> None:
    manager = LargeFileManager(root_dir=str(jp_root_dir))
    SaveGuard(Scanner(), "redact", reports).attach(manager)
    save: Callable[[dict[str, Any], str], Any] = manager.save
    raw = json.dumps(a_notebook(f"key = '{KEY}'"))
    for number, part in ((1, raw[:50]), (-1, raw[50:])):
        save({"type": "file", "format": "text", "content": part, "chunk": number}, "chunks.ipynb")
        save({"type": "file", "format": "text", "content": f"{number} {KEY}", "chunk": number}, "data.csv")
    assert reports.actions() == ["warned", "redacted", "warned"]
    save({"type": "notebook", "content": a_notebook(f"key = '{KEY}'")}, "whole.ipynb")
    for name in ("chunks.ipynb", "whole.ipynb"):
        assert "[REDACTED:aws-access-key]" in (jp_root_dir / name).read_text()
        assert KEY not in (jp_root_dir / name).read_text()


LARGE = "\n".join(f"line {number} of an output" for number in range(10_000))


def a_large_notebook() -> dict[str, Any]:
    shown = {"output_type": "stream", "name": "stdout", "text": f"{LARGE}\n{KEY}\n"}
    return a_notebook("1 + 1", shown)


async def test_a_large_notebook_is_scanned_beside_the_event_loop(
    guarded: Guard, jp_fetch: Any, jp_root_dir: Path, reports: Reports, noting: ThreadNoting
) -> None:
    guarded("redact", noting)
    told: list[int] = []

    class Told(Reports):
        def __call__(self, findings: list[Finding], action: str) -> None:
            told.append(threading.get_ident())
            super().__call__(findings, action)

    reports.__class__ = Told
    await put(jp_fetch, "a.ipynb", type="notebook", content=a_large_notebook())
    here = threading.get_ident()
    assert noting.threads and here not in noting.threads, "once, and not again by the hook"
    assert told == [here], "findings belong to the event loop"
    assert KEY not in (jp_root_dir / "a.ipynb").read_text()
    assert reports.actions() == ["redacted"]


async def test_a_small_notebook_is_scanned_by_the_hook(guarded: Guard, jp_fetch: Any, noting: ThreadNoting) -> None:
    guarded("redact", noting)
    await put(jp_fetch, "a.ipynb", type="notebook", content=a_notebook(f"key = '{KEY}'"))
    assert noting.threads == {threading.get_ident()}


async def test_large_saves_are_refused_and_reported_as_small_ones(
    guarded: Guard, jp_fetch: Any, jp_root_dir: Path, reports: Reports
) -> None:
    guarded("refuse")
    with pytest.raises(HTTPClientError) as caught:
        await put(jp_fetch, "a.ipynb", type="notebook", content=a_large_notebook())
    assert caught.value.code == 422 and not (jp_root_dir / "a.ipynb").exists()
    assert reports.actions() == ["refused"]


async def test_a_large_save_whose_report_or_scan_fails_saves_nothing(
    guarded: Guard, jp_fetch: Any, jp_root_dir: Path
) -> None:
    def failing(*_: object) -> None:
        raise OSError("the board is gone")

    guarded("redact", None, failing)
    with pytest.raises(HTTPClientError) as caught:
        await put(jp_fetch, "a.ipynb", type="notebook", content=a_large_notebook())
    assert caught.value.code == 422 and not (jp_root_dir / "a.ipynb").exists()
    guarded("redact", BrokenEngine())
    with pytest.raises(HTTPClientError) as caught:
        await put(jp_fetch, "b.ipynb", type="notebook", content=a_large_notebook())
    assert caught.value.code == 422 and not (jp_root_dir / "b.ipynb").exists()


async def test_a_later_small_save_does_not_overtake_a_large_one(
    guarded: Guard, jp_fetch: Any, jp_root_dir: Path, jp_serverapp: Any
) -> None:
    guarded("redact")
    save = jp_serverapp.contents_manager.save
    large = {"type": "notebook", "content": a_large_notebook()}
    small = {"type": "notebook", "content": a_notebook("the_last_word = 1")}
    await asyncio.gather(save(large, "a.ipynb"), save(small, "a.ipynb"))
    assert "the_last_word" in (jp_root_dir / "a.ipynb").read_text()

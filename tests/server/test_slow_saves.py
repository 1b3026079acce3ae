"""Saves that are small for a disk and slow for a scanner leave the event loop of a real Jupyter Server alone."""

from __future__ import annotations

import base64
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.server.conftest import Guard
from tests.server.saves import KEY, Reports, ThreadNoting, a_notebook, put

_CELL: dict[str, Any] = {"cell_type": "code", "metadata": {}, "source": "", "outputs": [], "execution_count": None}
_TEXT = 2 << 10


def shown(data: dict[str, Any]) -> dict[str, Any]:
    return a_notebook("1", {"output_type": "display_data", "data": data, "metadata": {}})


def annotated(**metadata: Any) -> dict[str, Any]:
    notebook = a_notebook()
    notebook["metadata"].update(metadata)
    return notebook


def of_text(unit: str) -> dict[str, Any]:
    return {"type": "file", "format": "text", "content": unit * (_TEXT // len(unit))}


def of_notebook(notebook: dict[str, Any]) -> dict[str, Any]:
    return {"type": "notebook", "content": notebook}


NAME = "pwd=" * 32
SLOW = {
    "a plot's numbers": of_notebook(shown({"application/vnd.plotly.v1+json": {"data": [{"y": [1.5] * 3000}]}})),
    "keys": of_notebook(shown({"application/json": {f"k{n}": n for n in range(500)}})),
    "tiny cells": of_notebook({**a_notebook(), "cells": [{**_CELL, "id": f"c{n}"} for n in range(100)]}),
    "empty values": of_notebook(annotated(values=[[], {}, ""] * 500)),
    "one name of many": of_notebook(annotated(**{NAME: ["", 1] * 20})),
    "pwd": of_text("pwd="),
    "key": of_text("key="),
    "findings": of_text("password: aB3$xY7!q\n"),
    "a keyword a line": of_text("password = \n"),
    "the same in an output": of_notebook(shown({"text/plain": "pwd=" * (_TEXT // 4)})),
    "the same in a key": of_notebook(annotated(**{"pwd=" * (_TEXT // 4): 1})),
}


@pytest.mark.parametrize("kind", SLOW)
async def test_what_is_slow_to_scan_is_scanned_beside_the_event_loop(
    guarded: Guard, jp_fetch: Any, noting: ThreadNoting, kind: str
) -> None:
    guarded("redact", noting)
    model = SLOW[kind]
    await put(jp_fetch, "a.ipynb" if model["type"] == "notebook" else "a.py", **model)
    assert noting.threads and threading.get_ident() not in noting.threads


@pytest.mark.parametrize("form", ["text", "base64"])
async def test_a_notebook_that_comes_as_a_file_is_scanned_there_however_small(
    guarded: Guard, jp_fetch: Any, jp_root_dir: Path, reports: Reports, noting: ThreadNoting, form: str
) -> None:
    """What it holds is not known before it is parsed: a short text makes a long name stand before many values."""
    guarded("redact", noting)
    text = json.dumps({"cells": [], "metadata": {"a": KEY}, "nbformat": 4, "nbformat_minor": 5})
    content = text if form == "text" else base64.b64encode(text.encode()).decode()
    await put(jp_fetch, "A.IPYNB", type="file", format=form, content=content)
    assert noting.threads and threading.get_ident() not in noting.threads
    assert KEY not in (jp_root_dir / "A.IPYNB").read_text() and reports.actions() == ["redacted"]


async def test_a_short_file_is_scanned_by_the_hook(guarded: Guard, jp_fetch: Any, noting: ThreadNoting) -> None:
    guarded("redact", noting)
    await put(jp_fetch, "a.py", type="file", format="text", content=f"key = '{KEY}'\n")
    assert noting.threads == {threading.get_ident()}

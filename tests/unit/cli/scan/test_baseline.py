"""`jupyter qsec baseline`: a file that changes only when secrets come or go."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jupyter_qsec.cli.main import run

KEY = "AKIA" + "QSEC7PLANTED5Q2Z"
NAME = ".secrets.baseline"


@pytest.fixture(autouse=True)
def two_secrets(here: Path) -> None:
    (here / "a.py").write_text(f"key = '{KEY}'\npassword = 'hunter2'\n")


def notebook(source: str) -> str:
    cell: dict[str, Any] = {"cell_type": "code", "id": "c", "metadata": {}, "outputs": [], "execution_count": None}
    cell["source"] = source
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def test_a_scan_with_it_tells_of_new_secrets_alone(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "n.ipynb").write_text(notebook(f"key = '{KEY}'"))
    assert run(["baseline", "."]) == 0
    assert capsys.readouterr().out == f"3 secrets in 2 files written to {NAME}.\n"
    assert run(["scan", "--baseline", NAME, "."]) == 0
    (here / "n.ipynb").write_text(notebook(f"key = '{KEY}'\npassword = 'hunter3'"))
    assert run(["scan", "--baseline", NAME, "n.ipynb"]) == 1


def test_it_does_not_drift(here: Path) -> None:
    assert run(["baseline", "."]) == 0
    first = (here / NAME).read_bytes()
    (here / "a.py").write_text(f"\n\n# moved\npassword = 'hunter2'\nkey = '{KEY}'\nagain = '{KEY}'\n")
    assert run(["baseline", "."]) == 0
    assert (here / NAME).read_bytes() == first


def test_it_holds_no_secret_and_lists_in_order(here: Path) -> None:
    (here / "b.py").write_text(f"key = '{KEY}'\n")
    run(["baseline", "b.py", "a.py"])
    text = (here / NAME).read_text()
    assert KEY not in text and "hunter2" not in text and "line_number" not in text
    assert list(json.loads(text)["results"]) == ["a.py", "b.py"]


def test_detect_secrets_reads_it_and_finds_nothing_new(here: Path) -> None:
    run(["baseline", "a.py"])
    subprocess.run(["git", "init", "--quiet"], check=True)
    subprocess.run(["git", "add", "--all"], check=True)
    hook = [sys.executable, "-m", "detect_secrets.pre_commit_hook", "--baseline", NAME, "a.py"]
    assert subprocess.run(hook, capture_output=True, check=False).returncode == 0
    (here / "a.py").write_text(f"key = '{KEY}'\npassword = 'hunter3'\n")
    assert subprocess.run(hook, capture_output=True, check=False).returncode == 1


def test_what_people_decided_is_kept(here: Path) -> None:
    run(["baseline", "."])
    value: dict[str, Any] = json.loads((here / NAME).read_text())
    value["results"]["a.py"][0]["is_secret"] = False
    (here / NAME).write_text(json.dumps(value))
    run(["baseline", "."])
    entries = json.loads((here / NAME).read_text())["results"]["a.py"]
    assert [entry.get("is_secret") for entry in entries] == [False, None]


def test_another_file_is_never_overwritten(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["baseline", "--output", "a.py", "."]) == 2
    assert "hunter2" in (here / "a.py").read_text() and "not a baseline" in capsys.readouterr().err


def test_a_baseline_of_half_a_scan_is_not_written(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["baseline", ".", "missing"]) == 2
    assert not (here / NAME).exists() and "was not written" in capsys.readouterr().err

"""`jupyter qsec scan`: what it prints and how it exits."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest

from jupyter_qsec.cli.main import run
from jupyter_qsec.cli.scan import files, work

pytestmark = pytest.mark.usefixtures("here")

KEY = "AKIA" + "QSEC7PLANTED5Q2Z"
FIELDS = {"path", "cell", "place", "part", "line", "column", "file_line", "pointer", "kind", "severity", "preview"} | {
    "fingerprint",
    "commit",
}


def a_notebook(source: str) -> str:
    cells: list[dict[str, Any]] = [
        {"cell_type": "code", "id": "c1", "metadata": {}, "outputs": [], "source": source, "execution_count": None}
    ]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def scanned(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run(["scan", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def found(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[dict[str, Any]], str]:
    code, out, err = scanned(capsys, "--format", "json", *arguments)
    return code, json.loads(out), err


def test_clean_files_exit_with_zero(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "a.py").write_text("x = 1\n")
    assert found(capsys, "a.py") == (0, [], "")
    code, out, err = scanned(capsys, "a.py")
    assert (code, out, err) == (0, "", "No secrets found in 1 file.\n")


def test_a_notebook_is_scanned_decoded_and_by_cell(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "a.ipynb").write_text(a_notebook(f'x = "é"\npassword = "hunter2"\nk = "\\u0041"\nkey = "{KEY}"'))
    code, findings, err = found(capsys, "a.ipynb")
    assert code == 1 and err == ""
    assert [(f["path"], f["cell"], f["place"], f["line"], f["kind"], f["preview"]) for f in findings] == [
        ("a.ipynb", "1", "source", 2, "assigned-secret", "h****"),
        ("a.ipynb", "1", "source", 4, "aws-access-key", "AKIA****"),
    ]
    assert all(set(f) == FIELDS for f in findings)
    assert KEY not in json.dumps(findings)


def test_text_output_names_the_place(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / ".env").write_text(f"A=1\nAWS_ACCESS_KEY_ID={KEY}\n")
    code, out, err = scanned(capsys, ".env")
    assert (code, out, err) == (1, ".env: line 2: aws-access-key AKIA****\n", "1 secret found in 1 file.\n")


def test_directories_are_searched_but_for_repositories_packages_and_binaries(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("src/deep/a.py", ".git/config", "node_modules/x/index.js", ".ipynb_checkpoints/b.txt", "c.bin"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_bytes(f"k = '{KEY}'\n".encode() + (b"\0" if name == "c.bin" else b""))
    (here / "loop").symlink_to(here)
    code, findings, _ = found(capsys, ".")
    assert code == 1
    assert {f["path"] for f in findings} == {"src/deep/a.py", ".ipynb_checkpoints/b.txt"}
    _, _, err = scanned(capsys, ".")
    assert err == "skipped: c.bin (binary)\n2 secrets found in 2 files; 1 file skipped.\n"


def test_many_skipped_files_are_named_on_request(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(12):
        (here / f"{number:02}.png").write_bytes(b"\0")
    _, _, err = scanned(capsys, ".")
    assert err.splitlines()[9:] == [
        "skipped: 09.png (binary)",
        "skipped: 2 more (--verbose names them)",
        "No secrets found in 0 files; 12 files skipped.",
    ]
    _, _, err = scanned(capsys, "--verbose", ".")
    assert len(err.splitlines()) == 13


def test_excluded_files_and_allowed_fingerprints_are_left_out(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("docs/deep/a.md", "src/a.lock", "src/a.py"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text(f"key = '{KEY}'\n")
    code, findings, _ = found(capsys, "--exclude", "docs/*", "--exclude", "*.lock", ".")
    assert code == 1 and [f["path"] for f in findings] == ["src/a.py"]
    assert found(capsys, "--exclude", "docs/*", str(here / "docs"))[0] == 0
    assert found(capsys, "--allow", findings[0]["fingerprint"].upper(), ".")[:2] == (0, [])


@pytest.mark.parametrize("name", ["a.ipynb", ""])
def test_standard_input_is_scanned_as_what_it_is(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    raw = a_notebook(f"x = 1\nkey = '{KEY}'").encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
    code, findings, _ = found(capsys, *(["--stdin-name", name] if name else []), "-")
    assert code == 1
    assert [(f["path"], f["cell"], f["line"]) for f in findings] == [(name or "<stdin>.ipynb", "1", 2)]


def test_a_diff_on_standard_input_is_text(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"+key = '{KEY}'\n".encode())))
    assert scanned(capsys, "-") == (1, "<stdin>: line 1: aws-access-key AKIA****\n", "1 secret found in 1 file.\n")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--staged", "--history"], "exclude one another"),
        (["--fix", "--staged"], "changes files in place"),
        (["--fix", "-"], "changes files in place"),
        (["-", "a.py"], "cannot be scanned together"),
        (["--stdin-name", "a.ipynb", "a.py"], "needs the path '-'"),
    ],
)
def test_what_cannot_be_meant_together_is_said(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    code, out, err = scanned(capsys, *arguments)
    assert code == 2 and out == "" and err.count("\n") == 1 and reason in err


def test_many_files_are_scanned_by_many_processes_in_their_order(here: Path) -> None:
    """As a command of its own: processes are started from the one that people start."""
    names = [f"{number:03}.ipynb" for number in range(work.ALONE + 20)]
    for name in names:
        (here / name).write_text(a_notebook(f"key = '{KEY}'"))
    command = [sys.executable, "-c", "from jupyter_qsec.cli.main import main; main()", "scan", "--format", "json", "."]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    findings = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (1, "") and [f["path"] for f in findings] == names
    assert len({f["fingerprint"] for f in findings}) == 1


def test_a_process_that_dies_is_no_clean_scan(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def dying(*_: object, **__: object) -> None:
        raise BrokenProcessPool

    monkeypatch.setattr(work, "ALONE", 0)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(ProcessPoolExecutor, "map", dying)
    (here / "a.py").write_text("x = 1\n")
    code, out, err = scanned(capsys, "a.py")
    assert code == 2 and out == "" and "what is listed is not all" in err


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_no_encoding_makes_a_file_invisible(here: Path, capsys: pytest.CaptureFixture[str], encoding: str) -> None:
    (here / "a.txt").write_bytes(f"é = 1\nkey = '{KEY}'\n".encode(encoding))
    code, findings, _ = found(capsys, "a.txt")
    assert code == 1 and [f["line"] for f in findings] == [2]


def test_what_cannot_be_scanned_is_named_after_the_others_were(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "broken.ipynb").write_text(f"<<<<<<< HEAD\nk = '{KEY}'\n")
    (here / "list.ipynb").write_text("[]")
    (here / "twice.ipynb").write_text(f'{{"cells": [], "x": "{KEY}", "x": 1}}')
    (here / "cells.ipynb").write_text('{"cells": 3}')
    (here / "good.py").write_text(f"k = '{KEY}'\n")
    os.mkfifo(here / "pipe")
    code, findings, err = found(
        capsys, "missing.py", "broken.ipynb", "list.ipynb", "twice.ipynb", "cells.ipynb", "pipe", "good.py"
    )
    assert code == 2 and [f["path"] for f in findings] == ["broken.ipynb", "twice.ipynb", "good.py"]
    assert err.splitlines() == [
        "jupyter-qsec: missing.py: No such file or directory",
        "jupyter-qsec: broken.ipynb: not a notebook: it is not JSON, so it was scanned as text",
        "jupyter-qsec: list.ipynb: not a notebook: it is not a JSON object, so it was scanned as text",
        "jupyter-qsec: twice.ipynb: has a key twice in one JSON object, so it was scanned as text",
        "jupyter-qsec: cells.ipynb: The notebook's cells are not a list.",
        "jupyter-qsec: pipe: not a regular file",
    ]


@pytest.mark.parametrize(
    ("arguments", "summary"),
    [
        (["missing"], "1 file could not be scanned."),
        (["broken.ipynb", "missing"], "2 files could not be scanned."),
        (["broken.ipynb", "good.py"], "No secrets found in 1 file; 1 file could not be scanned."),
        (["broken.ipynb", "bad.py"], "1 secret found in 1 file; 1 file could not be scanned."),
    ],
)
def test_the_summary_counts_nothing_as_clean_that_was_not_scanned(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], summary: str
) -> None:
    (here / "broken.ipynb").write_text("<<<<<<< HEAD\n")
    (here / "good.py").write_text("x = 1\n")
    (here / "bad.py").write_text(f"k = '{KEY}'\n")
    code, _, err = scanned(capsys, *arguments)
    assert code == 2 and err.splitlines()[-1] == summary


def test_a_folder_that_cannot_be_read_is_no_clean_one(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path, onerror: Callable[[OSError], None]) -> Iterator[None]:
        onerror(PermissionError(13, "Permission denied", str(path)))
        return iter(())

    monkeypatch.setattr(os, "walk", refused)
    code, _, err = scanned(capsys, ".")
    assert code == 2 and err == "jupyter-qsec: .: Permission denied\n1 folder could not be scanned.\n"


def test_a_file_that_is_too_large_is_said_to_be(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_BYTES", 1 << 20)
    (here / "big.txt").write_bytes(b"x" * ((1 << 20) + 1))
    code, _, err = found(capsys, "big.txt")
    assert code == 2 and err == "jupyter-qsec: big.txt: larger than 1 MB, not scanned\n"


def test_no_path_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = scanned(capsys)
    assert code == 2 and out == "" and err.count("\n") == 1


def test_an_allowed_line_is_left_out(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "a.py").write_text(f"k = '{KEY}'  # pragma: allowlist secret\n")
    assert found(capsys, "a.py")[0] == 0


def test_a_baseline_that_detect_secrets_wrote_is_honoured(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "a.py").write_text(f"key = '{KEY}'\npassword = 'hunter2'\n")
    written = subprocess.run(
        [sys.executable, "-m", "detect_secrets", "scan", "--all-files", "a.py"],
        capture_output=True,
        check=True,
        text=True,
    )
    (here / ".secrets.baseline").write_text(written.stdout)
    assert found(capsys, "a.py")[0] == 1
    assert found(capsys, "--baseline", ".secrets.baseline", "a.py") == (0, [], "")
    (here / "a.py").write_text(f"\n\nkey = '{KEY}'\npassword = 'hunter3'\n")
    code, findings, _ = found(capsys, "--baseline", ".secrets.baseline", "a.py")
    assert code == 1 and [f["kind"] for f in findings] == ["assigned-secret"]


def test_a_baseline_that_is_none_is_one_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "b.json").write_text("no")
    for name, reason in (("b.json", "This is not a baseline"), ("missing", "No such file")):
        code, out, err = scanned(capsys, "--baseline", name, "b.json")
        assert code == 2 and out == "" and err.count("\n") == 1 and name in err and reason in err


def test_fingerprints_are_keyed_by_this_state_directory(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "a.py").write_text(f"k = '{KEY}'\nj = '{KEY}'\n")
    first = [f["fingerprint"] for f in found(capsys, "a.py")[1]]
    assert first == [f["fingerprint"] for f in found(capsys, "a.py")[1]] and first[0] == first[1]
    key = here.parent / "home" / "fingerprint.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    monkeypatch.setenv("JUPYTER_QSEC_HOME", str(here.parent / "other"))
    assert found(capsys, "a.py")[1][0]["fingerprint"] != first[0]


@pytest.mark.parametrize("kind", ["file", "open", "below a file", "damaged key"])
def test_a_state_directory_that_cannot_be_used_stops_no_scan(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    home = here.parent / "home"
    if kind == "open":
        home.mkdir()
        home.chmod(0o777)
    elif kind == "damaged key":
        home.mkdir(mode=0o700)
        (home / "fingerprint.key").touch(0o600)
    else:
        home.touch()
        monkeypatch.setenv("JUPYTER_QSEC_HOME", str(home / "qsec" if kind == "below a file" else home))
    (here / "a.py").write_text(f"k = '{KEY}'\n")
    (here / "clean.py").write_text("x = 1\n")
    code, findings, err = found(capsys, "a.py", "a.py")
    assert code == 1 and findings[0]["fingerprint"] == findings[1]["fingerprint"]
    assert err.count("\n") == 1 and "fingerprints of this run cannot be compared" in err and str(home) in err
    assert found(capsys, "a.py")[1][0]["fingerprint"] != findings[0]["fingerprint"]
    assert scanned(capsys, "clean.py")[0] == 0


def test_a_name_cannot_steer_the_terminal(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "a\x1b[2J.py").write_text(f"k = '{KEY}'\n")
    code, out, err = scanned(capsys, ".")
    assert code == 1 and "\x1b" not in out + err


def test_texts_are_utf_8_whatever_the_locale_says(tmp_path: Path) -> None:
    (tmp_path / "données.py").write_text(f"# ключ\nkey = '{KEY}'\n", encoding="utf-8")
    plain = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "HOME": str(tmp_path)}
    program = "import sys; from jupyter_qsec.cli.main import main; sys.exit(main(['scan', '.', '--format', 'json']))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**plain, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=False,
        capture_output=True,
        timeout=60,
    )
    [finding] = json.loads(done.stdout)
    assert (done.returncode, finding["line"], finding["column"]) == (1, 2, 8), done.stderr
    assert finding["kind"] == "aws-access-key"

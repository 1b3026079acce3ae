"""`jupyter qsec scan --fix`: what is in the files afterwards, and where they are kept as they were."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import nbformat
import pytest

from jupyter_qsec.cli.main import run
from jupyter_qsec.cli.scan import redact

pytestmark = pytest.mark.usefixtures("here")

KEY = "AKIA" + "QSEC7PLANTED5Q2Z"


def backups(here: Path) -> list[Path]:
    return [path for path in (here.parent / "home" / "backups").rglob("*") if path.is_file()]


def test_a_file_is_redacted_and_kept_as_it_was(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = here / "a.py"
    file.write_bytes(f"x = 1\r\nkey = '{KEY}'\r\n".encode())
    file.chmod(0o640)
    assert run(["scan", "--fix", "."]) == 1
    (kept,) = backups(here)
    out, err = capsys.readouterr()
    assert out == "a.py: line 2: aws-access-key AKIA****\n"
    assert err.startswith(f"a.py: 1 secret redacted; kept as it was in {kept}\n")
    assert file.read_bytes() == b"x = 1\r\nkey = '[REDACTED:aws-access-key]'\r\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert kept.read_bytes() == f"x = 1\r\nkey = '{KEY}'\r\n".encode()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600 and stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    assert [path.name for path in here.iterdir()] == ["a.py"]
    assert run(["scan", "."]) == 0


@pytest.mark.parametrize("indent", [1, 4, None])
def test_a_notebook_stays_valid_and_written_as_it_was(here: Path, indent: int | None) -> None:
    cell = nbformat.v4.new_code_cell(f"key = '{KEY}'\nprint('é')")
    cell["outputs"] = [nbformat.v4.new_output("stream", name="stdout", text=f"{KEY}\n")]
    notebook = json.loads(nbformat.writes(nbformat.v4.new_notebook(cells=[cell, nbformat.v4.new_markdown_cell("é")])))
    (here / "a.ipynb").write_text(json.dumps(notebook, indent=indent, ensure_ascii=False) + "\n", encoding="utf-8")
    assert run(["scan", "--fix", "a.ipynb"]) == 1
    text = (here / "a.ipynb").read_text(encoding="utf-8")
    nbformat.validate(nbformat.reads(text, as_version=4))
    expected = json.dumps(notebook, indent=indent, ensure_ascii=False).replace(KEY, "[REDACTED:aws-access-key]") + "\n"
    assert text == expected


def test_a_link_is_followed_not_replaced(here: Path) -> None:
    (here / "real.py").write_text(f"key = '{KEY}'\n")
    (here / "link.py").symlink_to("real.py")
    assert run(["scan", "--fix", "link.py"]) == 1
    assert (here / "link.py").is_symlink() and KEY not in (here / "real.py").read_text()


@pytest.mark.parametrize(
    ("name", "raw", "reason"),
    [
        ("broken.ipynb", f"<<<<<<< HEAD\nkey = '{KEY}'\n".encode(), "not redacted: not a notebook"),
        ("odd.txt", "\ufeff".encode("utf-16-be") + f"key = '{KEY}'\n".encode("utf-16-be"), "encoding"),
    ],
)
def test_what_cannot_be_written_as_it_was_is_left_alone(
    here: Path, capsys: pytest.CaptureFixture[str], name: str, raw: bytes, reason: str
) -> None:
    (here / name).write_bytes(raw)
    assert run(["scan", "--fix", name]) == 2
    assert (here / name).read_bytes() == raw and reason in capsys.readouterr().err


def test_a_file_that_changes_meanwhile_is_left_alone(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = here / "a.py"
    file.write_text(f"key = '{KEY}'\n")
    keep = redact.Redactor._keep

    def changing(self: redact.Redactor, path: Path, raw: bytes) -> Path:
        path.write_text("edited\n")
        return keep(self, path, raw)

    monkeypatch.setattr(redact.Redactor, "_keep", changing)
    assert run(["scan", "--fix", "a.py"]) == 2
    assert file.read_text() == "edited\n" and "changed while" in capsys.readouterr().err
    assert [path.name for path in here.iterdir()] == ["a.py"]


def test_without_a_backup_nothing_is_changed(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "a.py").write_text(f"key = '{KEY}'\n")
    home = here.parent / "home"
    home.mkdir(mode=0o700)
    (home / "backups").touch()
    assert run(["scan", "--fix", "a.py"]) == 2
    assert KEY in (here / "a.py").read_text()


def test_a_read_only_folder_loses_nothing(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "a.py").write_text(f"key = '{KEY}'\n")

    def refused(self: Path, target: Path) -> None:
        raise PermissionError(13, "Permission denied", os.fspath(target))

    monkeypatch.setattr(Path, "replace", refused)
    assert run(["scan", "--fix", "a.py"]) == 2
    assert KEY in (here / "a.py").read_text() and [path.name for path in here.iterdir()] == ["a.py"]


def test_what_only_outputs_of_a_tagged_cell_show_is_redacted(here: Path) -> None:
    cell = nbformat.v4.new_code_cell(f"key = '{KEY}'", metadata={"tags": ["qsec-allow"]})
    cell["outputs"] = [nbformat.v4.new_output("stream", name="stdout", text=f"{KEY}\n")]
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), here / "a.ipynb")
    before = (here / "a.ipynb").read_text()
    assert run(["scan", "--fix", "a.ipynb"]) == 0, "nothing is reported, so nothing is touched"
    assert (here / "a.ipynb").read_text() == before

"""`jupyter qsec secrets`: registered by standard input, never by argument, and never shown again."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from jupyter_qsec.cli.main import run

VALUE = "correct/horse+Battery=staple"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JUPYTER_QSEC_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def test_a_registered_secret_is_found_by_scans(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "a.txt").write_text(f"see {VALUE.encode().hex()}  # pragma: allowlist secret\n")
    assert run(["scan", "a.txt"]) == 0
    typed(monkeypatch, VALUE + "\n")
    assert run(["secrets", "add", "lab-database"]) == 0
    assert VALUE not in capsys.readouterr().out
    assert run(["scan", "a.txt"]) == 1
    assert "line 1: lab-database" in capsys.readouterr().out
    assert run(["secrets", "list", "--format", "json"]) == 0
    listed = json.loads(capsys.readouterr().out)["secrets"]
    assert [secret["name"] for secret in listed] == ["lab-database"]
    assert run(["secrets", "remove", "lab-database"]) == 0
    assert run(["scan", "a.txt"]) == 0


def test_what_is_shared_is_found_by_whoever_was_told_of_the_file(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "a.txt").write_text(f"see {VALUE}\n")
    typed(monkeypatch, VALUE)
    assert run(["secrets", "add", "lab-database", "--file", "shared.json"]) == 0
    assert run(["secrets", "list"]) == 0
    assert "No secrets are registered." in capsys.readouterr().out
    assert run(["secrets", "list", "--file", "shared.json"]) == 0
    assert "lab-database" in capsys.readouterr().out
    assert run(["scan", "a.txt"]) == 0
    monkeypatch.setenv("JUPYTER_QSEC_SHARED_SECRETS", str(here / "shared.json"))
    assert run(["scan", "a.txt"]) == 1
    assert run(["secrets", "remove", "lab-database", "--file", "shared.json"]) == 0
    assert run(["scan", "a.txt"]) == 0


def test_mistakes_are_one_line_and_repeat_no_secret(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value, code in (("Lab", VALUE, 2), ("lab-database", "tiny-one", 2), ("lab-database", "", 2)):
        typed(monkeypatch, value)
        assert run(["secrets", "add", name]) == code
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1 and (not value or value not in err)
    assert run(["secrets", "remove", "none-such"]) == 1


def test_a_damaged_file_stops_scans_and_says_what_to_do(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(monkeypatch, VALUE)
    run(["secrets", "add", "lab-database"])
    (here / "home/registered-secrets.json").write_text("{")
    (here / "a.txt").write_text("x\n")
    capsys.readouterr()
    assert run(["scan", "a.txt"]) == 2
    assert "delete it and register the secrets anew" in capsys.readouterr().err

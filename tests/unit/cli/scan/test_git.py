"""`jupyter qsec scan` in a real Git repository: what is staged, and what was ever committed."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from jupyter_qsec.cli.main import run
from jupyter_qsec.cli.scan import files
from jupyter_qsec.cli.scan import git as git_module
from jupyter_qsec.cli.scan.git import Repository
from jupyter_qsec.cli.scan.work import outcomes
from jupyter_qsec.scanning.scanner import ScannerConfig

KEY = "AKIA" + "QSEC7PLANTED5Q2Z"
OTHER = "AKIA" + "QSEC8PLANTED6Q3Z"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JUPYTER_QSEC_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "A")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "a@example.com")
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    git("init", "--quiet", "--initial-branch=main")
    return folder


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def committed(name: str, text: str) -> str:
    """Write and commit a file; the commit's id."""
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text)
    git("add", "--all")
    git("commit", "--quiet", "--message", "x")
    return git("rev-parse", "HEAD")


def found(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    code = run(["scan", "--format", "json", *arguments])
    return code, json.loads(capsys.readouterr().out)


def test_what_is_staged_counts_not_what_is_in_the_folder(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    committed("old.py", f"key = '{OTHER}'\n")
    (repository / "a.py").write_text(f"x = 1\nkey = '{KEY}'\n")
    (repository / "b.py").write_text("x = 1\n")
    git("add", "a.py", "b.py")
    (repository / "a.py").write_text("x = 1\n")
    (repository / "b.py").write_text(f"key = '{KEY}'\n")
    code, findings = found(capsys, "--staged")
    assert code == 1 and [(f["path"], f["line"], f["commit"]) for f in findings] == [("a.py", 2, "")]
    assert found(capsys, "--staged", "b.py") == (0, [])


def test_the_first_commit_of_a_repository_has_staged_files_too(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository / "ümlaut name.py").write_text(f"key = '{KEY}'\n")
    git("add", "--all")
    assert [f["path"] for f in found(capsys, "--staged")[1]] == ["ümlaut name.py"]


def test_links_and_submodules_are_no_files(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (repository / "link").symlink_to(f"/{KEY}")
    git("add", "--all")
    git("update-index", "--add", "--cacheinfo", f"160000,{'ab' * 20},module")
    assert found(capsys, "--staged") == (0, [])


def test_history_names_the_commit_that_brought_a_secret(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    committed("a.py", "x = 1\n")
    first = committed("a.py", f"key = '{KEY}'\n")
    committed("a.py", f"# moved\nkey = '{KEY}'\n")
    committed("a.py", "x = 1\n")
    git("switch", "--quiet", "--create", "side")
    second = committed("deep/b.py", f"key = '{OTHER}'\n")
    git("switch", "--quiet", "main")
    code, findings = found(capsys, "--history")
    assert code == 1
    assert [(f["path"], f["commit"], f["line"]) for f in findings] == [("a.py", first, 1), ("deep/b.py", second, 1)]
    assert found(capsys, "--history", "a.py")[1] == findings[:1]
    assert run(["scan", "--history"]) == 1
    assert f"a.py ({first[:10]}): line 1: aws-access-key AKIA****" in capsys.readouterr().out


def test_what_only_a_merge_brought_is_found(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    committed("a.py", "x = 1\n")
    git("switch", "--quiet", "--create", "side")
    committed("b.py", "y = 1\n")
    git("switch", "--quiet", "main")
    committed("c.py", "z = 1\n")
    git("merge", "--quiet", "--no-commit", "side")
    merge = committed("a.py", f"key = '{KEY}'\n")
    assert [(f["path"], f["commit"]) for f in found(capsys, "--history")[1]] == [("a.py", merge)]


def test_an_empty_repository_has_a_clean_history(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert found(capsys, "--history") == (0, [])


def test_a_blob_that_is_too_large_does_not_confuse_the_next(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_BYTES", 1000)
    monkeypatch.setattr("jupyter_qsec.cli.scan.git.MAX_BYTES", 1000)
    committed("a.txt", "x" * 5000)
    committed("b.py", f"key = '{KEY}'\n")
    code = run(["scan", "--history", "--format", "json"])
    out, err = capsys.readouterr()
    assert code == 2 and [f["path"] for f in json.loads(out)] == ["b.py"] and "a.txt: larger than" in err


def test_half_a_blob_is_no_clean_one(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git may be killed while it gives a blob."""
    commit = committed("a.py", f"key = '{KEY}'\n")
    dying = repository.parent / "dying"
    dying.write_text("#!/bin/sh\nread blob\necho $blob blob 5000\nprintf 'x = 1'\n")
    dying.chmod(0o700)
    items = list(Repository(repository).history([]))
    assert [item.commit for item in items] == [commit]
    monkeypatch.setattr(git_module, "_GIT", (str(dying),))
    (outcome,) = outcomes(items, ScannerConfig(), repository)
    assert outcome.failed == "git ended before it had given all of it" and outcome.findings == []


def test_outside_of_a_repository_one_line_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_QSEC_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    assert run(["scan", "--staged"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("jupyter-qsec: git: not a git repository") and err.count("\n") == 1


def test_without_git_one_line_says_so(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(repository))
    assert run(["scan", "--history"]) == 2
    assert capsys.readouterr().err == "jupyter-qsec: Git is not installed.\n"


def test_a_repository_cannot_make_the_scan_run_a_program(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its own configuration and attributes may name programs for diffs; none is started."""
    (repository / "evil.sh").write_text(f"#!/bin/sh\ntouch {repository}/started\ncat\n")
    (repository / "evil.sh").chmod(0o755)
    for key in ("core.fsmonitor", "core.pager", "diff.external", "diff.evil.command", "diff.evil.textconv"):
        git("config", key, str(repository / "evil.sh"))
    (repository / ".gitattributes").write_text("* diff=evil\n")
    committed("a.py", f"key = '{KEY}'\n")
    (repository / "started").unlink(missing_ok=True)  # by our own `git add`
    (repository / "b.py").write_text(f"key = '{OTHER}'\n")
    subprocess.run(["git", "-c", "core.fsmonitor=false", "add", "b.py"], check=True)
    assert found(capsys, "--history")[0] == 1 and found(capsys, "--staged")[0] == 1
    assert not (repository / "started").exists()

"""The page about scanning files, followed as it is written: its commands, its program, its hook and its CI job."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/scanning-files.md").read_text("utf-8")
KEY = "AKIA" + "QSEC7PLANTED5Q2Z"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a notebook that holds a key, in an environment of its own."""
    scripts = Path(sys.executable).parent
    for name, value in {
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path / "home"),
        "JUPYTER_QSEC_HOME": str(tmp_path / "state"),
        "PRE_COMMIT_HOME": str(tmp_path / "pre-commit"),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "A",
        "GIT_AUTHOR_EMAIL": "a@example.com",
        "GIT_COMMITTER_NAME": "A",
        "GIT_COMMITTER_EMAIL": "a@example.com",
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "home").mkdir()
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(f"key = '{KEY}'")])
    nbformat.write(notebook, folder / "analysis.ipynb")
    git("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "--message", "x")
    return folder


def git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], check=True, capture_output=True)


def shell(command: str, code: int) -> str:
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_the_commands_do_what_the_page_says(project: Path) -> None:
    whole, staged, history, piped, fix, sarif = [
        line.split("#")[0].strip() for line in blocks("")[0].splitlines() if line.strip()
    ]
    assert "cell 1, source, line 1: aws-access-key" in shell(whole, 1)
    assert shell(staged, 0) == ""
    assert "analysis.ipynb (" in shell(history, 1)
    (project / "b.py").write_text("x = 1\n")
    git("add", "b.py")
    (project / "b.py").write_text(f"key = '{KEY}'\n")
    assert "<stdin>: line " in shell(piped, 1)
    shell(sarif, 1)
    assert len(json.loads((project / "qsec.sarif").read_text("utf-8"))["runs"][0]["results"]) == 2
    shell(fix, 1)
    assert KEY not in (project / "analysis.ipynb").read_text("utf-8")


def test_the_program_prints_what_it_finds(project: Path) -> None:
    (program,) = blocks("python")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "cell 1, source, line 1 aws-access-key critical AKIA****\n"


def test_the_hook_stops_a_commit_and_lets_a_baseline_pass(project: Path) -> None:
    configuration, _ = blocks("yaml")
    (project / ".pre-commit-config.yaml").write_text(configuration)
    shell("jupyter qsec baseline --output .secrets.baseline .pre-commit-config.yaml", 0)
    git("add", "--all")
    run = [sys.executable, "-m", "pre_commit", "run", "--all-files"]
    stopped = subprocess.run(run, capture_output=True, text=True, check=False, timeout=120)
    assert stopped.returncode == 1 and "aws-access-key AKIA****" in stopped.stdout
    shell("jupyter qsec baseline .", 0)
    git("add", "--all")
    subprocess.run(run, check=True, capture_output=True, timeout=120)


def test_the_hook_of_this_repository_is_the_same(project: Path) -> None:
    manifest = ROOT / ".pre-commit-hooks.yaml"
    subprocess.run([sys.executable, "-m", "pre_commit", "validate-manifest", str(manifest)], check=True)
    (ours,) = yaml.safe_load(manifest.read_text("utf-8"))
    (theirs,) = yaml.safe_load(blocks("yaml")[0])["repos"][0]["hooks"]
    assert {key: ours[key] for key in ("id", "name", "language", "types")} == {
        key: theirs[key] for key in ("id", "name", "language", "types")
    }
    assert theirs["entry"].startswith(ours["entry"]) and shutil.which(ours["entry"].split()[0])


def test_the_job_of_the_page_is_one_and_its_command_works(project: Path) -> None:
    job = yaml.safe_load(blocks("yaml")[1])["jobs"]["secrets"]
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands[0] == "pip install jupyter_qsec"
    shell("jupyter qsec baseline .", 0)
    shell(commands[1], 0)
    assert json.loads((project / "qsec.sarif").read_text("utf-8"))["runs"][0]["results"] == []

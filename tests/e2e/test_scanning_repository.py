"""`jupyter-qsec scan` on a repository with a thousand notebooks, in a terminal: a bar that moves, and a SARIF file that
a code host can take, with the planted secrets in it and nothing else."""

from __future__ import annotations

import base64
import json
import os
import pty
import random
import re
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

SCAN = [str(Path(sys.executable).parent / "jupyter-qsec"), "scan", ".", "--format", "sarif"]
NOTEBOOKS = 1000
SECONDS = 120
"""Alone on a machine it takes three."""
KEY = "AKIA" + "QSEC7PLANTED5Q2Z"
TOKEN = "ghp_" + "x7Kq2Vn9Rb4Wm1Zs8Tc5Yd3Lf6Hj0Gp2Qa9E"
PASSWORD = "tr0ub4dor-" + "and-3-horses"
PLACES: dict[str, tuple[str, str, Callable[[str], dict[str, Any]]]] = {
    "source": ("aws-access-key", KEY, lambda text: {"source": [f"client = connect({text!r})\n", "client"]}),
    "output": (
        "github-token",
        TOKEN,
        lambda text: {"outputs": [{"output_type": "stream", "name": "stdout", "text": ["cloned\n", f"with {text}\n"]}]},
    ),
    "metadata": ("assigned-secret", PASSWORD, lambda text: {"metadata": {"db": {"password": text}}}),
}
"""Kind, secret, and what of a cell holds it."""


@dataclass(frozen=True)
class Planted:
    path: str
    kind: str
    secret: str


@dataclass(frozen=True)
class Scanned:
    """A scan of the repository in a terminal."""

    code: int
    sarif: str
    shown: str
    """On the terminal, which is standard error alone."""
    seconds: float

    @property
    def run(self) -> dict[str, Any]:
        runs: list[dict[str, Any]] = json.loads(self.sarif)["runs"]
        (run,) = runs
        return run

    def found(self) -> list[tuple[str, dict[str, Any]]]:
        """The path and the result of each finding."""
        return [(unquote(uri(result)), result) for result in self.run["results"]]


def uri(result: dict[str, Any]) -> str:
    (location,) = result["locations"]
    return str(location["physicalLocation"]["artifactLocation"]["uri"])


def cell(kind: str, **parts: Any) -> dict[str, Any]:
    code = {"execution_count": 1, "outputs": []} if kind == "code" else {}
    return {"cell_type": kind, "id": "c0", "metadata": {}, "source": [], **code, **parts}


def cells_without_secrets(chance: random.Random) -> Iterator[dict[str, Any]]:
    """As people's notebooks are: ids, hashes, pictures, tables, keys and tokens that are spoken of alone."""
    task = uuid.UUID(int=chance.getrandbits(128), version=4)
    arn = f"arn:aws:braket:us-east-1:123456789012:quantum-task/{task}"
    digest, picture = chance.randbytes(32).hex(), base64.b64encode(chance.randbytes(3000)).decode()
    yield cell("markdown", source=[f"# Run {task}\n", "Put your token into the environment, never into a cell."])
    yield cell("code", source=["import os\n", "token = os.environ['IONQ_API_KEY']\n", f"assert digest == '{digest}'\n"])
    shown = {"output_type": "display_data", "metadata": {}}
    table = {"text/html": [f"<tr><td>{chance.random()}</td><td>{digest}</td></tr>\n" for _ in range(20)]}
    printed = {"output_type": "stream", "name": "stdout", "text": [f"{arn}\n", "loss 0.12\n" * 5]}
    yield cell("code", outputs=[printed, {**shown, "data": {"image/png": picture}}, {**shown, "data": table}])


@pytest.fixture(scope="module")
def planted() -> list[Planted]:
    return []


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, planted: list[Planted]) -> Path:
    """In folders with blanks and letters that URIs do not have. Every 25th notebook holds a secret."""
    folder = tmp_path_factory.mktemp("repository") / "work"
    chance = random.Random(20260302)
    for number in range(NOTEBOOKS):
        name = f"team {number % 7}/qubits-é{number % 3}/run #{number:04}.ipynb"
        cells = list(cells_without_secrets(chance))
        if number % 25 == 13:
            kind, secret, holds = PLACES[("source", "output", "metadata")[number % 3]]
            cells.insert(number % 4, cell("code", **holds(secret)))
            planted.append(Planted(name, kind, secret))
        notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(notebook, indent=1, ensure_ascii=False), "utf-8")
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "x"]):
        subprocess.run(["git", *command], cwd=folder, env=environment(folder), check=True, capture_output=True)
    return folder


def environment(folder: Path) -> dict[str, str]:
    names = {f"GIT_{who}_{what}": "a@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    own = {"JUPYTER_QSEC_HOME": str(folder.parent / "home"), "GIT_CONFIG_GLOBAL": os.devnull, "COLUMNS": "100"}
    return {**os.environ, **names, **own}


@pytest.fixture(scope="module")
def scanned(repository: Path) -> Scanned:
    terminal, end = pty.openpty()
    output = repository.parent / "qsec.sarif"
    began = time.monotonic()
    with output.open("wb") as stdout:
        process = subprocess.Popen(SCAN, cwd=repository, env=environment(repository), stdout=stdout, stderr=end)
    os.close(end)
    shown = read_to_the_end(terminal)
    return Scanned(process.wait(SECONDS), output.read_text("utf-8"), shown, time.monotonic() - began)


def read_to_the_end(terminal: int) -> str:
    """What a terminal shows until nobody can write to it any more, which Linux tells by an error."""
    parts = []
    try:
        while part := os.read(terminal, 65536):
            parts.append(part)
    except OSError:
        pass
    finally:
        os.close(terminal)
    return b"".join(parts).decode()


def test_the_planted_secrets_are_found_and_nothing_else(scanned: Scanned, planted: list[Planted]) -> None:
    assert scanned.code == 1 and len(planted) == 40
    found = Counter((path, result["ruleId"]) for path, result in scanned.found())
    assert found == Counter((secret.path, secret.kind) for secret in planted)
    assert scanned.seconds < SECONDS


def test_each_is_shown_at_the_line_of_the_file_where_it_stands(
    scanned: Scanned, planted: list[Planted], repository: Path
) -> None:
    secrets = {secret.path: secret.secret for secret in planted}
    for path, result in scanned.found():
        line = result["locations"][0]["physicalLocation"]["region"]["startLine"]
        assert secrets[path] in (repository / path).read_text("utf-8").splitlines()[line - 1]


def test_a_bar_moves_on_the_terminal_and_nothing_else_is_there(scanned: Scanned) -> None:
    steps = [int(step) for step in re.findall(r"Scanning  \[[#-]+\]  (\d+)/1000", scanned.shown)]
    assert steps == sorted(steps) and len(set(steps)) > 10 and steps[-1] == NOTEBOOKS
    left = re.sub(r"\x1b\[[?0-9]*[A-Za-z]", "", scanned.shown).replace("\r", "\n").splitlines()
    assert {line.split("[")[0].strip() for line in left} <= {"Scanning", ""}


def test_without_a_terminal_there_is_no_bar(scanned: Scanned, repository: Path) -> None:
    done = subprocess.run(
        SCAN, cwd=repository, env=environment(repository), capture_output=True, check=False, timeout=SECONDS
    )
    assert (done.returncode, done.stderr) == (1, b"")
    assert done.stdout.decode() == scanned.sarif, "the same in the same order, on however many processors"


def test_a_code_host_can_take_the_file(scanned: Scanned, repository: Path) -> None:
    """What GitHub asks of SARIF 2.1.0 beyond its schema."""
    log, run = json.loads(scanned.sarif), scanned.run
    assert (log["version"], log["$schema"].rpartition("/")[2]) == ("2.1.0", "sarif-2.1.0.json")
    driver = run["tool"]["driver"]
    assert driver["name"] == "jupyter_qsec" and re.fullmatch(r"\d+\.\d+\.\d+\S*", driver["semanticVersion"])
    rules = [rule["id"] for rule in driver["rules"]]
    assert len(rules) == len(set(rules))
    for rule in driver["rules"]:
        assert rule["shortDescription"]["text"] and rule["help"]["text"]
        assert 0 < float(rule["properties"]["security-severity"]) <= 10
    assert all(invocation["executionSuccessful"] for invocation in run["invocations"])
    for path, result in scanned.found():
        assert rules[result["ruleIndex"]] == result["ruleId"]
        assert result["level"] in {"note", "warning", "error"} and result["message"]["text"]
        split = urlsplit(uri(result))
        assert (split.scheme, split.netloc, split.query, split.fragment) == ("", "", "", ""), "relative"
        assert uri(result).isascii() and not uri(result).startswith("/") and not {"\\", " "} & set(uri(result))
        assert (repository / path).is_file()
        assert result["locations"][0]["physicalLocation"]["region"]["startLine"] >= 1
        assert result["partialFingerprints"] and all(result["partialFingerprints"].values())


def test_one_secret_in_many_notebooks_has_one_fingerprint_and_is_nowhere_in_the_file(scanned: Scanned) -> None:
    prints = {(result["ruleId"], *result["partialFingerprints"].values()) for _, result in scanned.found()}
    assert len(prints) == len(PLACES)
    assert not [secret for _, secret, _ in PLACES.values() if secret in scanned.sarif]

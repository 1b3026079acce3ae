"""Findings as SARIF 2.1.0, the format in which code hosts and editors take the results of checks.

Format: OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0". `security-severity` is GitHub's
extension (0.0 to 10.0).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

from jupyter_qsec._version import __version__
from jupyter_qsec.scanning.finding import Finding
from jupyter_qsec.scanning.kinds import kind_of
from jupyter_qsec.scanning.severity import Severity

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {Severity.LOW: "note", Severity.MEDIUM: "warning", Severity.HIGH: "error", Severity.CRITICAL: "error"}
_SCORES = {Severity.LOW: "3.0", Severity.MEDIUM: "6.0", Severity.HIGH: "8.0", Severity.CRITICAL: "9.5"}


def as_sarif(findings: Sequence[Finding], problems: Iterable[tuple[str, str]] = (), *, complete: bool = True) -> str:
    """One run with its findings; `problems` are (path, reason) of what was not scanned. Holds no secret."""
    kinds = sorted({finding.kind for finding in findings})
    number = {kind: n for n, kind in enumerate(kinds)}
    driver = {
        "name": "jupyter_qsec",
        "semanticVersion": __version__,
        "rules": [_rule(kind) for kind in kinds],
    }
    invocation = {
        "executionSuccessful": complete,
        "toolExecutionNotifications": [
            {"level": "warning", "message": {"text": reason}, "locations": [{"physicalLocation": _artifact(path)}]}
            for path, reason in problems
        ],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "invocations": [invocation],
        "results": [_result(finding, number[finding.kind]) for finding in findings],
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def _rule(name: str) -> dict[str, Any]:
    kind = kind_of(name)
    return {
        "id": name,
        "shortDescription": {"text": _sentence(kind.description)},
        "help": {"text": kind.advice},
        "defaultConfiguration": {"level": _LEVELS[kind.severity]},
        "properties": {"tags": ["security"], "security-severity": _SCORES[kind.severity]},
    }


def _result(finding: Finding, index: int) -> dict[str, Any]:
    kind = kind_of(finding.kind)
    text = f"{_sentence(kind.description)} ({finding.preview}) at {finding.where()}. {kind.advice}"
    region: dict[str, Any] = {"startLine": finding.file_line or finding.line}
    if finding.place == "file":
        region["startColumn"] = finding.column
    location: dict[str, Any] = {"physicalLocation": {**_artifact(finding.path), "region": region}}
    if finding.pointer:
        location["logicalLocations"] = [{"fullyQualifiedName": finding.pointer, "kind": "element"}]
    properties = {"cell": finding.cell, "cellId": finding.cell_id, "place": finding.place, "commit": finding.commit}
    return {
        "ruleId": finding.kind,
        "ruleIndex": index,
        "level": _LEVELS[kind.severity],
        "message": {"text": text},
        "locations": [location],
        "partialFingerprints": {"jupyterQsec/v1": finding.fingerprint},
        "properties": {name: value for name, value in properties.items() if value},
    }


def _artifact(path: str) -> dict[str, Any]:
    """A path as a relative reference; an absolute one as it is on this machine."""
    slashes = path.replace("\\", "/").removeprefix("./")
    encoded = quote(slashes, safe="/", errors="surrogateescape")
    return {"artifactLocation": {"uri": f"file://{encoded}" if slashes.startswith("/") else encoded}}


def _sentence(phrase: str) -> str:
    return phrase[:1].upper() + phrase[1:]

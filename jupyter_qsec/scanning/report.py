"""Findings as text and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from jupyter_qsec.scanning.finding import Finding

_DESCRIBED = 5
_SHORT_COMMIT = 10


def as_json(findings: Iterable[Finding]) -> str:
    """A JSON array of `{path, cell, place, part, line, column, file_line, pointer, kind, severity, preview,
    fingerprint, commit}`.

    Keys may be added, never renamed.
    """
    return json.dumps(
        [
            {
                "path": finding.path,
                "cell": finding.cell,
                "place": finding.place,
                "part": finding.part,
                "line": finding.line,
                "column": finding.column,
                "file_line": finding.file_line,
                "pointer": finding.pointer,
                "kind": finding.kind,
                "severity": finding.severity.label,
                "preview": finding.preview,
                "fingerprint": finding.fingerprint,
                "commit": finding.commit,
            }
            for finding in findings
        ],
        indent=2,
    )


def as_text(findings: Sequence[Finding]) -> str:
    """One line a finding: `path: cell 2, source, line 1: aws-access-key AKIA****`."""
    return "\n".join(f"{_path(finding)}: {finding.where()}: {finding.kind} {finding.preview}" for finding in findings)


def _path(finding: Finding) -> str:
    return f"{finding.path} ({finding.commit[:_SHORT_COMMIT]})" if finding.commit else finding.path


def describe(findings: Sequence[Finding]) -> str:
    """The first few findings in one line, for an error message."""
    named = "; ".join(f"{f.where()}: {f.kind} ({f.preview})" for f in findings[:_DESCRIBED])
    more = len(findings) - _DESCRIBED
    return f"{named}; and {more} more" if more > 0 else named

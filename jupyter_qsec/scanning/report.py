"""Findings as text and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from jupyter_qsec.scanning.finding import SecretFinding

_DESCRIBED = 5


def as_json(findings: Iterable[SecretFinding]) -> str:
    """A JSON array of `{path, cell, place, line, column, kind, severity, preview, fingerprint}`.

    Keys may be added, never renamed.
    """
    return json.dumps(
        [
            {
                "path": finding.path,
                "cell": finding.cell,
                "place": finding.place,
                "line": finding.line,
                "column": finding.column,
                "kind": finding.kind,
                "severity": finding.severity.label,
                "preview": finding.preview,
                "fingerprint": finding.fingerprint,
            }
            for finding in findings
        ],
        indent=2,
    )


def as_text(findings: Sequence[SecretFinding]) -> str:
    """One line a finding: `path: cell 2, source, line 1: aws-access-key AKIA****`."""
    return "\n".join(f"{finding.path}: {finding.where()}: {finding.kind} {finding.preview}" for finding in findings)


def describe(findings: Sequence[SecretFinding]) -> str:
    """The first few findings in one line, for an error message."""
    named = "; ".join(f"{f.where()}: {f.kind} ({f.preview})" for f in findings[:_DESCRIBED])
    more = len(findings) - _DESCRIBED
    return f"{named}; and {more} more" if more > 0 else named

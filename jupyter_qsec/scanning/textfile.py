"""Plain files, line by line in reports but as one text for the scan."""

from __future__ import annotations

from jupyter_qsec.scanning.baseline import Baseline
from jupyter_qsec.scanning.finding import Fingerprinter, SecretFinding, preview
from jupyter_qsec.scanning.scanner import Scanner, bare


def scan_text(
    text: str, scanner: Scanner, fingerprinter: Fingerprinter, path: str, *, baseline: Baseline | None = None
) -> list[SecretFinding]:
    """The secrets of a file's text, but for those the baseline knows; `pragma: allowlist secret` comments count."""
    findings = []
    line, at = 1, 0
    for match in scanner.scan(text, allow=True):
        line += text.count("\n", at, match.start)
        at = match.start
        secret = bare(match.kind, text[match.start : match.end])
        if baseline is not None and baseline.knows(path, match.kind, secret):
            continue
        fingerprint = fingerprinter.fingerprint(match.kind, secret)
        column = match.start - text.rfind("\n", 0, match.start)
        findings.append(SecretFinding(path, "", "file", line, match.kind, preview(secret), fingerprint, column=column))
    return findings

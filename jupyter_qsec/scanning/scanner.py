"""The scanner as other programs use it: texts and notebooks in, findings or redacted copies out.

from jupyter_qsec.scanning.scanner import Scanner, ScannerConfig

for finding in Scanner(ScannerConfig()).scan_notebook(notebook, filename="analysis.ipynb"):
    print(finding.where(), finding.kind, finding.preview)
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jupyter_qsec.scanning.allowlist import PathGlobs
from jupyter_qsec.scanning.baseline import Knows
from jupyter_qsec.scanning.engine import Engine, bare, replace
from jupyter_qsec.scanning.finding import Finding, Fingerprinter, Match, preview
from jupyter_qsec.scanning.mimebundle import Found, Known
from jupyter_qsec.scanning.notebook import Make, NotebookWalk
from jupyter_qsec.scanning.registered import SecretSet, searching


@dataclass(frozen=True, slots=True)
class ScannerConfig:
    """What a scanner is to know. Picklable, so that every process of a scan works alike."""

    fingerprint_key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    """At least 16 bytes; by default one of this configuration alone."""
    baseline: Knows | None = None
    """Secrets that a project knows of and has decided about."""
    allow_paths: tuple[str, ...] = ()
    """Globs of files in which nothing is looked for. `*` also matches `/`; a glob may leave out leading folders."""
    allow_fingerprints: frozenset[str] = frozenset()
    """Fingerprints (made with this key) of secrets that may stay."""
    registered: tuple[SecretSet, ...] = ()
    """Secrets that are known exactly."""


def _engine_of(config: ScannerConfig) -> Engine:
    if not config.registered:
        return Engine.default()
    return Engine.default(live=searching(config.registered))


class Scanner:
    """Finds and removes the secrets of texts and notebooks. Immutable and thread-safe.

    `pragma: allowlist secret` comments count in texts and in sources of cells; the cell tag `qsec-allow` counts for the
    whole cell when scanning, and for everything but outputs when redacting, as a kernel may print anything. Live
    secrets are found in spite of both.
    """

    def __init__(self, config: ScannerConfig | None = None, *, engine: Engine | None = None) -> None:
        """Raises `InvalidRequestError` when the key is too short. `engine`: one with live secrets, for example."""
        self.config = config if config is not None else ScannerConfig()
        self._engine = engine if engine is not None else _engine_of(self.config)
        self._fingerprinter = Fingerprinter(self.config.fingerprint_key)
        self._globs = PathGlobs(self.config.allow_paths)

    def scan_text(self, text: str, *, filename: str | None = None) -> list[Finding]:
        """The secrets of a file's text, in order."""
        return self.redact_text(text, filename=filename)[1]

    def redact_text(self, text: str, *, filename: str | None = None) -> tuple[str, list[Finding]]:
        """The text with a marker for each secret, and what was found."""
        path = filename or ""
        if self._globs.match(path):
            return text, []
        known, make = self._known(path), self._maker(path)
        matches: list[Match] = []
        findings: list[Finding] = []
        line, at = 1, 0
        for match in self._engine.scan(text, allow=True):
            line += text.count("\n", at, match.start)
            at = match.start
            secret = bare(match.kind, text[match.start : match.end])
            if known is not None and known(match.kind, secret):
                continue
            column = match.start - text.rfind("\n", 0, match.start)
            matches.append(match)
            findings.append(make(Found(match, line, column, secret), {"cell": "", "place": "file"}))
        return replace(text, matches).text, findings

    def scan_notebook(self, notebook: Mapping[str, Any], *, filename: str | None = None) -> list[Finding]:
        """The secrets of a notebook: of sources, outputs, attachments and metadata. Raises what `redact_notebook`
        raises."""
        return self._notebook(notebook, filename, allow_outputs=True)[1]

    def redact_notebook(
        self, notebook: Mapping[str, Any], *, filename: str | None = None
    ) -> tuple[dict[str, Any], list[Finding]]:
        """A new notebook without secrets, and what was found; it stays valid. The one given is left untouched.

        Raises `InvalidRequestError` when this is no notebook of format 3 or 4, `TooLargeError` when it is too large to
        scan.
        """
        return self._notebook(notebook, filename, allow_outputs=False)

    def _notebook(
        self, notebook: Mapping[str, Any], filename: str | None, *, allow_outputs: bool
    ) -> tuple[dict[str, Any], list[Finding]]:
        path = filename or ""
        if self._globs.match(path):
            return dict(notebook), []
        walk = NotebookWalk(self._engine, self._maker(path), self._known(path), allow_outputs=allow_outputs)
        return walk.notebook(notebook), walk.findings

    def _known(self, path: str) -> Known | None:
        baseline, allowed = self.config.baseline, self.config.allow_fingerprints
        if baseline is None and not allowed:
            return None

        def known(kind: str, secret: str) -> bool:
            if baseline is not None and baseline.knows(path, kind, secret):
                return True
            return bool(allowed) and self._fingerprinter.fingerprint(kind, secret) in allowed

        return known

    def _maker(self, path: str) -> Make:
        def make(found: Found, where: dict[str, Any]) -> Finding:
            kind = found.match.kind
            return Finding(
                path=path,
                line=found.line,
                column=found.column,
                kind=kind,
                preview=preview(found.secret),
                fingerprint=self._fingerprinter.fingerprint(kind, found.secret),
                **where,
            )

        return make

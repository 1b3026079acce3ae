"""One file or blob at a time: what it is, and what is in it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from jupyter_qsec.cli.scan import files
from jupyter_qsec.domain.errors import InvalidRequestError, QsecError
from jupyter_qsec.scanning.finding import Finding
from jupyter_qsec.scanning.notebooklines import with_file_lines
from jupyter_qsec.scanning.scanner import Scanner

NOTEBOOK_SUFFIX = ".ipynb"


@dataclass(frozen=True, slots=True)
class Item:
    """Something to look at: a file, or a blob of Git under the name of a file."""

    path: str
    blob: str = ""
    """Object id in Git; empty for a file on disk."""
    commit: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one item."""

    item: Item
    findings: list[Finding] = field(default_factory=list)
    skipped: str = ""
    """Why nothing was looked for; empty when something was."""
    failed: str = ""
    """Why it could not be looked at to its end."""


class Blobs(Protocol):
    """Reads objects of Git."""

    def read(self, blob: str) -> bytes: ...


class Examiner:
    """Looks at items with one scanner. Findings come with their line in the file."""

    def __init__(self, scanner: Scanner, blobs: Blobs | None = None) -> None:
        self._scanner = scanner
        self._blobs = blobs

    def examine(self, item: Item) -> Outcome:
        """Never raises for what is wrong with an item."""
        try:
            raw = self._read(item)
        except QsecError as error:
            return Outcome(item, failed=error.message)
        except OSError as error:
            return Outcome(item, failed=error.strerror or type(error).__name__)
        return self.content(item, raw)

    def content(self, item: Item, raw: bytes) -> Outcome:
        """As `examine`, for content that was read already."""
        encoding = files.encoding_of(raw)
        if encoding is None:
            return Outcome(item, skipped="binary")
        text = files.decoded(raw, encoding)
        failed = ""
        try:
            found = self._found(item.path, text)
        except QsecError as error:
            # A notebook in the middle of a merge is none, and its secrets are as real.
            failed = error.message
            found = self._in_text(item.path, text)
        if item.commit:
            found = [replace(finding, commit=item.commit) for finding in found]
        return Outcome(item, found, failed=failed)

    def _found(self, path: str, text: str) -> list[Finding]:
        if not path.lower().endswith(NOTEBOOK_SUFFIX):
            return self._in_text(path, text)
        return with_file_lines(self._scanner.scan_notebook(notebook_of(text), filename=path), text)

    def _in_text(self, path: str, text: str) -> list[Finding]:
        return [replace(f, file_line=f.line) for f in self._scanner.scan_text(text, filename=path)]

    def _read(self, item: Item) -> bytes:
        if not item.blob:
            return files.read(Path(item.path))
        if self._blobs is None:
            raise InvalidRequestError("not in a Git repository")
        return files.bounded(self._blobs.read(item.blob))


def notebook_of(text: str) -> dict[str, Any]:
    """The JSON object of a notebook's file. `InvalidRequestError` when it is none, or holds a key twice: of two values
    under one key a reader sees only one, and a scan must see both."""
    try:
        notebook = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise InvalidRequestError("not a notebook: it is not JSON, so it was scanned as text") from None
    if not isinstance(notebook, dict):
        raise InvalidRequestError("not a notebook: it is not a JSON object, so it was scanned as text")
    return notebook


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise InvalidRequestError("has a key twice in one JSON object, so it was scanned as text")
    return result

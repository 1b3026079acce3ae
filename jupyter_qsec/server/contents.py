"""The save guard: no secret reaches a notebook's file through Jupyter's contents manager.

Jupyter Server saves a file **unredacted** when a pre-save hook raises anything but an `HTTPError`, so every
other exception becomes one here. Files that a kernel writes itself never pass a contents manager, nor this guard.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from typing import Any

from tornado.web import HTTPError

from jupyter_qsec.domain.errors import QsecError, TooLargeError
from jupyter_qsec.scanning.finding import Finding
from jupyter_qsec.scanning.report import describe
from jupyter_qsec.scanning.scanner import Scanner
from jupyter_qsec.server.beside import Passed, Report, ScanBeside
from jupyter_qsec.server.uploads import ChunkedNotebooks, Piece

REFUSED = 422
MAX_PLAIN_CHARACTERS = 20 << 20
"""Plain files above this size are not scanned, except that `refuse` refuses them: saving must not stall the server."""

_log = logging.getLogger(__name__)


class SaveMode(StrEnum):
    """What is done when a save holds a secret. A plain file (`.py`, `.env`) is never rewritten: it is refused under
    `refuse` and otherwise saved as it is and reported."""

    REDACT = "redact"
    REFUSE = "refuse"
    WARN = "warn"


class SaveGuard:
    """A pre-save hook for any contents manager."""

    def __init__(self, scanner: Scanner, mode: str | SaveMode, report: Report) -> None:
        self._scanner = scanner
        self.mode = SaveMode(mode)
        self._report = report
        self.passed = Passed()
        """Models that were scanned ahead of the hook."""

    def attach(self, contents_manager: Any) -> None:
        """Guard every save of this manager, including notebooks that are uploaded in chunks."""
        contents_manager.register_pre_save_hook(self.pre_save)
        ScanBeside(contents_manager, self.scan, self.scan_piece, self.tell, self.passed).attach()
        ChunkedNotebooks(contents_manager).attach()

    def pre_save(self, model: dict[str, Any], path: str, **_: Any) -> None:
        """Jupyter's hook. Changes `model["content"]` in place, or raises `HTTPError` 422 so that nothing is saved."""
        if not self.passed.holds(model):
            self.scan(model, path, self._report)

    def tell(self, findings: list[Finding], action: str, path: str) -> None:
        """Report what a scan found. Raises `HTTPError` when that fails: then nothing may be saved."""
        try:
            self._report(findings, action)
        except Exception as error:  # noqa: BLE001 - whatever it is, what cannot be told must not be saved
            raise _not_saved(path, error) from None

    def scan(self, model: dict[str, Any], path: str, report: Report) -> None:
        """As `pre_save`, on any thread, and with findings told to `report`."""
        with _failing_closed(path):
            self._guard(model, path, report)

    def scan_piece(self, piece: Piece, path: str, report: Report) -> None:
        """As `scan`, for a chunk of a plain file that the hook does not see."""
        with _failing_closed(path):
            if self._scannable(len(piece.data), path):
                before = self._found(piece.data[: piece.seen], path)
                found = self._found(piece.data, path)
                fresh = [finding for finding in found if finding not in before]
                self._judge([replace(finding, line=finding.line + piece.line) for finding in fresh], path, report)

    def _guard(self, model: dict[str, Any], path: str, report: Report) -> None:
        kind, content = model.get("type"), model.get("content")
        if kind == "notebook" and content is not None:
            model["content"] = self._notebook(content, path, report)
        elif kind == "file" and isinstance(content, str):
            if path.lower().endswith(".ipynb") and "chunk" not in model:
                self._notebook_file(model, content, path, report)
            else:
                self._plain_file(model, content, path, report)

    def _notebook(self, content: Any, path: str, report: Report) -> Any:
        clean, findings = self._scanner.redact_notebook(content, filename=path)
        if not findings:
            return content
        if self.mode is SaveMode.REFUSE:
            self._refuse(findings, path, report)
        if self.mode is SaveMode.WARN:
            report(findings, "warned")
            return content
        report(findings, "redacted")
        return clean

    def _notebook_file(self, model: dict[str, Any], content: str, path: str, report: Report) -> None:
        """A notebook that comes as a plain file, as uploads do."""
        # Text as it is: to encode and decode a large one would hold up the event loop from any thread.
        source = _decoded(model, content) if model.get("format") == "base64" else content.removeprefix("\ufeff")
        repeated: list[str] = []
        try:
            notebook = json.loads(source, object_pairs_hook=lambda pairs: _object(pairs, repeated))
        except (ValueError, RecursionError):
            raise HTTPError(REFUSED, f"{_name(path)} was not saved. It is not JSON, so it cannot be scanned.") from None
        clean = self._notebook(notebook, path, report)
        if clean is not notebook or repeated:
            text = json.dumps(clean, ensure_ascii=False, indent=1) + "\n"
            encoded = text.encode("utf-8", "surrogatepass")
            model["content"] = base64.b64encode(encoded).decode() if model.get("format") == "base64" else text

    def _plain_file(self, model: dict[str, Any], content: str, path: str, report: Report) -> None:
        if not self._scannable(len(content), path):
            return
        raw = _decoded(model, content)
        if b"\0" not in raw[:8192]:  # in a binary file a rule would find nothing but chance
            self._judge(self._found(raw, path), path, report)

    def _scannable(self, size: int, path: str) -> bool:
        if size <= MAX_PLAIN_CHARACTERS:
            return True
        if self.mode is SaveMode.REFUSE:
            raise TooLargeError("It is too large to be scanned for secrets.")
        _log.warning("Saved without a scan for secrets, as it is too large: %s", path)
        return False

    def _found(self, raw: bytes, path: str) -> list[Finding]:
        return self._scanner.scan_text(raw.decode("utf-8", "replace"), filename=path)

    def _judge(self, findings: list[Finding], path: str, report: Report) -> None:
        """A plain file is never rewritten."""
        if findings and self.mode is SaveMode.REFUSE:
            self._refuse(findings, path, report)
        if findings:
            report(findings, "warned")

    def _refuse(self, findings: list[Finding], path: str, report: Report) -> None:
        report(findings, "refused")
        raise HTTPError(REFUSED, f"{_name(path)} was not saved, as it holds secrets: {describe(findings)}.")


@contextmanager
def _failing_closed(path: str) -> Iterator[None]:
    """Whatever a scan raises, the file is not saved."""
    try:
        yield
    except HTTPError:
        raise
    except Exception as error:  # noqa: BLE001  # any exception that got past here would save the file unredacted
        raise _not_saved(path, error) from None


def _not_saved(path: str, error: Exception) -> HTTPError:
    """What a client is told when a scan or a report failed."""
    reason = str(error) if isinstance(error, QsecError) else "The scan for secrets failed."
    _log.warning("Not saved: %s (%s)", path, type(error).__name__)
    return HTTPError(REFUSED, f"{_name(path)} was not saved. {reason}")


def _object(pairs: list[tuple[str, Any]], repeated: list[str]) -> dict[str, Any]:
    """A JSON object. Of a repeated key only the last value is scanned, so only that one may be written back."""
    result = dict(pairs)
    if len(result) != len(pairs):
        repeated.append("")
    return result


def _decoded(model: dict[str, Any], content: str) -> bytes:
    """The bytes that the contents manager would write, decoded as leniently as it does."""
    if model.get("format") != "base64":
        return content.encode("utf-8", "surrogatepass")
    try:
        return base64.decodebytes(content.encode("ascii", "strict"))
    except (UnicodeEncodeError, binascii.Error):
        raise HTTPError(REFUSED, "The file was not saved. Its base64 is broken.") from None


def _name(path: str) -> str:
    return path.rpartition("/")[2] or "The file"

"""Notebooks cell by cell, on decoded text: JSON escaping and base64 images neither hide secrets nor look like them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.scanning.baseline import Baseline
from jupyter_qsec.scanning.finding import Fingerprinter, SecretFinding, preview
from jupyter_qsec.scanning.mimebundle import Walk
from jupyter_qsec.scanning.scanner import Scanner


def scan_notebook(
    notebook: Mapping[str, Any],
    scanner: Scanner,
    fingerprinter: Fingerprinter,
    path: str,
    *,
    baseline: Baseline | None = None,
) -> list[SecretFinding]:
    """The secrets of a notebook, but for those the baseline knows. Raises what `redact_notebook` raises."""
    if not isinstance(notebook, Mapping):
        raise InvalidRequestError("The notebook is not a JSON object.")
    return _Redactor(scanner, fingerprinter, path, baseline).notebook(dict(notebook))[1]


def redact_notebook(
    notebook: dict[str, Any], scanner: Scanner, fingerprinter: Fingerprinter, path: str
) -> tuple[dict[str, Any], list[SecretFinding]]:
    """A new notebook without secrets, and what was found. The one given is left untouched.

    Sources, outputs, attachments and metadata are scanned; `pragma: allowlist secret` comments count in sources. Raises
    `InvalidRequestError` when this is no notebook of format 3 or 4, `TooLargeError` when it is too large to scan.
    """
    if not isinstance(notebook, dict):
        raise InvalidRequestError("The notebook is not a JSON object.")
    return _Redactor(scanner, fingerprinter, path).notebook(notebook)


class _Redactor:
    def __init__(
        self, scanner: Scanner, fingerprinter: Fingerprinter, path: str, baseline: Baseline | None = None
    ) -> None:
        self._baseline = baseline
        self._walk = Walk(scanner)
        self._fingerprinter = fingerprinter
        self._path = path
        self._cell = ""
        self._cell_id = ""
        self._number = 0
        self.findings: list[SecretFinding] = []

    def notebook(self, notebook: dict[str, Any]) -> tuple[dict[str, Any], list[SecretFinding]]:
        result: dict[str, Any] = {}
        for key, value in notebook.items():
            self._cell = self._cell_id = ""
            if key == "cells":
                result[key] = self._cells(value)
            elif key == "worksheets":
                result[key] = [
                    {
                        k: self._cells(v) if k == "cells" else self._json(v, "metadata", k)
                        for k, v in _object(sheet).items()
                    }
                    for sheet in _list(value, "worksheets")
                ]
            else:
                result[key] = self._json(value, "metadata", key)
        if "cells" not in notebook and "worksheets" not in notebook:
            raise InvalidRequestError("The notebook has no cells.")
        return result, self.findings

    def _cells(self, cells: Any) -> list[dict[str, Any]]:
        return [self._one_cell(_object(cell)) for cell in _list(cells, "cells")]

    def _one_cell(self, cell: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        self._cell = str(self._number)
        self._cell_id = cell["id"] if isinstance(cell.get("id"), str) else ""
        result: dict[str, Any] = {}
        for key, value in cell.items():
            if key in {"source", "input"}:
                result[key] = self._source(value)
            elif key == "outputs":
                result[key] = self._outputs(value)
            elif key == "attachments":
                result[key] = self._json(value, "attachment", key)
            else:
                result[key] = self._json(value, "metadata", key)
        return result

    def _source(self, value: Any) -> Any:
        text = _joined(value)
        if text is None:
            return self._json(value, "source", "source")
        new = self._walk.source(text)
        self._note("source")
        return _like(value, text, new)

    def _outputs(self, outputs: Any) -> list[dict[str, Any]]:
        outputs = [_object(output) for output in _list(outputs, "outputs")]
        result: list[dict[str, Any]] = []
        at = 0
        while at < len(outputs):
            run = _stream_run(outputs, at)
            result += self._streams(outputs[at:run]) if run > at else [self._output(outputs[at])]
            at = max(run, at + 1)
        return result

    def _streams(self, outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Outputs that follow one another on one stream are one text to a reader: scanned as one."""
        texts = [_joined(output["text"]) or "" for output in outputs]
        whole = "".join(texts)
        pieces = self._walk.pieces(texts, whole)
        self._note("output")
        return [
            {
                **self._output({k: v for k, v in output.items() if k != "text"}),
                "text": _like(output["text"], text, piece),
            }
            for output, text, piece in zip(outputs, texts, pieces, strict=True)
        ]

    def _output(self, output: dict[str, Any]) -> dict[str, Any]:
        return {key: self._json(value, "output", key) for key, value in output.items()}

    def _json(self, value: Any, place: str, key: str) -> Any:
        new = self._walk.value(value, key=key)
        self._note(place)
        return new

    def _note(self, place: str) -> None:
        """Turn what the walk has found since last time into findings."""
        for found in self._walk.found:
            kind = found.match.kind
            if self._baseline is not None and self._baseline.knows(self._path, kind, found.secret):
                continue
            self.findings.append(
                SecretFinding(
                    path=self._path,
                    cell=self._cell,
                    place=place,
                    line=found.line,
                    kind=kind,
                    preview=preview(found.secret),
                    fingerprint=self._fingerprinter.fingerprint(kind, found.secret),
                    cell_id=self._cell_id,
                    column=found.column,
                )
            )
        self._walk.found.clear()


def _stream_run(outputs: list[dict[str, Any]], start: int) -> int:
    """Index after the last of the outputs that continue the stream output at `start`; `start` when that is none."""
    name = outputs[start].get("name", outputs[start].get("stream"))
    end = start
    while end < len(outputs):
        output = outputs[end]
        if output.get("output_type") != "stream" or _joined(output.get("text")) is None:
            break
        if output.get("name", output.get("stream")) != name:
            break
        end += 1
    return end


def _joined(value: Any) -> str | None:
    """A multi-line string as nbformat writes it: one string, or a list of lines with their ends."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "".join(value)
    return None


def _like(original: Any, old: str, new: str) -> Any:
    """`new` in the form of `original`; an unchanged text keeps its own line structure."""
    if isinstance(original, str):
        return new
    return list(original) if new == old else new.splitlines(keepends=True)


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidRequestError("The notebook has a cell or output that is not a JSON object.")
    return value


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidRequestError(f"The notebook's {name} are not a list.")
    return value

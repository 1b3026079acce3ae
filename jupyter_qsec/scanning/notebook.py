"""Notebooks cell by cell, on decoded text: JSON escaping and base64 images neither hide secrets nor look like them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.scanning.allowlist import is_allowed_cell
from jupyter_qsec.scanning.engine import Engine
from jupyter_qsec.scanning.finding import Finding
from jupyter_qsec.scanning.mimebundle import Found, Known, Walk

MAX_CHARACTERS = 256 << 20
"""Of a notebook."""
_METADATA, _OUTPUT, _SOURCE, _ATTACHMENT = "metadata", "output", "source", "attachment"

Make = Callable[[Found, dict[str, Any]], Finding]
"""Makes a finding of what was found and the fields that tell where."""


class NotebookWalk:
    """One pass over one notebook: a new notebook without secrets, and what was found. The one given stays untouched."""

    def __init__(self, engine: Engine, make: Make, known: Known | None, *, allow_outputs: bool) -> None:
        """`allow_outputs`: whether the tag of a cell counts for what its outputs show, too."""
        self._walk = Walk(engine, known, most=MAX_CHARACTERS)
        self._make = make
        self._allow_outputs = allow_outputs
        self._cell = ""
        self._cell_id = ""
        self._number = 0
        self.findings: list[Finding] = []

    def notebook(self, notebook: Mapping[str, Any]) -> dict[str, Any]:
        """The notebook without secrets; what was found is in `findings`.

        Raises `InvalidRequestError` when this is no notebook of format 3 or 4, `TooLargeError` when it is too large to
        scan.
        """
        if not isinstance(notebook, Mapping):
            raise InvalidRequestError("The notebook is not a JSON object.")
        if "cells" not in notebook and "worksheets" not in notebook:
            raise InvalidRequestError("The notebook has no cells.")
        result: dict[str, Any] = {}
        for key, value in notebook.items():
            self._cell = self._cell_id = ""
            if key == "cells":
                result[key] = self._cells(value)
            elif key == "worksheets":
                result[key] = [self._sheet(str(n), _object(sheet)) for n, sheet in enumerate(_list(value, key))]
            else:
                result[key] = self._json(value, _METADATA, key)
        return result

    def _sheet(self, number: str, sheet: dict[str, Any]) -> dict[str, Any]:
        """Format 3 keeps its cells on one sheet."""
        with self._walk.below("worksheets", number):
            return {
                key: self._cells(value) if key == "cells" else self._json(value, _METADATA, key)
                for key, value in sheet.items()
            }

    def _cells(self, cells: Any) -> list[dict[str, Any]]:
        result = []
        for number, cell in enumerate(_list(cells, "cells")):
            with self._walk.below("cells", str(number)):
                result.append(self._one_cell(_object(cell)))
        return result

    def _one_cell(self, cell: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        allowed = is_allowed_cell(cell)
        self._cell = str(self._number)
        self._cell_id = cell["id"] if isinstance(cell.get("id"), str) else ""
        result: dict[str, Any] = {}
        for key, value in cell.items():
            self._walk.allowing = allowed and (key != "outputs" or self._allow_outputs)
            if key in {"source", "input"}:
                result[key] = self._source(value, key)
            elif key == "outputs":
                result[key] = self._outputs(value)
            elif key == "attachments":
                result[key] = self._json(value, _ATTACHMENT, key)
            else:
                result[key] = self._json(value, _METADATA, key)
        self._walk.allowing = False
        return result

    def _source(self, value: Any, key: str) -> Any:
        text = _joined(value)
        if text is None:
            return self._json(value, _SOURCE, key)
        with self._walk.below(key):
            new = self._walk.source(text)
        self._note(_SOURCE)
        return _like(value, text, new)

    def _outputs(self, outputs: Any) -> list[dict[str, Any]]:
        outputs = [_object(output) for output in _list(outputs, "outputs")]
        result: list[dict[str, Any]] = []
        at = 0
        while at < len(outputs):
            run = _stream_run(outputs, at)
            with self._walk.below("outputs", str(at)):
                result += self._streams(outputs[at:run]) if run > at else [self._output(outputs[at])]
            at = max(run, at + 1)
        return result

    def _streams(self, outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Outputs that follow one another on one stream are one text to a reader: scanned as one."""
        texts = [_joined(output["text"]) or "" for output in outputs]
        with self._walk.below("text"):
            pieces = self._walk.printed(texts)
        self._note(_OUTPUT, str(outputs[0].get("name", outputs[0].get("stream", ""))))
        return [
            {
                **self._output({k: v for k, v in output.items() if k != "text"}),
                "text": _like(output["text"], text, piece),
            }
            for output, text, piece in zip(outputs, texts, pieces, strict=True)
        ]

    def _output(self, output: dict[str, Any]) -> dict[str, Any]:
        return {key: self._json(value, _OUTPUT, key) for key, value in output.items()}

    def _json(self, value: Any, place: str, key: str) -> Any:
        with self._walk.below(key):
            new = self._walk.value(value, key=key)
        self._note(place)
        return new

    def _note(self, place: str, part: str = "") -> None:
        """Turn what the walk has found since last time into findings."""
        for found in self._walk.found:
            where = {
                "cell": self._cell,
                "cell_id": self._cell_id,
                "place": place,
                "part": part or _part(place, found.at),
                "pointer": "".join(f"/{step.replace('~', '~0').replace('/', '~1')}" for step in found.at),
            }
            self.findings.append(self._make(found, where))
        self._walk.found.clear()


def _part(place: str, at: tuple[str, ...]) -> str:
    """The stream, MIME type or name that tells a reader which text of an output, attachment or metadata it is."""
    if place == _SOURCE:
        return ""
    inside = at[at.index("outputs") + 2 :] if place == _OUTPUT and "outputs" in at else at
    if inside[:1] == ("data",) and len(inside) > 1:
        return inside[1]
    if place == _ATTACHMENT:
        return at[at.index("attachments") + 1] if len(at) > at.index("attachments") + 1 else ""
    return next((step for step in reversed(inside) if not step.isdigit()), "")


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

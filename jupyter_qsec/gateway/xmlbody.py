"""Reading small XML bodies at the trust boundary: no document types, no entities, few elements."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NoReturn
from xml.parsers import expat

from jupyter_qsec.domain.errors import InvalidRequestError

MAX_BYTES = 2 << 20
MAX_ELEMENTS = 12_000
MAX_DEPTH = 8


@dataclass(slots=True)
class Element:
    """An element without its namespace and attributes."""

    name: str
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def child(self, name: str) -> str | None:
        """The text of the first child of that name."""
        return next((child.text for child in self.children if child.name == name), None)


def parse_xml(body: bytes, root: str) -> Element:
    """The root element, which must have that name. `InvalidRequestError` for anything else."""
    if len(body) > MAX_BYTES:
        raise InvalidRequestError("The XML body is too large.")
    builder = _Builder()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _no_doctype
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        raise InvalidRequestError(f"The XML body is not well-formed (line {error.lineno}).") from error
    if builder.root is None or builder.root.name != root:
        raise InvalidRequestError(f"The XML body must be a {root}.")
    return builder.root


class _Builder:
    def __init__(self) -> None:
        self.root: Element | None = None
        self._open: list[Element] = []
        self._count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > MAX_ELEMENTS or len(self._open) >= MAX_DEPTH:
            raise InvalidRequestError("The XML body has too many elements.")
        element = Element(name.rpartition(" ")[2])
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def end(self, name: str) -> None:
        self._open.pop()

    def data(self, text: str) -> None:
        self._open[-1].text += text


def _no_doctype(*_: Any) -> NoReturn:
    raise InvalidRequestError("The XML body must not have a document type.")

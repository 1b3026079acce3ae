"""What travels between the HTTP server and the front doors: plain values, so that doors know no HTTP framework."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from jupyter_qsec.domain.errors import InvalidRequestError


@dataclass(frozen=True, slots=True)
class WireRequest:
    """A verified request, decoded once."""

    method: str
    path: str
    """Below the door's prefix, still percent-encoded; starts with `/` or is empty."""
    query: tuple[tuple[str, str], ...]
    """Decoded names and values in the order they came."""
    headers: Mapping[str, str]
    """By lower-case name; repeated ones joined by a comma."""
    body: bytes
    region: str
    """The region that was signed for."""

    def parameter(self, name: str) -> str | None:
        """The value of a query field that may come once; `InvalidRequestError` when it comes more often."""
        values = self.parameters(name)
        if len(values) > 1:
            raise InvalidRequestError(f"The query field {name} may come only once.")
        return values[0] if values else None

    def parameters(self, name: str) -> list[str]:
        return [value for key, value in self.query if key == name]


@dataclass(frozen=True, slots=True)
class WireResponse:
    status: int
    body: bytes = b""
    content_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> WireResponse:
    body = json.dumps(value, separators=(",", ":")).encode("utf-8")
    return WireResponse(status, body, "application/json", headers or {})


def decode(text: str, what: str) -> str:
    """Undo percent-encoding; `InvalidRequestError` when the result is not UTF-8."""
    if "%" not in text and text.isascii():
        return text
    try:
        return unquote_to_bytes(text.encode("latin-1")).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"The {what} is not UTF-8.") from error


def decode_query(query: str) -> tuple[tuple[str, str], ...]:
    """Fields of a query string. `+` has no special meaning: the verifier refuses it."""
    if not query:
        return ()
    fields = []
    for part in query.split("&"):
        name, _, value = part.partition("=")
        fields.append((decode(name, "query"), decode(value, "query")))
    return tuple(fields)

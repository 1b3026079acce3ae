"""Canonical forms of Signature Version 4: what of a request is signed, byte by byte."""

from __future__ import annotations

import re
from urllib.parse import quote_from_bytes, unquote_to_bytes

from jupyter_qsec.domain.errors import SignatureError

MAX_QUERY_FIELDS = 64

_UNRESERVED = re.compile(r"[A-Za-z0-9\-._~]*\Z")
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_FOLDS = re.compile(r"[ \t\r\n]+")


def canonical_path(path: str, *, opaque: bool) -> str:
    """A path that is in canonical encoding already: S3 signs it as it is, all others encode it once more."""
    return path if opaque else path.replace("%", "%25")


def normalised_path(path: str, *, opaque: bool) -> str:
    """Any path, as AWS's signers normalise it: never for requests that will be acted upon."""
    raw = path.encode("latin-1")
    if opaque:
        return quote_from_bytes(unquote_to_bytes(raw), safe="/-._~")
    kept: list[bytes] = []
    for segment in raw.split(b"/"):
        if segment == b"..":
            del kept[-1:]
        elif segment not in (b"", b"."):
            kept.append(segment)
    tail = b"/" if kept and raw.endswith((b"/", b"/.", b"/..")) else b""
    return quote_from_bytes(b"/" + b"/".join(kept) + tail, safe="/-._~")


def query_fields(query: str) -> list[tuple[str, str]]:
    """Names and values in canonical encoding, in the order they came."""
    if not query:
        return []
    if "+" in query:
        raise SignatureError("A literal '+' in a query is ambiguous: write %20 or %2B.")
    parts = query.split("&")
    if len(parts) > MAX_QUERY_FIELDS:
        raise SignatureError(f"The query has more than {MAX_QUERY_FIELDS} fields.")
    fields = []
    for part in parts:
        name, _, value = part.partition("=")
        fields.append((_query_part(name), _query_part(value)))
    return fields


def _query_part(text: str) -> str:
    if _UNRESERVED.match(text):
        return text
    if _ESCAPE.search(text):
        raise SignatureError("The query holds a broken escape.")
    return quote_from_bytes(unquote_to_bytes(text.encode("latin-1")), safe="-._~")


def canonical_query(query: str, without: frozenset[str] = frozenset()) -> str:
    """Sorted by name and value, without the named fields."""
    if not query:
        return ""
    fields = [field for field in query_fields(query) if field[0] not in without]
    return "&".join(f"{name}={value}" for name, value in sorted(fields))


def canonical_value(values: list[str]) -> str:
    """A header's values, trimmed, folded and joined in the order they came."""
    if len(values) == 1 and "  " not in values[0] and values[0].isprintable():
        return values[0].strip(" ")
    return ",".join(_FOLDS.sub(" ", value).strip(" ") for value in values)

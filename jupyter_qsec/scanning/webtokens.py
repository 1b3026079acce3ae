"""Whether a value is a JSON web token, by what it decodes to. As the checks of `plausible`."""

from __future__ import annotations

import base64
import binascii
import json


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text.translate({45: 43, 95: 47}) + "=" * (-len(text) % 4))
    except (ValueError, binascii.Error):
        return b""


def json_web_token(name: str, value: str, before: str) -> bool:
    """The first part decodes to a JOSE header (RFC 7515 section 4), as random base64 does not."""
    header = value.partition(".")[0]
    try:
        decoded = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return False
    return isinstance(decoded, dict) and not decoded.keys().isdisjoint({"alg", "enc", "typ", "kid"})


def encoded_web_token(name: str, value: str, before: str) -> bool:
    """Base64 of a JSON web token."""
    head = _decoded(value[:400].rstrip("=")[: 4 * (min(len(value.rstrip("=")), 400) // 4)])
    return head.startswith(b"eyJ") and (b"." in head or len(value) > 200)

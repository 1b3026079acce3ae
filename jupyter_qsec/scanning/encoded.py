"""Whether a text is an encoded picture or the like, in which rules would find nothing but chance."""

from __future__ import annotations

import base64
import re

import re2

_BINARY_MIME = re.compile(
    r"(?:image/(?!svg)|audio/|video/|font/|application/(?:pdf|octet-stream|zip)\b)", re.IGNORECASE
)
_MAGIC = re.compile(
    rb"\x89PNG|\xff\xd8\xff|GIF8[79]a|RIFF....(?:WEBP|WAVE|AVI )|BM....\0\0\0\0|II\*\0|MM\0\*|%PDF-"
    rb"|\0\0[\x01\x02]\0[^\0]\0|\0\0\0.ftyp|\x1aE\xdf\xa3|OggS\0|fLaC\0|ID3[\x02-\x04]\0|wOF[F2]|OTTO\0|\0\x01\0\0\0|PK\x03\x04",
    re.DOTALL,
)
"""Pictures, PDF, icons; sound, films, fonts and archives that say what they are in their first bytes."""
_HEAD = 24
_LINE = 76
"""Characters, as `base64.encodebytes` makes them."""
_ROW = _LINE + 1
_ROWS = 3404
_IN_ONE = re2.compile(rb"[A-Za-z0-9+/]*")
_IN_ROWS = re2.compile(rb"(?:[A-Za-z0-9+/]{76}\n)*[A-Za-z0-9+/]{0,76}")


def is_binary(mime: str) -> bool:
    """Whether what stands under this name ought to be encoded."""
    return _BINARY_MIME.match(mime) is not None


def is_encoded(text: str) -> bool:
    """Base64 of something known, in one piece or in rows of the usual length. Anything else under the name of an image
    is text that only says so.

    In pieces: one operation on all of a large image would hold up every other thread of a server.
    """
    if not text.isascii() or not _MAGIC.match(_beginning(text)):
        return False
    body = len(text.rstrip("\r\n").rstrip("="))
    form = _IN_ROWS if text[_LINE:_ROW] == "\n" else _IN_ONE
    size = _ROW * _ROWS
    return all(
        form.fullmatch(text[start : min(body, start + size)].encode("ascii")) is not None
        for start in range(0, body, size)
    )


def last_row(text: str) -> str:
    """The one row whose length says nothing, with what ends it; empty of a text in one piece."""
    body = text.rstrip("\r\n")
    return text[body.rfind("\n") + 1 :] if "\n" in body[-_ROW - 2 :] else ""


def _beginning(text: str) -> bytes:
    try:
        return base64.b64decode(text[:_HEAD], validate=True)
    except ValueError:
        return b""

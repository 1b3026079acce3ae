"""Bodies of the S3 door: checksums on the way in; ranges, conditions and dates on the way out."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import zlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

from jupyter_qsec.application.ports import StoredObject
from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.gateway.errors import ChecksumError, InvalidRangeError, NotOfferedError, PreconditionFailedError
from jupyter_qsec.gateway.wire import WireResponse

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})\Z")

_CHECKSUMS: Mapping[str, Callable[[bytes], bytes]] = {
    "content-md5": lambda body: hashlib.md5(body, usedforsecurity=False).digest(),
    "x-amz-checksum-crc32": lambda body: zlib.crc32(body).to_bytes(4, "big"),
    "x-amz-checksum-sha1": lambda body: hashlib.sha1(body, usedforsecurity=False).digest(),
    "x-amz-checksum-sha256": lambda body: hashlib.sha256(body).digest(),
}
_NO_CHECKSUMS = frozenset({"x-amz-checksum-mode", "x-amz-checksum-algorithm", "x-amz-checksum-type"})


def check_body(headers: Mapping[str, str], body: bytes) -> None:
    """`ChecksumError` when the body does not have a checksum that came with it, `NotOfferedError` for unknown kinds."""
    if "content-encoding" in headers and "aws-chunked" in headers["content-encoding"]:
        raise NotOfferedError("Chunked uploads are not offered by this gateway.")
    for name, value in headers.items():
        if name in _CHECKSUMS:
            actual = base64.b64encode(_CHECKSUMS[name](body)).decode("ascii")
            if not value.isascii() or not hmac.compare_digest(actual, value.strip()):
                raise ChecksumError(f"The body does not have the checksum in {name}.")
        elif name.startswith("x-amz-checksum-") and name not in _NO_CHECKSUMS:
            raise NotOfferedError(f"{name[:60]}: send CRC32, SHA-1 or SHA-256 checksums.")


def ranged(headers: Mapping[str, str], stored: StoredObject, content: bytes | None) -> WireResponse:
    """The answer to a GET, or to a HEAD where `content` is `None`, under its conditions and range."""
    etag = f'"{stored.etag}"'
    about = {"ETag": etag, "Last-Modified": http_date(stored.modified_at), "Accept-Ranges": "bytes"}
    if not _conditions_hold(headers, stored, etag):
        return WireResponse(304, headers=about)
    start, end = _range(headers.get("range", ""), stored.size)
    status = 200
    if (start, end) != (0, stored.size):
        status = 206
        about["Content-Range"] = f"bytes {start}-{end - 1}/{stored.size}"
    if content is None:
        return WireResponse(status, b"", stored.content_type, {**about, "Content-Length": str(end - start)})
    return WireResponse(status, content[start:end], stored.content_type, about)


def _conditions_hold(headers: Mapping[str, str], stored: StoredObject, etag: str) -> bool:
    """False: not modified. `PreconditionFailedError` when the client's view is out of date (RFC 9110, 13.2.2)."""
    modified = stored.modified_at.replace(microsecond=0)
    if (match := headers.get("if-match")) is not None:
        if not _names(match, etag):
            raise PreconditionFailedError("At least one of the pre-conditions you specified did not hold.")
    elif (since := headers.get("if-unmodified-since")) is not None and modified > _date(since):
        raise PreconditionFailedError("At least one of the pre-conditions you specified did not hold.")
    if (match := headers.get("if-none-match")) is not None:
        return not _names(match, etag)
    since = headers.get("if-modified-since")
    return since is None or modified > _date(since)


def _names(header: str, etag: str) -> bool:
    return header.strip() == "*" or any(
        tag.strip().removeprefix("W/").strip('"') == etag.strip('"') for tag in header.split(",")
    )


def _range(header: str, size: int) -> tuple[int, int]:
    """Start and end (exclusive). A header that is no single byte range stands for the whole, as in S3."""
    match = _RANGE.match(header)
    if match is None or not (match[1] or match[2]):
        return 0, size
    if not match[1]:
        start, end = max(0, size - int(match[2])), size
    else:
        start = int(match[1])
        end = min(size, int(match[2]) + 1) if match[2] else size
        if match[2] and int(match[2]) < start:
            return 0, size
    if start >= end:
        raise InvalidRangeError("The requested range is not satisfiable.")
    return start, end


def http_date(moment: datetime, *, iso: bool = False) -> str:
    """As HTTP writes it in headers, or as S3 does in XML."""
    if iso:
        return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return format_datetime(moment.astimezone(UTC), usegmt=True)


def _date(text: str) -> datetime:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError) as error:
        raise InvalidRequestError("A date in a condition is not an HTTP date.") from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)

"""ListObjects and ListObjectsV2: keys in order, grouped by a delimiter, in pages."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote

from jupyter_qsec.application.callers import Caller
from jupyter_qsec.application.objects import MAX_LISTED, Objects
from jupyter_qsec.application.ports import StoredObject
from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.gateway.errors import NotOfferedError, elements
from jupyter_qsec.gateway.pages import PageTokens
from jupyter_qsec.gateway.s3content import http_date
from jupyter_qsec.gateway.wire import WireRequest

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_LAST = "\U0010ffff"
_ROUNDS = 64
_VERSION1 = frozenset({"prefix", "delimiter", "max-keys", "marker", "encoding-type"})
_VERSION2 = frozenset(
    {
        "list-type",
        "prefix",
        "delimiter",
        "max-keys",
        "encoding-type",
        "continuation-token",
        "start-after",
        "fetch-owner",
    }
)


@dataclass(slots=True)
class _Page:
    objects: list[StoredObject] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    position: str = ""
    """The last key covered: a listing goes on after it."""
    truncated: bool = False

    @property
    def size(self) -> int:
        return len(self.objects) + len(self.prefixes)


class Listings:
    def __init__(self, objects: Objects, pages: PageTokens) -> None:
        self._objects = objects
        self._pages = pages

    @staticmethod
    def is_version1(names: set[str]) -> bool:
        return names <= _VERSION1

    async def version2(self, caller: Caller, request: WireRequest, bucket: str, names: set[str]) -> str:
        """The XML answer of ListObjectsV2."""
        if not names <= _VERSION2 or request.parameter("list-type") != "2":
            raise NotOfferedError("That way of listing is not offered by this gateway.")
        prefix, delimiter = request.parameter("prefix") or "", request.parameter("delimiter") or ""
        listing = f"{bucket} {len(prefix)} {prefix} {delimiter}"
        token = request.parameter("continuation-token")
        start = request.parameter("start-after") or ""
        after = self._pages.open(caller.tenant.id, listing, token) if token else start
        most = _max_keys(request)
        page = await self._page(caller, bucket, prefix, delimiter, after, most)
        write = _writer(request)
        about = {"Name": bucket, "Prefix": write(prefix), "KeyCount": str(page.size), "MaxKeys": str(most)}
        about |= _echo(request, delimiter, page, write)
        if start:
            about["StartAfter"] = write(start)
        if token:
            about["ContinuationToken"] = token
        if page.truncated:
            about["NextContinuationToken"] = self._pages.seal(caller.tenant.id, listing, page.position)
        return _document(about, page, write)

    async def version1(self, caller: Caller, request: WireRequest, bucket: str, names: set[str]) -> str:
        """The XML answer of ListObjects. Its marker is a key, so nothing needs to be sealed."""
        prefix, delimiter = request.parameter("prefix") or "", request.parameter("delimiter") or ""
        marker = request.parameter("marker") or ""
        most = _max_keys(request)
        after = marker + _LAST if delimiter and marker.endswith(delimiter) else marker
        page = await self._page(caller, bucket, prefix, delimiter, after, most)
        write = _writer(request)
        about = {"Name": bucket, "Prefix": write(prefix), "Marker": write(marker), "MaxKeys": str(most)}
        about |= _echo(request, delimiter, page, write)
        if page.truncated:
            about["NextMarker"] = write(page.position.removesuffix(_LAST))
        return _document(about, page, write)

    async def _page(self, caller: Caller, bucket: str, prefix: str, delimiter: str, after: str, most: int) -> _Page:
        page = _Page(position=after)
        if most == 0:
            await self._objects.require_bucket(caller, bucket)
            return page
        for _ in range(_ROUNDS):
            found = await self._objects.list(caller, bucket, prefix, MAX_LISTED, page.position)
            for stored in found:
                if page.prefixes and stored.key.startswith(page.prefixes[-1]) and stored.key < page.position:
                    continue
                if page.size == most:
                    page.truncated = True
                    return page
                _add(page, stored, prefix, delimiter)
            if len(found) < MAX_LISTED:
                return page
        page.truncated = True
        return page


def _add(page: _Page, stored: StoredObject, prefix: str, delimiter: str) -> None:
    rest = stored.key[len(prefix) :]
    if delimiter and delimiter in rest:
        common = prefix + rest[: rest.index(delimiter) + len(delimiter)]
        page.prefixes.append(common)
        page.position = common + _LAST
    else:
        page.objects.append(stored)
        page.position = stored.key


def _max_keys(request: WireRequest) -> int:
    text = request.parameter("max-keys")
    if text is None:
        return MAX_LISTED
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise InvalidRequestError("max-keys must be a whole number.")
    return min(int(text), MAX_LISTED)


def _writer(request: WireRequest) -> Callable[[str], str]:
    """How keys are written: percent-encoded when the client asks for it, as boto3 does."""
    kind = request.parameter("encoding-type")
    if kind not in (None, "url"):
        raise InvalidRequestError("encoding-type must be url.")
    return (lambda text: quote(text, safe="/")) if kind == "url" else str


def _echo(request: WireRequest, delimiter: str, page: _Page, write: Callable[[str], str]) -> dict[str, str]:
    about = {"IsTruncated": "true" if page.truncated else "false"}
    if delimiter:
        about["Delimiter"] = write(delimiter)
    if request.parameter("encoding-type"):
        about["EncodingType"] = "url"
    return about


def _document(about: dict[str, str], page: _Page, write: Callable[[str], str]) -> str:
    contents = "".join(f"<Contents>{elements(_entry(stored, write))}</Contents>" for stored in page.objects)
    prefixes = "".join(
        f"<CommonPrefixes>{elements({'Prefix': write(prefix)})}</CommonPrefixes>" for prefix in page.prefixes
    )
    return f'<ListBucketResult xmlns="{NAMESPACE}">{elements(about)}{contents}{prefixes}</ListBucketResult>'


def _entry(stored: StoredObject, write: Callable[[str], str]) -> dict[str, str]:
    return {
        "Key": write(stored.key),
        "LastModified": http_date(stored.modified_at, iso=True),
        "ETag": f'"{stored.etag}"',
        "Size": str(stored.size),
        "StorageClass": "STANDARD",
    }

"""The part of S3 that results and the SDK's helpers need, path style. Shapes: S3 API Reference, version 2006-03-01."""

from __future__ import annotations

import re
from collections.abc import Mapping

from jupyter_qsec.application.callers import Caller
from jupyter_qsec.application.objects import MAX_OBJECT_BYTES
from jupyter_qsec.application.ports import StoredObject
from jupyter_qsec.application.uploads import Uploads
from jupyter_qsec.domain.errors import DeniedError, InvalidRequestError, QsecError
from jupyter_qsec.gateway.errors import NotOfferedError, UnknownOperationError, elements, s3_error, xml_text
from jupyter_qsec.gateway.frontdoor import Gateway
from jupyter_qsec.gateway.pages import PageTokens
from jupyter_qsec.gateway.s3content import check_body, http_date, ranged
from jupyter_qsec.gateway.s3listing import Listings
from jupyter_qsec.gateway.sigv4 import SigningRules
from jupyter_qsec.gateway.wire import WireRequest, WireResponse, decode
from jupyter_qsec.gateway.xmlbody import parse_xml

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
MAX_DELETED = 1000

_HEADERS = re.compile(
    r"x-amz-(date|security-token|content-sha256|sdk-checksum-algorithm|checksum-.*|copy-source.*|user-agent"
    r"|expected-bucket-owner|mp-object-size|metadata-directive)\Z"
)
_ON_BUCKETS = {"GET": "ListObjects", "HEAD": "HeadBucket", "PUT": "CreateBucket", "POST": "DeleteObjects"}
_ON_OBJECTS = {
    "GET": "GetObject",
    "HEAD": "HeadObject",
    "PUT": "PutObject",
    "DELETE": "DeleteObject",
    "POST": "MultipartUpload",
}
_IGNORED_QUERY = frozenset({"x-id"})


class S3Service:
    """Implements `frontdoor.Service`. What is not understood is refused by name, never ignored."""

    name = "s3"
    request_id_header = "x-amz-request-id"
    rules = SigningRules("s3", path_is_opaque=True, content_sha256_required=True)
    max_body = MAX_OBJECT_BYTES

    def __init__(self, gateway: Gateway, prefix: str = "/aws/s3") -> None:
        self.prefix = prefix
        self._objects = gateway.objects
        self._uploads = Uploads(gateway.objects, gateway.results)
        self._listings = Listings(gateway.objects, PageTokens(gateway.page_key))

    def repeatable(self, method: str, path: str) -> bool:
        """Reads; and creating a bucket, whose second execution answers that it exists."""
        return method in ("GET", "HEAD") or (method == "PUT" and path.strip("/").count("/") == 0)

    def operation(self, method: str, path: str) -> str:
        """By what lies at the path alone: parts of uploads count with the objects they become."""
        bucket, _, key = path.removeprefix("/").partition("/")
        return (_ON_OBJECTS if key else _ON_BUCKETS).get(method, "unknown") if bucket else "unknown"

    def recorded(self, method: str, path: str, error: DeniedError) -> bool:
        return False

    def refusal(self, error: QsecError, path: str, request_id: str) -> WireResponse:
        return s3_error(error, path.removeprefix(self.prefix) or "/", request_id)

    async def answer(self, caller: Caller, request: WireRequest) -> WireResponse:
        bucket, slash, key = decode(request.path, "path").removeprefix("/").partition("/")
        if not bucket:
            raise NotOfferedError("Listing buckets is not offered by this gateway.")
        _check_headers(caller, request.headers)
        check_body(request.headers, request.body)
        names = {name for name, _ in request.query} - _IGNORED_QUERY
        if slash and key:
            return await self._object(caller, request, bucket, key, names)
        return await self._bucket(caller, request, bucket, names)

    # -- buckets
    async def _bucket(self, caller: Caller, request: WireRequest, bucket: str, names: set[str]) -> WireResponse:
        match request.method:
            case "PUT" if not names:
                if request.body:
                    parse_xml(request.body, "CreateBucketConfiguration")
                await self._objects.create_bucket(caller, bucket)
                return WireResponse(200, headers={"Location": f"/{bucket}"})
            case "HEAD" if not names:
                await self._objects.require_bucket(caller, bucket)
                return WireResponse(200, headers={"x-amz-bucket-region": request.region})
            case "GET" if names == {"location"}:
                await self._objects.require_bucket(caller, bucket)
                region = "" if request.region == "us-east-1" else request.region
                return _xml(f'<LocationConstraint xmlns="{NAMESPACE}">{xml_text(region)}</LocationConstraint>')
            case "GET" if "list-type" in names:
                return _xml(await self._listings.version2(caller, request, bucket, names))
            case "GET" if Listings.is_version1(names):
                return _xml(await self._listings.version1(caller, request, bucket, names))
            case "POST" if names == {"delete"}:
                return await self._delete_many(caller, request, bucket)
        raise _not_offered(request, names, "bucket")

    async def _delete_many(self, caller: Caller, request: WireRequest, bucket: str) -> WireResponse:
        root = parse_xml(request.body, "Delete")
        keys = []
        for entry in root.children:
            if entry.name == "Object":
                if entry.child("VersionId") is not None:
                    raise NotOfferedError("Object versions are not offered by this gateway.")
                keys.append(entry.child("Key") or "")
        if not 1 <= len(keys) <= MAX_DELETED:
            raise InvalidRequestError(f"Between 1 and {MAX_DELETED} keys can be deleted at once.")
        await self._objects.delete(caller, bucket, keys)
        quiet = root.child("Quiet") == "true"
        deleted = "" if quiet else "".join(f"<Deleted>{elements({'Key': key})}</Deleted>" for key in keys)
        return _xml(f'<DeleteResult xmlns="{NAMESPACE}">{deleted}</DeleteResult>')

    # -- objects
    async def _object(
        self, caller: Caller, request: WireRequest, bucket: str, key: str, names: set[str]
    ) -> WireResponse:
        match request.method:
            case "GET" if not names:
                stored, content = await self._objects.get(caller, bucket, key)
                return ranged(request.headers, stored, content)
            case "HEAD" if not names:
                return ranged(request.headers, await self._objects.head(caller, bucket, key), None)
            case "PUT" if not names and "x-amz-copy-source" in request.headers:
                stored = await self._copy(caller, request, bucket, key)
                return _xml(f'<CopyObjectResult xmlns="{NAMESPACE}">{_entity(stored)}</CopyObjectResult>')
            case "PUT" if not names:
                kind = request.headers.get("content-type", "binary/octet-stream")
                stored = await self._objects.put(caller, bucket, key, request.body, kind)
                return WireResponse(200, headers={"ETag": f'"{stored.etag}"'})
            case "DELETE" if not names:
                await self._objects.delete(caller, bucket, [key])
                return WireResponse(204)
        return await self._multipart(caller, request, bucket, key, names)

    async def _copy(self, caller: Caller, request: WireRequest, bucket: str, key: str) -> StoredObject:
        if request.headers.get("x-amz-metadata-directive", "COPY") != "COPY":
            raise NotOfferedError("x-amz-metadata-directive: only COPY is offered by this gateway.")
        if any(name.startswith("x-amz-copy-source-") for name in request.headers):
            raise NotOfferedError("Conditional and partial copies are not offered by this gateway.")
        return await self._objects.copy(caller, _copy_source(request.headers), (bucket, key))

    async def _multipart(
        self, caller: Caller, request: WireRequest, bucket: str, key: str, names: set[str]
    ) -> WireResponse:
        upload = request.parameter("uploadId") or ""
        match request.method:
            case "POST" if names == {"uploads"}:
                kind = request.headers.get("content-type", "binary/octet-stream")
                upload = await self._uploads.begin(caller, bucket, key, kind)
                about = elements({"Bucket": bucket, "Key": key, "UploadId": upload})
                name = "InitiateMultipartUploadResult"
                return _xml(f'<{name} xmlns="{NAMESPACE}">{about}</{name}>')
            case "PUT" if names == {"uploadId", "partNumber"}:
                return await self._part(caller, request, bucket, key, upload)
            case "POST" if names == {"uploadId"}:
                parts = _parts(request.body)
                stored = await self._uploads.complete(caller, bucket, key, upload, parts)
                about = elements({"Bucket": bucket, "Key": key, "ETag": f'"{stored.etag}"'})
                name = "CompleteMultipartUploadResult"
                return _xml(f'<{name} xmlns="{NAMESPACE}">{about}</{name}>')
            case "DELETE" if names == {"uploadId"}:
                await self._uploads.abort(caller, bucket, key, upload)
                return WireResponse(204)
        raise _not_offered(request, names, "object")

    async def _part(self, caller: Caller, request: WireRequest, bucket: str, key: str, upload: str) -> WireResponse:
        number = _number(request.parameter("partNumber"), "partNumber")
        if "x-amz-copy-source" not in request.headers:
            stored = await self._uploads.put_part(caller, bucket, key, upload, number, request.body)
            return WireResponse(200, headers={"ETag": f'"{stored.etag}"'})
        source, content = await self._objects.get(caller, *_copy_source(request.headers))
        wanted = request.headers.get("x-amz-copy-source-range", "")
        piece = ranged({"range": wanted} if wanted else {}, source, content).body
        stored = await self._uploads.put_part(caller, bucket, key, upload, number, piece)
        return _xml(f'<CopyPartResult xmlns="{NAMESPACE}">{_entity(stored)}</CopyPartResult>')


def _check_headers(caller: Caller, headers: Mapping[str, str]) -> None:
    for name in headers:
        if name.startswith("x-amz-") and not _HEADERS.match(name):
            raise NotOfferedError(f"The header {name[:80]} asks for something that this gateway does not offer.")
    owner = headers.get("x-amz-expected-bucket-owner")
    if owner is not None and owner != caller.tenant.account:
        raise DeniedError("The bucket is not owned by the account that you expect.")


def _not_offered(request: WireRequest, names: set[str], what: str) -> QsecError:
    if request.method not in ("GET", "HEAD", "PUT", "POST", "DELETE"):
        return UnknownOperationError(f"{request.method} is no operation of S3.")
    asked = " with " + ", ".join(sorted(names))[:200] if names else ""
    return NotOfferedError(f"{request.method} {what}{asked} is not offered by this gateway.")


def _copy_source(headers: Mapping[str, str]) -> tuple[str, str]:
    text, _, version = headers["x-amz-copy-source"].partition("?")
    if version:
        raise NotOfferedError("Object versions are not offered by this gateway.")
    bucket, slash, key = decode(text, "copy source").removeprefix("/").partition("/")
    if not bucket or not slash or not key:
        raise InvalidRequestError("x-amz-copy-source must be bucket/key.")
    return bucket, key


def _parts(body: bytes) -> list[tuple[int, str]]:
    root = parse_xml(body, "CompleteMultipartUpload")
    return [
        (_number(part.child("PartNumber"), "PartNumber"), (part.child("ETag") or "").strip().strip('"'))
        for part in root.children
        if part.name == "Part"
    ]


def _number(text: str | None, name: str) -> int:
    if text is None or not re.fullmatch(r"[0-9]{1,6}", text.strip()):
        raise InvalidRequestError(f"{name} must be a whole number.")
    return int(text)


def _entity(stored: StoredObject) -> str:
    return elements({"LastModified": http_date(stored.modified_at, iso=True), "ETag": f'"{stored.etag}"'})


def _xml(text: str) -> WireResponse:
    body = ('<?xml version="1.0" encoding="UTF-8"?>\n' + text).encode("utf-8")
    return WireResponse(200, body, "application/xml")

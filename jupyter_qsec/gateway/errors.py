"""Domain errors as each AWS protocol spells them, decided once, by code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from xml.sax.saxutils import escape

from jupyter_qsec.application.objects import NoSuchBucketError, NoSuchKeyError
from jupyter_qsec.domain.errors import InvalidRequestError, QsecError
from jupyter_qsec.gateway.wire import WireResponse, json_response


class UnknownOperationError(InvalidRequestError):
    """Method and path name no operation of the service."""

    code = "unknown-operation"


class NotOfferedError(InvalidRequestError):
    """An operation of the service that this gateway does not offer."""

    code = "not-offered"


class PreconditionFailedError(InvalidRequestError):
    """A conditional request whose condition does not hold."""

    code = "precondition-failed"


class InvalidRangeError(InvalidRequestError):
    """A byte range outside of the object."""

    code = "invalid-range"


class ChecksumError(InvalidRequestError):
    """The body does not have the checksum that the client sent with it."""

    code = "bad-checksum"


class InternalError(QsecError):
    """Something broke here. Says nothing about what."""

    code = "internal"


@dataclass(frozen=True, slots=True)
class Spelling:
    """An error in the words of each protocol."""

    status: int
    braket: str
    s3: str
    query: str
    """STS and other services of the query protocol."""
    s3_status: int = 0
    """Where S3 differs."""


_DENIED = Spelling(403, "AccessDeniedException", "AccessDenied", "AccessDenied")
_INVALID = Spelling(400, "ValidationException", "InvalidRequest", "ValidationError")
_INTERNAL = Spelling(500, "InternalServiceException", "InternalError", "InternalFailure")
_MISSING = Spelling(404, "ResourceNotFoundException", "NoSuchKey", "NoSuchEntity")

SPELLINGS: Mapping[str, Spelling] = {
    "invalid-request": _INVALID,
    "bad-checksum": Spelling(400, "ValidationException", "BadDigest", "ValidationError"),
    "invalid-bucket-name": Spelling(400, "ValidationException", "InvalidBucketName", "ValidationError"),
    "invalid-range": Spelling(416, "ValidationException", "InvalidRange", "ValidationError"),
    "precondition-failed": Spelling(412, "ConflictException", "PreconditionFailed", "ValidationError"),
    "too-large": Spelling(400, "ValidationException", "EntityTooLarge", "ValidationError"),
    "unknown-operation": Spelling(404, "UnknownOperationException", "MethodNotAllowed", "InvalidAction", 405),
    "not-offered": Spelling(403, "AccessDeniedException", "NotImplemented", "AccessDenied", 501),
    "unauthenticated": Spelling(
        403, "MissingAuthenticationTokenException", "AccessDenied", "MissingAuthenticationToken"
    ),
    "signature-invalid": Spelling(403, "InvalidSignatureException", "SignatureDoesNotMatch", "SignatureDoesNotMatch"),
    "signature-skewed": Spelling(403, "InvalidSignatureException", "RequestTimeTooSkewed", "SignatureDoesNotMatch"),
    "signature-expired": Spelling(403, "ExpiredTokenException", "ExpiredToken", "ExpiredToken"),
    "signature-replayed": Spelling(403, "InvalidSignatureException", "AccessDenied", "SignatureDoesNotMatch"),
    # SDKs retry throttling, and their retry is signed anew.
    "signature-repeated": Spelling(429, "ThrottlingException", "SlowDown", "Throttling", 503),
    "lease-revoked": _DENIED,
    "lease-expired": _DENIED,
    "denied": _DENIED,
    "quota-exceeded": Spelling(402, "ServiceQuotaExceededException", "ServiceQuotaExceeded", "LimitExceeded"),
    "not-found": _MISSING,
    "no-such-key": _MISSING,
    "no-such-bucket": Spelling(404, "ResourceNotFoundException", "NoSuchBucket", "NoSuchEntity"),
    "no-such-upload": Spelling(404, "ResourceNotFoundException", "NoSuchUpload", "NoSuchEntity"),
    "conflict": Spelling(409, "ConflictException", "OperationAborted", "Conflict"),
    "bucket-owned": Spelling(409, "ConflictException", "BucketAlreadyOwnedByYou", "Conflict"),
    "claim-lost": _INTERNAL,
    "not-recorded": _INTERNAL,
    "state-directory": _INTERNAL,
    "key-store": _INTERNAL,
    "unavailable": Spelling(503, "ServiceUnavailableException", "ServiceUnavailable", "ServiceUnavailable"),
    "internal": _INTERNAL,
}
SECURITY_CODES = frozenset(
    code
    for code in SPELLINGS
    if code.startswith(("signature-", "lease-")) or code in ("unauthenticated", "not-offered")
)
"""Refusals that the audit log keeps. `denied` and `quota-exceeded` are recorded where they are decided."""


def spelling(error: QsecError) -> Spelling:
    """Every code has a spelling; one that was forgotten answers as an internal error rather than as a success."""
    return SPELLINGS.get(error.code, _INTERNAL)


def braket_error(error: QsecError, request_id: str, status: int = 0) -> WireResponse:
    """Braket's REST-JSON error shape; `status` overrides the table's."""
    words = spelling(error)
    headers = {"x-amzn-ErrorType": words.braket, "x-amzn-RequestId": request_id}
    return json_response({"message": str(error)}, status or words.status, headers)


def s3_error(error: QsecError, resource: str, request_id: str, status: int = 0) -> WireResponse:
    """S3's XML error shape."""
    words = spelling(error)
    about = {"Code": words.s3, "Message": str(error)}
    if isinstance(error, NoSuchBucketError):
        about["BucketName"] = error.bucket
    if isinstance(error, NoSuchKeyError):
        about["Key"] = error.key
    about |= {"Resource": resource, "RequestId": request_id}
    body = '<?xml version="1.0" encoding="UTF-8"?>\n<Error>' + elements(about) + "</Error>"
    return WireResponse(
        status or words.s3_status or words.status,
        body.encode("utf-8"),
        "application/xml",
        {"x-amz-request-id": request_id},
    )


def query_error(
    error: QsecError, request_id: str, namespace: str = "https://sts.amazonaws.com/doc/2011-06-15/"
) -> WireResponse:
    """The error shape of STS and other services of the query protocol."""
    words = spelling(error)
    fault = "Sender" if words.status < 500 else "Receiver"
    inner = elements({"Type": fault, "Code": words.query, "Message": str(error)})
    body = (
        f'<ErrorResponse xmlns="{namespace}"><Error>{inner}</Error><RequestId>{request_id}</RequestId></ErrorResponse>'
    )
    return WireResponse(words.status, body.encode("utf-8"), "text/xml", {"x-amzn-RequestId": request_id})


def elements(values: Mapping[str, str]) -> str:
    """XML elements in order, their text escaped; characters that XML cannot hold are replaced."""
    return "".join(f"<{name}>{xml_text(value)}</{name}>" for name, value in values.items())


def xml_text(text: str) -> str:
    kept = "".join(
        char if char in "\t\n\r" or (char >= " " and char not in "\ufffe\uffff") else "\ufffd" for char in text
    )
    return escape(kept)

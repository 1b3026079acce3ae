"""AWS Signature Version 4, verified strictly on the request as it came over the wire.

The verifier is our own because recomputing with a signer accepts what a signer never looks at: a tampered body under a
signed digest, equivalent paths, headers outside the signature. Here every byte that can change a request's meaning is
signed, or the request is refused. Format: "Authenticating Requests (AWS Signature Version 4)", AWS General Reference.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol
from urllib.parse import unquote_to_bytes

from jupyter_qsec.domain.errors import ExpiredSignatureError, SignatureError, UnauthenticatedError
from jupyter_qsec.gateway.canonical import (
    canonical_path,
    canonical_query,
    canonical_value,
    normalised_path,
    query_fields,
)

ALGORITHM = "AWS4-HMAC-SHA256"
MAX_SKEW = timedelta(minutes=5)
MAX_HEADERS = 64
MAX_TARGET = 8192

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^,\s]{1,256}), ?SignedHeaders=([a-z0-9;_-]{1,2048}), ?Signature=([0-9a-f]{64})\Z"
)
_SCOPE = re.compile(r"([A-Za-z0-9]{8,128})/([0-9]{8})/([a-z0-9-]{1,32})/([a-z0-9-]{1,32})/aws4_request\Z")
_STAMP = re.compile(r"[0-9]{8}T[0-9]{6}Z\Z")
_CANONICAL_PATH = re.compile(r"(?:[A-Za-z0-9\-._~/]|%[0-9A-F]{2})*\Z")
_NEEDLESS_ESCAPE = re.compile(r"%(?:2[DE]|5F|7E|3[0-9]|4[1-9A-F]|5[0-9A]|6[1-9A-F]|7[0-9A])")
_CONTROL_ESCAPE = re.compile(r"%(?:[01][0-9A-F]|7F)")
_DOT_SEGMENT = re.compile(r"/\.{1,2}(?:/|\Z)")

# Headers that change what a request means; x-amz-* joins them by prefix.
_MEANINGFUL = frozenset(
    {
        "braket-trackers",
        "content-encoding",
        "content-md5",
        "content-type",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-unmodified-since",
        "range",
    }
)
_SINGLE = ("host", "authorization", "content-type", "content-length", "x-amz-date", "x-amz-security-token")


class SigningCredential(Protocol):
    """What stands behind an access key id; derived without I/O."""

    @property
    def lease_id(self) -> str: ...

    @property
    def secret_access_key(self) -> str: ...

    @property
    def expires_at(self) -> datetime: ...


class Clock(Protocol):
    def now(self) -> datetime: ...


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request as it came, before anything was decoded."""

    method: str
    target: str
    """Path and query exactly as in the request line; bytes above 127 as Latin-1 characters."""
    headers: Sequence[tuple[str, str]]
    """Every field line in order; repeated names stay apart."""
    payload_sha256: str
    """SHA-256 (lower-case hex) of the body that was received."""


@dataclass(frozen=True, slots=True)
class SigningRules:
    """What one front door accepts. The defaults are the strict ones; each relaxation has a name that says so."""

    service: str
    region: str = ""
    """The only region that may be signed for; empty allows any well-formed one."""
    path_is_opaque: bool = False
    """S3: the path is a key, encoded once and never normalised."""
    content_sha256_required: bool = False
    """S3: `x-amz-content-sha256` must be there."""
    allow_query_signatures: bool = False
    allow_odd_paths: bool = False
    allow_missing_token: bool = False
    allow_unsigned_token: bool = False


@dataclass(frozen=True, slots=True)
class VerifiedRequest:
    """Proof that the holder of a lease's credential signed exactly this request."""

    lease_id: str
    access_key_id: str
    region: str
    service: str
    signed_at: datetime
    signature: str


@dataclass(frozen=True, slots=True)
class _Claim:
    """The signature as the request presents it, not yet believed."""

    access_key_id: str
    token: str
    date: str
    region: str
    service: str
    stamp: str
    signed_headers: tuple[str, ...]
    signature: str
    lifetime: timedelta | None
    """Set for query signatures: seconds after the stamp during which they hold."""

    @property
    def scope(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


class SignatureVerifier:
    """Verifies requests for one front door. Holds no state but a bounded cache of derived keys."""

    def __init__(
        self,
        credential_for: Callable[[str, str], SigningCredential],
        clock: Clock,
        rules: SigningRules,
        *,
        edition: Callable[[], int] = lambda: 0,
        cached_keys: int = 2048,
    ) -> None:
        """`credential_for(access_key_id, session_token)` raises `SignatureError` for credentials it did not make; it is
        asked anew for each when `edition` has changed."""
        self._credential_for = credential_for
        self._edition = edition
        self._clock = clock
        self._rules = rules
        self._signing = lru_cache(maxsize=cached_keys)(self._derive)

    def admit(self, method: str, target: str, headers: Sequence[tuple[str, str]]) -> None:
        """Check all that can be known before the body is read, so that strangers cannot make us buffer one."""
        fields = _fields(headers)
        _, query = _split(target, self._rules)
        claim = _claim(fields, query, self._rules)
        self._check_time(claim)
        self._key_of(claim)

    def verify(self, request: SignedRequest) -> VerifiedRequest:
        """Return who signed, or raise `UnauthenticatedError`, `SignatureError` or `ExpiredSignatureError`."""
        fields = _fields(request.headers)
        path, query = _split(request.target, self._rules)
        claim = _claim(fields, query, self._rules)
        signed_at = self._check_time(claim)
        _check_signed_headers(fields, claim, self._rules)
        payload = _payload(fields, request.payload_sha256, self._rules)
        lease_id, expires_at, key = self._key_of(claim)
        if self._clock.now() >= expires_at:
            raise ExpiredSignatureError(f"The credential expired at {expires_at:%Y-%m-%dT%H:%M:%SZ}.")
        canonical = "\n".join(
            (
                request.method,
                self._canonical_path(path),
                self._canonical_query(query, claim),
                *(f"{name}:{canonical_value(fields[name])}" for name in claim.signed_headers),
                "",
                ";".join(claim.signed_headers),
                payload,
            )
        ).encode("latin-1")
        text = f"{ALGORITHM}\n{claim.stamp}\n{claim.scope}\n{hashlib.sha256(canonical).hexdigest()}"
        expected = hmac.digest(key, text.encode("ascii"), "sha256").hex()
        if not hmac.compare_digest(expected, claim.signature):
            raise SignatureError("The request signature we calculated does not match the signature you provided.")
        return VerifiedRequest(lease_id, claim.access_key_id, claim.region, claim.service, signed_at, claim.signature)

    def _key_of(self, claim: _Claim) -> tuple[str, datetime, bytes]:
        """The lease, when the credential expires, and the signing key."""
        return self._signing(claim.access_key_id, claim.token, claim.date, claim.region, claim.service, self._edition())

    def _derive(
        self, access_key_id: str, token: str, date: str, region: str, service: str, _edition: int
    ) -> tuple[str, datetime, bytes]:
        credential = self._credential_for(access_key_id, token)
        key = ("AWS4" + credential.secret_access_key).encode("utf-8")
        for part in (date, region, service, "aws4_request"):
            key = hmac.digest(key, part.encode("ascii"), "sha256")
        return credential.lease_id, credential.expires_at, key

    def _canonical_path(self, path: str) -> str:
        write = normalised_path if self._rules.allow_odd_paths else canonical_path
        return write(path, opaque=self._rules.path_is_opaque)

    def _canonical_query(self, query: str, claim: _Claim) -> str:
        without = {"X-Amz-Signature"} if claim.lifetime is not None else set()
        if self._rules.allow_unsigned_token:
            without.add("X-Amz-Security-Token")
        return canonical_query(query, frozenset(without))

    def _check_time(self, claim: _Claim) -> datetime:
        signed_at = _moment(claim.stamp)
        now = self._clock.now()
        until = signed_at + (claim.lifetime if claim.lifetime is not None else MAX_SKEW)
        if now > until or signed_at > now + MAX_SKEW:
            raise SkewedSignatureError(
                f"Signature expired or not yet valid: it was made at {claim.stamp}, "
                f"and the gateway's clock shows {now:%Y%m%dT%H%M%SZ}."
            )
        return signed_at


class SkewedSignatureError(ExpiredSignatureError):
    """The signature's own time is too far from the gateway's."""

    code = "signature-skewed"


def _fields(headers: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """Header values by lower-case name. Refuses floods and repeats of what must be single."""
    if len(headers) > MAX_HEADERS:
        raise SignatureError(f"The request has more than {MAX_HEADERS} header fields.")
    fields: dict[str, list[str]] = {}
    for name, value in headers:
        fields.setdefault(name.lower(), []).append(value)
    if len(fields) != len(headers):
        for name in _SINGLE:
            if len(fields.get(name, ())) > 1:
                raise SignatureError(f"The header {name} may come only once.")
    return fields


def _split(target: str, rules: SigningRules) -> tuple[str, str]:
    """Path and raw query of a request target in origin form; odd paths are refused unless the rules allow them."""
    if len(target) > MAX_TARGET or not target.startswith("/"):
        raise SignatureError("The request target is too long or not a path.")
    path, _, query = target.partition("?")
    if rules.allow_odd_paths:
        return path, query
    if not _CANONICAL_PATH.match(path) or _NEEDLESS_ESCAPE.search(path):
        raise SignatureError("The path is not in canonical encoding: escape all but A-Z a-z 0-9 - . _ ~ in upper case.")
    if rules.path_is_opaque:
        if "%2F" in path:
            raise SignatureError("The path holds an escaped slash.")
    elif "//" in path or _DOT_SEGMENT.search(path) or _CONTROL_ESCAPE.search(path):
        raise SignatureError("The path holds empty, '.' or '..' segments or control characters.")
    if not query.isascii():
        raise SignatureError("The query is not ASCII.")
    return path, query


def _claim(fields: dict[str, list[str]], query: str, rules: SigningRules) -> _Claim:
    """The presented signature, from the Authorization header or, where allowed, the query."""
    authorization = fields.get("authorization")
    in_query = "X-Amz-" in query and any(
        name in ("X-Amz-Algorithm", "X-Amz-Signature", "X-Amz-Credential") for name, _ in query_fields(query)
    )
    if authorization is not None and in_query:
        raise SignatureError("The request is signed twice: by header and by query.")
    if in_query:
        return _query_claim(fields, query, rules)
    if authorization is None:
        raise UnauthenticatedError("The request is not signed: it has no Authorization header.")
    match = _AUTHORIZATION.match(authorization[0])
    if match is None:
        raise SignatureError(f"The Authorization header is not a well-formed {ALGORITHM} signature.")
    stamps = fields.get("x-amz-date", [])
    if len(stamps) != 1:
        raise SignatureError("The request needs one x-amz-date header.")
    token = fields.get("x-amz-security-token", [""])[0]
    return _checked_claim(match[1], stamps[0], token, match[2], match[3], None, rules)


def _query_claim(fields: dict[str, list[str]], query: str, rules: SigningRules) -> _Claim:
    if not rules.allow_query_signatures:
        raise SignatureError("Presigned URLs are not accepted here: sign the request's headers.")
    values: dict[str, str] = {}
    for name, value in query_fields(query):
        if name.startswith("X-Amz-"):
            if name in values:
                raise SignatureError(f"The query field {name} may come only once.")
            values[name] = unquote_to_bytes(value).decode("latin-1")
    if values.get("X-Amz-Algorithm") != ALGORITHM:
        raise SignatureError(f"Only {ALGORITHM} is accepted.")
    seconds = values.get("X-Amz-Expires", "")
    if not seconds.isascii() or not seconds.isdigit() or not 1 <= int(seconds[:8]) <= 604_800:
        raise SignatureError("X-Amz-Expires must be 1 to 604800 seconds.")
    signature = values.get("X-Amz-Signature", "")
    if not re.fullmatch(r"[0-9a-f]{64}", signature):
        raise SignatureError("X-Amz-Signature is malformed.")
    return _checked_claim(
        values.get("X-Amz-Credential", ""),
        values.get("X-Amz-Date", ""),
        values.get("X-Amz-Security-Token", ""),
        values.get("X-Amz-SignedHeaders", ""),
        signature,
        timedelta(seconds=int(seconds)),
        rules,
    )


def _checked_claim(
    credential: str,
    stamp: str,
    token: str,
    signed: str,
    signature: str,
    lifetime: timedelta | None,
    rules: SigningRules,
) -> _Claim:
    scope = _SCOPE.match(credential)
    if scope is None:
        raise SignatureError("The credential scope is malformed.")
    access_key_id, date, region, service = scope.groups()
    if not _STAMP.match(stamp) or stamp[:8] != date:
        raise SignatureError("The signature's time is malformed or differs from the date in its scope.")
    if service != rules.service:
        raise SignatureError(f"The signature is for the service {service}, not for {rules.service}.")
    if rules.region and region != rules.region:
        raise SignatureError(f"The signature is for the region {region}, not for {rules.region}.")
    if not token and not rules.allow_missing_token:
        raise SignatureError("The request carries no session token: only leased credentials are accepted.")
    names = tuple(signed.split(";"))
    return _Claim(access_key_id, token, date, region, service, stamp, names, signature, lifetime)


def _check_signed_headers(fields: dict[str, list[str]], claim: _Claim, rules: SigningRules) -> None:
    names = claim.signed_headers
    if list(names) != sorted(set(names)) or "host" not in names:
        raise SignatureError("SignedHeaders must be sorted, without repeats, and name host.")
    signed = set(names)
    for name in names:
        if name not in fields:
            raise SignatureError(f"The header {name} is signed but missing.")
    for name in fields:
        if name in signed or not (name.startswith("x-amz-") or name in _MEANINGFUL):
            continue
        if name == "x-amz-security-token" and rules.allow_unsigned_token:
            continue
        raise SignatureError(f"The header {name} must be signed.")
    if claim.lifetime is None and "x-amz-date" not in signed:
        raise SignatureError("The header x-amz-date must be signed.")


def _payload(fields: dict[str, list[str]], received: str, rules: SigningRules) -> str:
    """The payload digest for the canonical request: always that of the body that came."""
    declared = fields.get("x-amz-content-sha256")
    if declared is None:
        if rules.content_sha256_required:
            raise SignatureError("The header x-amz-content-sha256 is missing.")
        return received
    if len(declared) != 1 or not re.fullmatch(r"[0-9a-f]{64}", declared[0]):
        raise SignatureError("Unsigned and streaming payloads are not accepted: send the SHA-256 of the body.")
    if not hmac.compare_digest(declared[0], received):
        raise SignatureError("The body differs from its signed SHA-256.")
    return received


@lru_cache(maxsize=64)
def _moment(stamp: str) -> datetime:
    try:
        return datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise SignatureError("The signature's time is not a time.") from error

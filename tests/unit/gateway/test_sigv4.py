"""What the strict verifier refuses: everything that is not exactly what the holder of the credential signed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from jupyter_qsec.domain.errors import ExpiredSignatureError, SignatureError, UnauthenticatedError
from jupyter_qsec.gateway.sigv4 import (
    MAX_HEADERS,
    SignatureVerifier,
    SignedRequest,
    SigningRules,
    SkewedSignatureError,
)
from tests.fakes.clock import FakeClock
from tests.fakes.signer import Headers, Signer, replaced, without

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
TARGET = "/aws/braket/quantum-task/arn%3Aaws%3Abraket%3A%3A%3Adevice%2Fx?additionalAttributeNames=QueueInfo"
SIGNER = Signer("ASIAEXAMPLEEXAMPLE00", SECRET, "session-token")
S3 = replace(SIGNER, service="s3")


@dataclass(frozen=True)
class Credential:
    lease_id: str
    secret_access_key: str
    expires_at: datetime


class KnownCredential:
    """Knows one credential, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, access_key_id: str, token: str) -> Credential:
        self.asked += 1
        if (access_key_id, token) != (SIGNER.access_key_id, SIGNER.token):
            raise SignatureError("The security token included in the request is invalid.")
        return Credential("lease-1", SECRET, NOW + timedelta(minutes=60))


def verify(
    headers: Headers, *, method: str = "GET", target: str = TARGET, body: bytes = b"", now: datetime = NOW, **rules: Any
) -> Any:
    verifier = SignatureVerifier(KnownCredential(), FakeClock(now), SigningRules(**{"service": "braket", **rules}))
    return verifier.verify(SignedRequest(method, target, headers, hashlib.sha256(body).hexdigest()))


def signed(method: str = "GET", target: str = TARGET, body: bytes = b"", **changes: Any) -> Headers:
    return SIGNER.headers(method, target, body, **{"at": NOW, **changes})


def test_a_signed_request_tells_lease_region_and_time() -> None:
    verified = verify(signed())
    assert (verified.lease_id, verified.region, verified.service) == ("lease-1", "us-east-1", "braket")
    assert verified.signed_at == NOW


@pytest.mark.parametrize("service", ["braket", "s3", "sts"])
def test_the_sdk_signs_the_same(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signer of these tests is no more than what botocore does."""
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: NOW)
    kind = botocore.auth.S3SigV4Auth if service == "s3" else botocore.auth.SigV4Auth
    target = "/aws/x/a%20b%2Bc?b=2&a=%20x&flag="
    request = AWSRequest("POST", "http://127.0.0.1:8000" + target, headers={"Content-Type": "text/plain"}, data=b"{}")
    kind(Credentials(SIGNER.access_key_id, SECRET, SIGNER.token), service, "us-east-1").add_auth(request)
    ours = replace(SIGNER, service=service).headers("POST", target, b"{}", at=NOW, extra={"content-type": "text/plain"})
    assert request.headers["Authorization"] == dict(ours)["authorization"]


# -- tampering
@pytest.mark.parametrize(
    "change",
    [
        {"method": "PUT"},
        {"target": TARGET.replace("device", "devicf")},
        {"target": TARGET + "&more=1"},
        {"target": TARGET.partition("?")[0]},
        {"body": b"{}"},
    ],
)
def test_a_changed_request_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(SignatureError, match="does not match"):
        verify(signed(), **change)


@pytest.mark.parametrize("name", ["host", "x-amz-date", "content-type", "braket-trackers"])
def test_a_changed_signed_header_is_refused(name: str) -> None:
    headers = signed(extra={"content-type": "application/json", "braket-trackers": "a"})
    value = "20260301T120001Z" if name == "x-amz-date" else "other"
    with pytest.raises(SignatureError, match="does not match"):
        verify(replaced(headers, name, value))


@pytest.mark.parametrize("name", ["x-amz-date", "x-amz-security-token", "authorization", "host"])
def test_a_missing_header_is_refused(name: str) -> None:
    with pytest.raises(UnauthenticatedError):
        verify(without(signed(), name))


@pytest.mark.parametrize(
    "name", ["x-amz-copy-source", "x-amz-anything", "content-type", "range", "if-none-match", "content-md5"]
)
def test_a_header_that_means_something_must_be_signed(name: str) -> None:
    verify(signed(extra={name: "1"}))
    with pytest.raises(SignatureError, match=f"{name} must be signed"):
        verify(signed(extra={name: "1"}, unsigned=[name]))
    with pytest.raises(SignatureError, match=f"{name} must be signed"):
        verify([*signed(), (name, "1")])


@pytest.mark.parametrize("name", ["x-amz-date", "host", "x-amz-security-token"])
def test_the_core_headers_must_be_signed(name: str) -> None:
    with pytest.raises(SignatureError):
        verify(signed(unsigned=[name]))


def test_headers_that_mean_nothing_here_need_no_signature() -> None:
    verify([*signed(), ("user-agent", "Boto3"), ("amz-sdk-request", "attempt=1"), ("accept-encoding", "identity")])


@pytest.mark.parametrize(
    "name", ["authorization", "x-amz-date", "host", "content-type", "x-amz-security-token", "content-length"]
)
def test_what_must_be_single_is_refused_twice(name: str) -> None:
    headers = signed("POST", body=b"{}", extra={"content-type": "application/json"})
    again = next(value for key, value in headers if key == name)
    with pytest.raises(SignatureError, match=f"{name} may come only once"):
        verify([*headers, (name.title(), again)], method="POST", body=b"{}")


def test_repeated_signed_headers_count_in_their_order() -> None:
    one = signed(extra={"x-amz-tag": "a,b"})
    two = [*without(one, "x-amz-tag"), ("x-amz-tag", "a"), ("X-Amz-Tag", "b")]
    verify(two)
    with pytest.raises(SignatureError, match="does not match"):
        verify([*without(one, "x-amz-tag"), ("x-amz-tag", "b"), ("x-amz-tag", "a")])


# -- credential and scope
def test_a_wrong_secret_is_refused() -> None:
    forged = replace(SIGNER, secret="x" * 40).headers("GET", TARGET, at=NOW)
    with pytest.raises(SignatureError, match="does not match"):
        verify(forged)


@pytest.mark.parametrize("change", [{"access_key_id": "ASIAOTHEROTHEROTHER0"}, {"token": "another"}])
def test_an_unknown_credential_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(SignatureError, match="security token"):
        verify(replace(SIGNER, **change).headers("GET", TARGET, at=NOW))


def test_a_signature_for_another_service_is_refused() -> None:
    with pytest.raises(SignatureError, match="service s3"):
        verify(S3.headers("GET", TARGET, at=NOW))


def test_a_signature_counts_for_the_region_it_was_made_for() -> None:
    assert verify(replace(SIGNER, region="eu-west-2").headers("GET", TARGET, at=NOW)).region == "eu-west-2"
    with pytest.raises(SignatureError, match="does not match"):
        verify(signed(scope_region="eu-west-2"))
    with pytest.raises(SignatureError, match="region us-east-1"):
        verify(signed(), region="eu-west-2")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"),
        ("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
        ("/aws4_request", "/aws5_request"),
        ("20260301/", "20260302/"),
        ("20260301/", ""),
        ("us-east-1", "US-EAST-1"),
        ("Signature=", "Signature=00"),
        ("SignedHeaders=host;", "SignedHeaders=host;host;"),
        ("SignedHeaders=host;x-amz-date", "SignedHeaders=x-amz-date;host"),
        ("SignedHeaders=host;", "SignedHeaders=host;not-there;"),
        (", SignedHeaders", " SignedHeaders"),
        ("Credential=", "Credential=a/"),
    ],
)
def test_a_malformed_authorization_is_refused(old: str, new: str) -> None:
    headers = signed()
    authorization = dict(headers)["authorization"]
    assert old in authorization
    with pytest.raises(SignatureError):
        verify(replaced(headers, "authorization", authorization.replace(old, new, 1)))


@pytest.mark.parametrize("text", ["", "Bearer x", "Basic dXNlcjpwYXNz", "AWS4-HMAC-SHA256", "\x00", "é" * 300])
def test_another_authorization_is_refused(text: str) -> None:
    with pytest.raises(SignatureError):
        verify(replaced(signed(), "authorization", text))


# -- time
@pytest.mark.parametrize("minutes", [-4.9, 0, 4.9])
def test_five_minutes_of_skew_are_accepted(minutes: float) -> None:
    verify(signed(), now=NOW + timedelta(minutes=minutes))


@pytest.mark.parametrize("minutes", [-5.1, 5.1, 60 * 24])
def test_more_skew_is_refused_and_the_gateways_time_told(minutes: float) -> None:
    now = NOW + timedelta(minutes=minutes)
    with pytest.raises(SkewedSignatureError, match=now.strftime("%Y%m%dT%H%M%SZ")):
        verify(signed(), now=now)
    assert issubclass(SkewedSignatureError, ExpiredSignatureError)


def test_an_expired_credential_is_refused_even_when_its_key_is_cached() -> None:
    clock = FakeClock(NOW)
    verifier = SignatureVerifier(KnownCredential(), clock, SigningRules("braket"))
    digest = hashlib.sha256(b"").hexdigest()
    verifier.verify(SignedRequest("GET", TARGET, signed(), digest))
    clock.advance(minutes=60)
    late = SignedRequest("GET", TARGET, signed(at=clock.now()), digest)
    with pytest.raises(ExpiredSignatureError, match="credential expired"):
        verifier.verify(late)


@pytest.mark.parametrize("stamp", ["20260301T120000", "20261301T120000Z", "2026-03-01T12:00:00Z", "20260301T250000Z"])
def test_a_time_that_is_none_is_refused(stamp: str) -> None:
    with pytest.raises(SignatureError):
        verify(replaced(signed(), "x-amz-date", stamp))


def test_the_day_in_the_scope_is_that_of_the_signature() -> None:
    with pytest.raises(SignatureError, match="date in its scope"):
        verify(signed(scope_date="20260302"))


# -- odd targets
@pytest.mark.parametrize(
    "target",
    [
        "/aws/braket//device",
        "/aws/braket/./device",
        "/aws/braket/x/../device",
        "/aws/braket/..",
        "/aws/braket/%2e%2e/device",
        "/aws/braket/%2E%2E/device",
        "/aws/braket/a%3ab",
        "/aws/braket/a b",
        "/aws/braket/a%00b",
        "/aws/braket/a:b",
        "/aws/braket/ä",
        "/aws/braket/%zz",
        "http://127.0.0.1:8000/aws/braket/device",
        "*",
        "/" + "a" * 9000,
    ],
)
def test_an_odd_path_is_refused_although_it_is_signed(target: str) -> None:
    with pytest.raises(SignatureError, match="path"):
        verify(signed(target=target), target=target)


@pytest.mark.parametrize("target", ["/aws/s3/b/a/../b", "/aws/s3/b//x", "/aws/s3/b/./x", "/aws/s3/b/%00"])
def test_an_object_key_may_be_odd_because_it_is_never_a_path(target: str) -> None:
    verify(S3.headers("GET", target, at=NOW), target=target, service="s3", path_is_opaque=True)


@pytest.mark.parametrize("target", ["/aws/s3/b/%2e%2e/x", "/aws/s3/b/a%2Fb", "/aws/s3/b/%c3%bc", "/aws/s3/b/a+b"])
def test_an_object_key_has_one_spelling_only(target: str) -> None:
    with pytest.raises(SignatureError, match="path"):
        verify(S3.headers("GET", target, at=NOW), target=target, service="s3", path_is_opaque=True)


@pytest.mark.parametrize("query", ["a=b+c", "a=%zz", "a=%", "ä=1", "&".join(f"a{i}=1" for i in range(65))])
def test_an_odd_query_is_refused_although_it_is_signed(query: str) -> None:
    target = "/aws/braket/device?" + query
    with pytest.raises(SignatureError, match="query"):
        verify(signed(target=target), target=target)


def test_query_fields_may_come_in_any_order() -> None:
    headers = signed(target="/x?a=1&b=2")
    verify(headers, target="/x?b=2&a=1")


def test_a_flood_of_headers_is_refused() -> None:
    flood = [(f"h{number}", "x") for number in range(MAX_HEADERS)]
    with pytest.raises(SignatureError, match="header fields"):
        verify([*signed(), *flood])


# -- payloads
S3_RULES: dict[str, Any] = {"service": "s3", "path_is_opaque": True, "content_sha256_required": True}


def test_the_body_must_have_its_signed_digest() -> None:
    headers = S3.headers("PUT", "/b/k", b"hello", at=NOW)
    verify(headers, method="PUT", target="/b/k", body=b"hello", **S3_RULES)
    with pytest.raises(SignatureError, match="differs from its signed"):
        verify(headers, method="PUT", target="/b/k", body=b"hellO", **S3_RULES)


def test_a_signed_digest_of_another_body_does_not_help() -> None:
    """Recomputing with botocore accepts this: it believes the header and never looks at the body."""
    headers = S3.headers("PUT", "/b/k", b"evil", at=NOW, payload=hashlib.sha256(b"good").hexdigest())
    with pytest.raises(SignatureError, match="differs from its signed"):
        verify(headers, method="PUT", target="/b/k", body=b"evil", **S3_RULES)


@pytest.mark.parametrize(
    "payload",
    ["UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "E3B0" * 16],
)
def test_unsigned_and_streaming_payloads_are_refused(payload: str) -> None:
    headers = S3.headers("PUT", "/b/k", b"x", at=NOW, payload=payload)
    with pytest.raises(SignatureError, match="not accepted"):
        verify(headers, method="PUT", target="/b/k", body=b"x", **S3_RULES)


def test_s3_needs_the_digest() -> None:
    headers = SIGNER.headers("GET", "/b/k", at=NOW)
    with pytest.raises(SignatureError):
        verify(headers, target="/b/k", **S3_RULES)


# -- before the body, and the cache
def test_strangers_are_turned_away_before_their_body_is_read() -> None:
    verifier = SignatureVerifier(KnownCredential(), FakeClock(NOW), SigningRules("braket"))
    verifier.admit("POST", TARGET, signed("POST", body=b"{}"))
    with pytest.raises(UnauthenticatedError):
        verifier.admit("POST", TARGET, [("host", "127.0.0.1:8000")])
    with pytest.raises(SignatureError, match="security token"):
        verifier.admit("POST", TARGET, replace(SIGNER, token="guess").headers("POST", TARGET, b"{}", at=NOW))
    with pytest.raises(SkewedSignatureError):
        verifier.admit("POST", TARGET, signed("POST", body=b"{}", at=NOW - timedelta(hours=1)))


def test_keys_are_derived_once_and_refusals_never_remembered() -> None:
    credentials = KnownCredential()
    verifier = SignatureVerifier(credentials, FakeClock(NOW), SigningRules("braket"), cached_keys=2)
    digest = hashlib.sha256(b"").hexdigest()
    for _ in range(3):
        verifier.verify(SignedRequest("GET", TARGET, signed(), digest))
    assert credentials.asked == 1
    stranger = replace(SIGNER, token="guess").headers("GET", TARGET, at=NOW)
    for _ in range(2):
        with pytest.raises(SignatureError):
            verifier.verify(SignedRequest("GET", TARGET, stranger, digest))
    assert credentials.asked == 3


def test_what_was_derived_counts_no_more_when_what_it_is_under_has_changed() -> None:
    credentials, edition = KnownCredential(), [1]
    verifier = SignatureVerifier(credentials, FakeClock(NOW), SigningRules("braket"), edition=lambda: edition[0])
    request = SignedRequest("GET", TARGET, signed(), hashlib.sha256(b"").hexdigest())
    verifier.verify(request)
    verifier.verify(request)
    assert credentials.asked == 1
    edition[0] += 1
    verifier.verify(request)
    assert credentials.asked == 2

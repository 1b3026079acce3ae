"""Attacks on a real gateway over the wire: each is refused in the protocol's own words, and on record."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from tests.fakes.signer import replaced
from tests.fakes.world import BELL, SV1
from tests.gateway.livegateway import Issued, LiveGateway
from tests.gateway.rawhttp import Answer, SignedClient, kind, send

BUCKET = "/amazon-braket-us-east-1-000000000101"
SEARCH = b'{"filters":[]}'
TASK = "/quantum-task/" + quote("arn:aws:braket:us-east-1:000000000101:quantum-task/x", safe="")


def submission(**changes: Any) -> bytes:
    """The body of CreateQuantumTask for a Bell program, with changes."""
    body = {
        "deviceArn": SV1,
        "shots": 10,
        "outputS3Bucket": BUCKET[1:],
        "outputS3KeyPrefix": "tasks",
        "action": BELL,
        "clientToken": f"token-{time.monotonic_ns()}",
    }
    return json.dumps({**body, **changes}).encode()


def test_an_honest_request_is_answered(braket: SignedClient, s3: SignedClient) -> None:
    """Without this one, every refusal below would prove nothing."""
    assert braket.send("POST", "/quantum-tasks", SEARCH).status == 200
    assert s3.send("PUT", BUCKET + "/honest", b"x").status == 200


# -- signatures
def test_unsigned(braket: SignedClient) -> None:
    headers = [("host", braket.signer.host), ("content-length", str(len(SEARCH)))]
    answer = braket.send("POST", "/quantum-tasks", SEARCH, headers)
    assert (answer.status, kind(answer)) == (403, "MissingAuthenticationTokenException")


def test_wrong_secret(braket: SignedClient) -> None:
    forger = replace(braket, signer=replace(braket.signer, secret="x" * 40))
    answer = forger.send("POST", "/quantum-tasks", SEARCH)
    assert (answer.status, kind(answer)) == (403, "InvalidSignatureException")


def test_another_leases_token_with_ones_own_secret(shared_gateway: LiveGateway, braket: SignedClient) -> None:
    other = SignedClient.of(shared_gateway, shared_gateway.lease(tenant="research"))
    stolen = replace(braket.signer, token=other.signer.token)
    for signer in (stolen, replace(stolen, access_key_id=other.signer.access_key_id)):
        answer = replace(braket, signer=signer).send("POST", "/quantum-tasks", SEARCH)
        assert (answer.status, kind(answer)) == (403, "InvalidSignatureException")


def test_a_long_lived_access_key(braket: SignedClient) -> None:
    real = replace(braket.signer, access_key_id="AKIAIOSFODNN7EXAMPLE", token="")
    answer = replace(braket, signer=real).send("POST", "/quantum-tasks", SEARCH)
    assert answer.status == 403
    assert "leased credentials" in answer.text


def test_tampered_body(braket: SignedClient) -> None:
    headers = braket.sign("POST", "/quantum-tasks", SEARCH)
    answer = braket.send("POST", "/quantum-tasks", SEARCH.replace(b"[]", b"{}"), headers)
    assert (answer.status, kind(answer)) == (403, "InvalidSignatureException")


def test_tampered_object(s3: SignedClient) -> None:
    headers = s3.sign("PUT", BUCKET + "/tampered", b"good")
    answer = s3.send("PUT", BUCKET + "/tampered", b"evil", headers)
    assert answer.status == 403
    assert s3.send("GET", BUCKET + "/tampered").status == 404


def test_tampered_path_and_method(braket: SignedClient) -> None:
    headers = braket.sign("GET", TASK)
    assert kind(braket.send("GET", TASK[:-1] + "y", headers=headers)) == "InvalidSignatureException"
    assert kind(braket.send("GET", TASK.replace("/quantum-task/", "/tags/"), headers=headers)) == (
        "InvalidSignatureException"
    )
    assert kind(braket.send("DELETE", TASK, headers=headers)) == "InvalidSignatureException"


def test_tampered_query(braket: SignedClient) -> None:
    headers = braket.sign("GET", TASK + "?additionalAttributeNames=QueueInfo")
    for query in ("", "?additionalAttributeNames=Other", "?additionalAttributeNames=QueueInfo&x=1"):
        assert kind(braket.send("GET", TASK + query, headers=headers)) == "InvalidSignatureException"


def test_tampered_header(s3: SignedClient) -> None:
    source = {"x-amz-copy-source": BUCKET[1:] + "/honest"}
    headers = s3.sign("PUT", BUCKET + "/copied", extra=source)
    changed = replaced(headers, "x-amz-copy-source", BUCKET[1:] + "/other")
    assert s3.send("PUT", BUCKET + "/copied", headers=changed).status == 403
    plain = s3.sign("PUT", BUCKET + "/copied")
    assert s3.send("PUT", BUCKET + "/copied", headers=[*plain, *source.items()]).status == 403


@pytest.mark.parametrize("minutes", [-6, -60 * 24, 6, 60 * 24])
def test_expired_or_from_the_future(braket: SignedClient, minutes: int) -> None:
    answer = braket.send("POST", "/quantum-tasks", SEARCH, at=datetime.now(UTC) + timedelta(minutes=minutes))
    assert (answer.status, kind(answer)) == (403, "InvalidSignatureException")
    assert f"clock shows {datetime.now(UTC):%Y%m%d}" in answer.text


def test_replay(braket: SignedClient, s3: SignedClient) -> None:
    """Recorded requests: a poll works again only at once, a write never."""
    poll = braket.sign("POST", "/quantum-tasks", SEARCH)
    write = s3.sign("PUT", BUCKET + "/replayed", b"old")
    assert braket.send("POST", "/quantum-tasks", SEARCH, poll).status == 200
    assert s3.send("PUT", BUCKET + "/replayed", b"old", write).status == 200
    assert s3.send("PUT", BUCKET + "/replayed", b"old", write).status == 503
    time.sleep(2.1)
    assert s3.send("PUT", BUCKET + "/replayed", b"new").status == 200
    assert s3.send("PUT", BUCKET + "/replayed", b"old", write).status == 403
    assert kind(braket.send("POST", "/quantum-tasks", SEARCH, poll)) == "InvalidSignatureException"
    assert s3.send("GET", BUCKET + "/replayed").body == b"new"


def test_a_signature_for_another_service_or_region(shared_gateway: LiveGateway, braket: SignedClient) -> None:
    body = SEARCH
    for service in ("s3", "sts", "iam"):
        signer = replace(braket.signer, service=service)
        headers = signer.headers("POST", "/aws/braket/quantum-tasks", body, at=datetime.now(UTC))
        answer = send(shared_gateway, "POST", "/aws/braket/quantum-tasks", headers, body)
        assert kind(answer) == "InvalidSignatureException"
    answer = braket.send("POST", "/quantum-tasks", SEARCH, scope_region="eu-west-2")
    assert kind(answer) == "InvalidSignatureException"


def test_two_authorizations(braket: SignedClient) -> None:
    headers = braket.sign("POST", "/quantum-tasks", SEARCH)
    answer = braket.send(
        "POST", "/quantum-tasks", SEARCH, [*headers, ("Authorization", dict(headers)["authorization"])]
    )
    assert answer.status == 403


def presigned(s3: SignedClient) -> Answer:
    query = (
        f"?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={s3.signer.access_key_id}%2F20260301%2Fus-east-1%2Fs3%2F"
        "aws4_request&X-Amz-Date=20260301T120000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=" + "0" * 64
    )
    return s3.send("GET", BUCKET + "/k" + query, headers=[("host", s3.signer.host)])


def test_a_presigned_url(s3: SignedClient) -> None:
    answer = presigned(s3)
    assert answer.status == 403
    assert "Presigned" in answer.text


def unsigned(s3: SignedClient) -> Answer:
    return s3.send("GET", BUCKET + "/k", headers=[("host", s3.signer.host)])


def expired(s3: SignedClient) -> Answer:
    return s3.send("GET", BUCKET + "/k", at=datetime.now(UTC) - timedelta(minutes=6))


def repeated(s3: SignedClient) -> Answer:
    """A write, again at once."""
    write = s3.sign("PUT", BUCKET + "/repeated", b"x")
    assert s3.send("PUT", BUCKET + "/repeated", b"x", write).status == 200
    return s3.send("PUT", BUCKET + "/repeated", b"x", write)


def replayed(s3: SignedClient) -> Answer:
    """A read, again when no honest client tries any more."""
    read = s3.sign("GET", BUCKET + "?list-type=2")
    assert s3.send("GET", BUCKET + "?list-type=2", headers=read).status == 200
    time.sleep(2.1)
    return s3.send("GET", BUCKET + "?list-type=2", headers=read)


@pytest.mark.parametrize(
    ("attack", "status", "code"),
    [
        (unsigned, 403, "unauthenticated"),
        (expired, 403, "signature-skewed"),
        (repeated, 503, "signature-repeated"),
        (replayed, 403, "signature-replayed"),
        (presigned, 403, "signature-invalid"),
    ],
)
def test_what_no_lease_signed_for_this_moment_is_on_record_with_its_code(
    live_gateway: LiveGateway, attack: Callable[[SignedClient], Answer], status: int, code: str
) -> None:
    s3 = SignedClient.of(live_gateway, live_gateway.lease(), "s3")
    assert attack(s3).status == status
    (rejected,) = [event for event in live_gateway.events() if event["kind"] == "request.rejected"]
    assert (rejected["outcome"], rejected["details"]["code"]) == ("denied", code)
    assert rejected["details"]["source"] == "127.0.0.1"


@pytest.mark.parametrize("payload", ["UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"])
def test_an_unsigned_payload(s3: SignedClient, payload: str) -> None:
    assert s3.send("PUT", BUCKET + "/unsigned", b"x", payload=payload).status == 403
    assert s3.send("GET", BUCKET + "/unsigned").status == 404


@pytest.mark.parametrize(
    "path", ["//quantum-tasks", "/./quantum-tasks", "/x/../quantum-tasks", "/%2e%2e/s3", "/x%00", "/..%2fs3/b/k"]
)
def test_odd_paths(braket: SignedClient, path: str) -> None:
    answer = braket.send("GET", path)
    assert (answer.status, kind(answer)) == (403, "InvalidSignatureException")


def test_a_path_that_climbs_out_of_its_door_reaches_nothing(shared_gateway: LiveGateway, s3: SignedClient) -> None:
    """A key may hold dot segments; it stays a key."""
    answer = s3.send("GET", BUCKET + "/../../api/v1/leases")
    assert (answer.status, b"NoSuchKey" in answer.body) == (404, True)
    answer = s3.send("GET", BUCKET + "/../../../../gateway.json")
    assert (answer.status, b"NoSuchKey" in answer.body) == (404, True)


# -- content
@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"", b"[" * 100_000, b'{"shots":NaN}', b'{"shots":1,"shots":2}', b"\xff"]
)
def test_malformed_json(braket: SignedClient, body: bytes) -> None:
    answer = braket.send("POST", "/quantum-task", body)
    assert (answer.status, kind(answer)) == (400, "ValidationException")


@pytest.mark.parametrize(
    "change",
    [
        {"shots": 10**9},
        {"shots": -1},
        {"shots": 0},
        {"action": "not a program"},
        {
            "action": json.dumps(
                {
                    "braketSchemaHeader": {"name": "braket.ir.openqasm.program", "version": "1"},
                    "source": "OPENQASM 3; qubit[60] q; h q;",
                }
            )
        },
        {
            "action": json.dumps(
                {
                    "braketSchemaHeader": {"name": "braket.ir.openqasm.program", "version": "1"},
                    "source": 'include "/etc/passwd";',
                }
            )
        },
    ],
)
def test_a_program_beyond_all_bounds(braket: SignedClient, change: dict[str, Any]) -> None:
    answer = braket.send("POST", "/quantum-task", submission(**change))
    assert (answer.status, kind(answer)) == (400, "ValidationException")


def test_forged_tags(shared_gateway: LiveGateway, braket: SignedClient, issued: Issued) -> None:
    answer = braket.send("POST", "/quantum-task", submission(tags={"qsec:tenant": "research"}))
    assert (answer.status, kind(answer)) == (403, "AccessDeniedException")
    refused = [event for event in shared_gateway.events() if event["kind"] == "task.refused"]
    assert issued.id in [event["lease"] for event in refused]


def test_unknown_operations(braket: SignedClient) -> None:
    answer = braket.send("POST", "/quantum-teleporter", b"{}")
    assert (answer.status, kind(answer)) == (404, "UnknownOperationException")


@pytest.mark.parametrize(
    "body",
    [
        b'<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]><Delete><Object><Key>&x;</Key></Object></Delete>',
        b'<!DOCTYPE d [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><Delete><Object><Key>&b;</Key></Object></Delete>',
        b"<Delete>" + b"<a>" * 5000,
        b"not xml",
        b"<Delete/>",
    ],
)
def test_hostile_xml(s3: SignedClient, body: bytes) -> None:
    answer = s3.send("POST", BUCKET + "?delete", body)
    assert (answer.status, b"InvalidRequest" in answer.body) == (400, True)


@pytest.mark.parametrize(
    "name", ["x-amz-acl", "x-amz-meta-a", "x-amz-server-side-encryption-customer-key", "x-amz-tagging"]
)
def test_what_s3_would_do_and_the_gateway_does_not_is_never_ignored(s3: SignedClient, name: str) -> None:
    answer = s3.send("PUT", BUCKET + "/k", b"x", extra={name: "1"})
    assert (answer.status, b"NotImplemented" in answer.body) == (501, True)


def test_a_wrong_checksum(s3: SignedClient) -> None:
    answer = s3.send("PUT", BUCKET + "/sum", b"x", extra={"x-amz-checksum-crc32": "AAAAAA=="})
    assert (answer.status, b"BadDigest" in answer.body) == (400, True)
    assert s3.send("GET", BUCKET + "/sum").status == 404


# -- leases
def test_a_lease_revoked_in_the_middle_of_a_session(shared_gateway: LiveGateway) -> None:
    lease = shared_gateway.lease(tenant="sandbox")
    doors = [SignedClient.of(shared_gateway, lease, service) for service in ("braket", "s3", "sts")]
    calls = [
        ("POST", "/quantum-tasks", SEARCH),
        ("GET", BUCKET + "/none", b""),
        ("POST", "", b"Action=GetCallerIdentity"),
    ]
    for door, (method, path, body) in zip(doors, calls, strict=True):
        assert "revoked" not in door.send(method, path, body).text
    shared_gateway.post(f"/api/v1/leases/{lease.id}/revoke", {"reason": "in test"})
    for door, (method, path, body) in zip(doors, calls, strict=True):
        answer = door.send(method, path, body)
        assert answer.status == 403
        assert "was revoked (in test)" in answer.text
        assert "New lease" in answer.text
    assert shared_gateway.get("/credentials", token=lease.token).status_code == 403

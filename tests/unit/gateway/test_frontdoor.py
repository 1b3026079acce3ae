"""Authenticate, decide, answer; refuse in the service's own words, and on record."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from jupyter_qsec.domain.access import Action
from jupyter_qsec.domain.errors import RecordingError
from jupyter_qsec.gateway.denied import DeniedDoor
from jupyter_qsec.gateway.frontdoor import Arrival
from tests.fakes.doors import bell, client, message, rejections
from tests.fakes.policy import FakePolicy
from tests.fakes.signer import replaced, without
from tests.fakes.world import ADA, World

SEARCH: dict[str, list[Any]] = {"filters": []}


async def test_a_signed_call_is_answered_in_the_name_of_its_lease(world: World) -> None:
    alpha = await client(world)
    response = await alpha.send("POST", "/quantum-task", bell())
    assert response.status == 201
    submitted = next(event for event in world.store.events if event.kind == "task.submitted")
    assert (submitted.lease_id, submitted.tenant, submitted.principal) == (alpha.lease_id, "alpha", "os:ada")


@pytest.mark.parametrize(
    ("service", "method", "path"), [("braket", "POST", "/quantum-tasks"), ("s3", "GET", "/b/k"), ("sts", "POST", "/")]
)
async def test_an_unsigned_call_is_refused_in_the_services_own_words(
    world: World, service: str, method: str, path: str
) -> None:
    stranger = await client(world, service)
    response = await stranger.send(method, path, headers=[("host", "127.0.0.1:8000")])
    assert response.status == 403
    words = {"braket": "MissingAuthenticationTokenException", "s3": "AccessDenied", "sts": "MissingAuthenticationToken"}
    assert words[service] in str(response.headers) + response.body.decode()
    assert rejections(world) == [(service, "unauthenticated")]


async def test_a_wrong_signature_is_refused_and_recorded_without_what_was_sent(world: World) -> None:
    alpha = await client(world)
    body = json.dumps(SEARCH).encode()
    headers = alpha.sign("POST", "/quantum-tasks", body)
    response = await alpha.send("POST", "/quantum-tasks", b'{"filters":[] }', headers)
    assert (response.status, response.headers["x-amzn-ErrorType"]) == (403, "InvalidSignatureException")
    assert rejections(world) == [("braket", "signature-invalid")]
    assert alpha.signer.token not in repr(world.store.events)


# -- replays
async def test_a_read_may_come_twice_at_once_and_not_again_later(world: World) -> None:
    alpha = await client(world)
    body = json.dumps(SEARCH).encode()
    headers = alpha.sign("POST", "/quantum-tasks", body)
    assert (await alpha.send("POST", "/quantum-tasks", body, headers)).status == 200
    assert (await alpha.send("POST", "/quantum-tasks", body, headers)).status == 200
    world.clock.advance(seconds=3)
    response = await alpha.send("POST", "/quantum-tasks", body, headers)
    assert (response.status, response.headers["x-amzn-ErrorType"]) == (403, "InvalidSignatureException")
    assert rejections(world) == [("braket", "signature-replayed")]


async def test_a_submission_sent_twice_is_one_task_and_not_accepted_later(world: World) -> None:
    alpha = await client(world)
    body = json.dumps(bell()).encode()
    headers = alpha.sign("POST", "/quantum-task", body)
    first = await alpha.send("POST", "/quantum-task", body, headers)
    again = await alpha.send("POST", "/quantum-task", body, headers)
    assert (first.status, again.status, first.body) == (201, 201, again.body)
    world.clock.advance(seconds=3)
    assert (await alpha.send("POST", "/quantum-task", body, headers)).status == 403
    assert world.kinds().count("task.submitted") == 1


async def test_a_write_sent_twice_at_once_is_asked_to_be_signed_again(world: World) -> None:
    alpha = await client(world, "s3")
    path = "/amazon-braket-us-east-1-000000000111/k"
    headers = alpha.sign("PUT", path, b"x")
    assert (await alpha.send("PUT", path, b"x", headers)).status == 200
    again = await alpha.send("PUT", path, b"x", headers)
    assert again.status == 503
    assert b"SlowDown" in again.body
    world.clock.advance(seconds=1)
    assert (await alpha.send("PUT", path, b"x")).status == 200
    world.clock.advance(seconds=3)
    assert (await alpha.send("PUT", path, b"x", headers)).status == 403


async def test_tags_cannot_be_put_back_by_a_replay(world: World) -> None:
    alpha = await client(world)
    arn = json.loads((await alpha.send("POST", "/quantum-task", bell())).body)["quantumTaskArn"].replace(":", "%3A")
    path = "/tags/" + arn.replace("/", "%2F")
    body = json.dumps({"tags": {"stage": "draft"}}).encode()
    headers = alpha.sign("POST", path, body)
    assert (await alpha.send("POST", path, body, headers)).status == 200
    assert (await alpha.send("POST", path, body, headers)).status == 429


# -- leases
async def test_a_revoked_lease_ends_at_the_next_call_and_says_how_to_go_on(world: World) -> None:
    alpha = await client(world)
    assert (await alpha.send("POST", "/quantum-tasks", SEARCH)).status == 200
    await world.leasing.revoke(ADA, alpha.lease_id, "the panel's button")
    response = await alpha.send("POST", "/quantum-tasks", {"filters": [], "maxResults": 1})
    assert (response.status, response.headers["x-amzn-ErrorType"]) == (403, "AccessDeniedException")
    assert "revoked (the panel's button)" in message(response)
    assert "New lease" in message(response)
    assert rejections(world) == [("braket", "lease-revoked")]


async def test_an_expired_lease_ends_although_its_credential_lives_on(world: World) -> None:
    alpha = await client(world)
    world.clock.advance(minutes=6)
    response = await alpha.send("POST", "/quantum-tasks", SEARCH)
    assert (response.status, response.headers["x-amzn-ErrorType"]) == (403, "AccessDeniedException")
    assert "expired" in message(response)


async def test_an_expired_credential_is_refused(world: World) -> None:
    alpha = await client(world)
    for _ in range(23):
        world.clock.advance(minutes=4)
        await world.leasing.renew(ADA, alpha.lease_id)
    response = await alpha.send("POST", "/quantum-tasks", SEARCH)
    assert (response.status, response.headers["x-amzn-ErrorType"]) == (403, "ExpiredTokenException")


# -- policy and defects
async def test_a_denial_is_recorded_with_the_rules_that_decided(new_world: Callable[..., World]) -> None:
    policy = FakePolicy()
    world = new_world(policy=policy)
    alpha = await client(world)
    policy.denied = {Action.DEVICE_READ}
    response = await alpha.send("POST", "/devices", SEARCH)
    assert (response.status, response.headers["x-amzn-ErrorType"]) == (403, "AccessDeniedException")
    refused = world.store.events[-1]
    assert (refused.kind, refused.rules, refused.lease_id) == ("braket.refused", ("forbid-in-test",), alpha.lease_id)


async def test_a_denied_submission_is_recorded_once(new_world: Callable[..., World]) -> None:
    policy = FakePolicy()
    world = new_world(policy=policy)
    alpha = await client(world)
    policy.denied = {Action.TASK_CREATE}
    assert (await alpha.send("POST", "/quantum-task", bell())).status == 403
    assert [kind for kind in world.kinds() if "refused" in kind] == ["task.refused"]


async def test_what_cannot_be_recorded_fails_and_tells_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    alpha = await client(world)

    async def no_submit(*_: object) -> None:
        raise RecordingError("The decision could not be recorded.")

    monkeypatch.setattr(world.store, "submit", no_submit)
    response = await alpha.send("POST", "/quantum-task", bell())
    assert (response.status, response.headers["x-amzn-ErrorType"]) == (500, "InternalServiceException")
    assert "task.submitted" not in world.kinds()


@pytest.mark.parametrize("service", ["braket", "s3"])
async def test_a_defect_answers_as_a_refusal_without_its_text(
    world: World, service: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    alpha = await client(world, service)

    async def broken(*_: object) -> None:
        raise KeyError("secret detail")

    monkeypatch.setattr(alpha.door.service, "answer", broken)
    response = await alpha.send("GET", "/b/k")
    assert response.status == 500
    assert b"secret detail" not in response.body
    assert "failed" in caplog.text


# -- before the body
@pytest.mark.parametrize(
    ("headers", "complaint"),
    [
        ([("transfer-encoding", "chunked")], "Content-Length"),
        ([("content-length", "99999999999999")], "12 MB"),
        ([("content-length", str((12 << 20) + 1))], "12 MB"),
        ([("content-length", "-1")], "not a number"),
        ([("content-length", "²")], "not a number"),
        ([("content-length", "2")], "not signed"),
    ],
)
async def test_a_body_is_read_only_for_those_who_may_send_it(
    world: World, headers: list[tuple[str, str]], complaint: str
) -> None:
    alpha = await client(world)
    with pytest.raises(Exception, match=complaint):
        alpha.door.admit(Arrival("POST", "/aws/braket/quantum-task", headers, "127.0.0.1"))


async def test_a_credential_holder_may_send_a_body(world: World) -> None:
    alpha = await client(world)
    headers = alpha.sign("POST", "/quantum-task", b"{}")
    alpha.door.admit(Arrival("POST", "/aws/braket/quantum-task", headers, "127.0.0.1"))


# -- other services
@pytest.mark.parametrize(
    ("service", "extra", "shape"),
    [
        ("iam", {"content-type": "application/x-www-form-urlencoded"}, b"<Code>AccessDenied</Code>"),
        ("dynamodb", {"content-type": "application/x-amz-json-1.0"}, b'"__type":"AccessDeniedException"'),
        ("lambda", {}, b'"message"'),
        ("ec2", {"content-type": "application/x-www-form-urlencoded"}, b"<Response><Errors><Error>"),
        ("s3-control", {}, b"<Error><Code>AccessDenied</Code>"),
        ("monitoring", {"smithy-protocol": "rpc-v2-cbor"}, b"AccessDeniedException"),
    ],
)
async def test_every_other_service_is_refused_in_its_own_protocol(
    world: World, service: str, extra: dict[str, str], shape: bytes
) -> None:
    alpha = await client(world)
    headers = alpha.signer.headers("POST", "/aws/denied", b"{}", at=world.clock.now(), extra=extra)
    headers = replaced(headers, "authorization", dict(headers)["authorization"].replace("/braket/", f"/{service}/"))
    response = await DeniedDoor(world).serve(Arrival("POST", "/aws/denied", headers, "127.0.0.1"))
    assert response.status == 403
    assert shape in response.body
    assert service.encode() in response.body
    refused = world.store.events[-1]
    assert (refused.kind, refused.subject, refused.lease_id) == ("service.refused", service, alpha.lease_id)


async def test_a_stranger_is_refused_there_too_and_recorded_as_one(world: World) -> None:
    headers = without((await client(world)).sign("GET", "/x"), "x-amz-security-token")
    response = await DeniedDoor(world).serve(Arrival("GET", "/aws/denied/x", headers, "127.0.0.1"))
    assert response.status == 403
    assert rejections(world) == [("denied", "not-offered")]


# -- STS
async def sts(world: World, body: bytes) -> tuple[int, str]:
    alpha = await client(world, "sts")
    response = await alpha.send("POST", "", body)
    return response.status, response.body.decode()


async def test_the_identity_is_the_tenants_account_the_project_and_the_principal(world: World) -> None:
    status, body = await sts(world, b"Action=GetCallerIdentity&Version=2011-06-15")
    assert status == 200
    assert "<Arn>arn:aws:sts::000000000111:assumed-role/qsec-first/ada</Arn>" in body
    assert "<Account>000000000111</Account>" in body


@pytest.mark.parametrize("action", [b"AssumeRole", b"GetSessionToken", b"", b"%ff", b"x&Action=GetCallerIdentity"])
async def test_no_other_identity_is_given(world: World, action: bytes) -> None:
    status, body = await sts(world, b"Action=" + action)
    assert status in (400, 403)
    assert "<Arn>" not in body

"""Tokens of workloads: which are taken, and what is tried to have others taken."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import threading
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from jupyter_qsec.adapters.identity.choice import identities_of, is_workload_token
from jupyter_qsec.adapters.identity.workload import MAX_LIFE, MAX_TOKEN, WorkloadIdentities
from jupyter_qsec.domain.errors import DeniedError, UnauthenticatedError, UnavailableError
from jupyter_qsec.domain.membership import MemberRule, Membership
from jupyter_qsec.domain.principal import PrincipalKind, Role
from jupyter_qsec.domain.workload import WorkloadRule
from tests.fakes.clock import FakeClock
from tests.fakes.issuer import CONFIGURATION, Issuer

AUDIENCE = "https://qsec.example.org"
SUBJECT = "repo:lab/quantum:ref:refs/heads/main"
MEMBERS = Membership([MemberRule(service="ci", tenant="research", roles=frozenset({Role.SERVICE, Role.DEVELOPER}))])


class World:
    def __init__(self, issuer: Issuer) -> None:
        self.issuer = issuer
        self.clock = FakeClock()
        self.ticks = 1000.0
        rules = [WorkloadRule(issuer.url, AUDIENCE, "repo:lab/quantum:*", "ci")]
        self.identities = WorkloadIdentities(rules, MEMBERS, self.clock, monotonic=lambda: self.ticks)

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Of a good token, valid for ten minutes from now; `None` leaves one out."""
        now = int(self.clock.now().timestamp())
        good = {"iss": self.issuer.url, "sub": SUBJECT, "aud": AUDIENCE, "iat": now, "nbf": now, "exp": now + 600}
        return {name: value for name, value in {**good, **changes}.items() if value is not None}

    def token(self, key: str = "rsa", **changes: Any) -> str:
        return self.issuer.sign(self.claims(**changes), key)


@pytest.fixture
def world(jp_asyncio_loop: asyncio.AbstractEventLoop) -> Iterator[World]:
    with Issuer() as issuer:
        yield World(issuer)


@pytest.mark.parametrize("key", ["rsa", "ec", "ed"])
async def test_a_job_is_the_service_that_its_rule_names(world: World, key: str) -> None:
    found = await world.identities.identify(world.token(key))
    assert (found.principal.id, found.principal.kind) == ("service:ci", PrincipalKind.SERVICE)
    assert found.principal.claims == {"iss": world.issuer.url, "sub": SUBJECT}, "which job it was is on record"
    assert found.principal.within("research").roles == {Role.SERVICE, Role.DEVELOPER}
    assert (found.tenant, found.may_write) == ("research", True)


async def test_keys_are_read_once_an_hour(world: World) -> None:
    for _ in range(3):
        await world.identities.identify(world.token())
    assert world.issuer.asked == [CONFIGURATION, "/keys"]
    world.ticks += 3601
    await world.identities.identify(world.token())
    assert len(world.issuer.asked) == 4


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"aud": "https://elsewhere"}, "No workload of tenants.toml"),
        ({"aud": [["https://qsec.example.org"]]}, "No workload of tenants.toml"),
        ({"sub": "repo:mallory/quantum:ref:refs/heads/main"}, "No workload of tenants.toml"),
    ],
)
async def test_a_job_that_no_rule_means_is_refused(world: World, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(DeniedError, match=words):
        await world.identities.identify(world.token(**changes))


async def test_whose_job_it_was_must_fit_on_record(world: World) -> None:
    with pytest.raises(UnauthenticatedError, match="more than 256 characters"):
        await world.identities.identify(world.token(sub=SUBJECT + "x" * 256))


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"])
@pytest.mark.parametrize("names_it", [True, False])
async def test_a_key_signs_with_what_it_is_published_for(world: World, algorithm: str, names_it: bool) -> None:
    key = world.issuer.public("rsa")
    world.issuer.publish(more=({**key, "alg": "RS256"} if names_it else {n: v for n, v in key.items() if n != "alg"},))
    token = jwt.encode(world.claims(), world.issuer.keys["rsa"], algorithm, headers={"kid": "rsa"})
    if not names_it or algorithm == "RS256":
        assert (await world.identities.identify(token)).tenant == "research"
    else:
        with pytest.raises(UnauthenticatedError):
            await world.identities.identify(token)


async def test_a_short_key_is_none(world: World) -> None:
    world.issuer.keys["rsa"] = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    world.issuer.publish("rsa")
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        token = world.token()
    with pytest.raises(UnauthenticatedError, match="less than 2048 bits"):
        await world.identities.identify(token)


async def test_strangers_at_a_slow_issuer_keep_nobody_waiting(world: World) -> None:
    await world.identities.identify(world.token())
    world.ticks += 61
    answered = threading.Event()
    keys = world.issuer.answers["/keys"][1]
    world.issuer.answers["/keys"] = (200, lambda query: answered.wait(10) and keys)
    stranger = asyncio.ensure_future(world.identities.identify(world.issuer.sign(world.claims(), kid="unknown")))
    while len(world.issuer.asked) < 4:  # noqa: ASYNC110 - the issuer is another thread's
        await asyncio.sleep(0.001)
    assert (await world.identities.identify(world.token())).tenant == "research"
    assert not stranger.done()
    answered.set()
    with pytest.raises(UnauthenticatedError, match="does not publish"):
        await stranger


@pytest.mark.parametrize("missing", ["iss", "sub", "aud", "exp", "iat"])
async def test_a_claim_that_is_missing_is_never_assumed(world: World, missing: str) -> None:
    without: dict[str, Any] = {missing: None}
    with pytest.raises(UnauthenticatedError):
        await world.identities.identify(world.token(**without))


async def test_the_times_of_a_token_are_those_of_the_gateways_clock(world: World) -> None:
    token = world.token()
    world.clock.advance(seconds=600 + 29)
    assert (await world.identities.identify(token)).tenant == "research"
    world.clock.advance(seconds=1)
    with pytest.raises(UnauthenticatedError, match="has expired"):
        await world.identities.identify(token)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"iat": 31, "exp": 600}, "not good yet"),
        ({"nbf": 31}, "not good yet"),
        ({"exp": MAX_LIFE + 1}, "more than a day"),
        ({"exp": float("nan")}, "not a number"),
        ({"exp": float("inf")}, "not a number"),
        ({"exp": True}, "not a number"),
        ({"exp": "600"}, "not a number"),
        ({"nbf": [0]}, "not a number"),
    ],
)
async def test_times_that_make_no_sense_are_refused(world: World, changes: dict[str, Any], words: str) -> None:
    now = int(world.clock.now().timestamp())
    given: dict[str, Any] = {name: now + value if type(value) is int else value for name, value in changes.items()}
    with pytest.raises(UnauthenticatedError, match=words):
        await world.identities.identify(world.token(**given))


def forged(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    return ".".join(map(encoded, (json.dumps(header).encode(), json.dumps(claims).encode(), signature)))


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def attacks(world: World) -> dict[str, str]:
    good, claims = world.token(), world.claims()
    head, body, signature = good.split(".")
    published = world.issuer.keys["rsa"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with Issuer() as other:
        theirs = other.sign(claims, "ec")
        own = {"jwk": other.public("ec"), "jku": f"{other.url}/keys", "x5u": f"{other.url}/keys"}
        with_own_key = jwt.encode(claims, other.keys["ec"], "ES256", headers={"kid": "ec", **own})
    better = encoded(json.dumps({**claims, "sub": "repo:lab/quantum:x"}).encode())
    return {
        "no signature": f"{head}.{body}.",
        "alg none": forged({"alg": "none", "kid": "rsa"}, claims),
        "alg None": forged({"alg": "None", "kid": "rsa"}, claims, b"x"),
        "alg of another kind": forged({"alg": "ES256", "kid": "rsa"}, claims, b"x" * 64),
        "another body": f"{head}.{better}.{signature}",
        "another signature": f"{head}.{body}.{signature[:-4]}AAAA",
        "another issuer's key": theirs,
        "a key of its own": with_own_key,
        "an unknown key": world.issuer.sign(claims, kid="unknown"),
        "no key": jwt.encode(claims, world.issuer.keys["rsa"], "RS256"),
        "a critical extension": world.issuer.sign(claims, crit=["b64"], b64=False),
        "a long one": world.issuer.sign({**claims, "x": "x" * MAX_TOKEN}),
        "not JSON": "eyJ.eyJ.eyJ",
        "deep": f"eyJ{encoded(b'[' * 3000)}.{body}.{signature}",
        "an issuer that nobody named": world.issuer.sign({**claims, "iss": "https://elsewhere"}),
        "an issuer that is no text": forged({"alg": "RS256", "kid": "rsa"}, {**claims, "iss": ["x"]}, b"x"),
        "a shared secret": _hmac(claims, published),
    }


def _hmac(claims: dict[str, Any], key: bytes) -> str:
    """HS256 with the published key as its secret, which libraries refuse to make: so by hand."""
    unsigned = forged({"alg": "HS256", "kid": "rsa"}, claims).rpartition(".")[0]
    return f"{unsigned}.{encoded(hmac.digest(key, unsigned.encode(), 'sha256'))}"


async def test_no_forged_token_gets_in_and_none_is_repeated_in_an_error(world: World) -> None:
    assert (await world.identities.identify(world.token())).tenant == "research"
    for name, token in attacks(world).items():
        with pytest.raises(UnauthenticatedError) as refused:
            await world.identities.identify(token)
        assert not any(part and part in str(refused.value) for part in token.split(".")[1:]), name


async def test_keys_that_cannot_verify_are_left_out(world: World) -> None:
    secret = {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMw", "kid": "oct", "use": "sig"}
    encryption = {**world.issuer.public("ec"), "kid": "enc", "use": "enc"}
    unreadable = {**world.issuer.public("ec"), "kid": "alg", "alg": ["ES256"]}
    nonsense = ({"kid": "x", "kty": "QUANTUM"}, {"kty": "RSA"}, {"kid": "y", "kty": ["RSA"]}, {"kid": "z", "kty": {}})
    world.issuer.publish("rsa", more=(secret, encryption, unreadable, *nonsense))
    found = await world.identities.identify(world.token())
    assert found.tenant == "research", "the issuer's good keys are taken all the same"
    for token in (
        jwt.encode(world.claims(), "secret-secret-secret-secret-1234", "HS256", headers={"kid": "oct"}),
        world.issuer.sign(world.claims(), "ec", kid="enc"),
        world.issuer.sign(world.claims(), "ec", kid="alg"),
    ):
        with pytest.raises(UnauthenticatedError):
            await world.identities.identify(token)


async def test_a_new_key_is_found_and_unknown_ones_make_nobody_ask_again_and_again(world: World) -> None:
    world.issuer.publish("rsa")
    await world.identities.identify(world.token())
    world.issuer.publish("rsa", "ec")
    for _ in range(5):
        with pytest.raises(UnauthenticatedError, match="does not publish"):
            await world.identities.identify(world.token("ec"))
    assert len(world.issuer.asked) == 2
    world.ticks += 61
    assert (await world.identities.identify(world.token("ec"))).tenant == "research"


BAD: dict[str, dict[str, tuple[int, Any]]] = {
    "down": {CONFIGURATION: (503, {})},
    "another issuer": {CONFIGURATION: (200, {"issuer": "https://elsewhere", "jwks_uri": "http://127.0.0.1:9/keys"})},
    "keys in plain text": {CONFIGURATION: (200, {"issuer": "ITSELF", "jwks_uri": "http://example.org/keys"})},
    "keys nowhere": {CONFIGURATION: (200, {"issuer": "ITSELF"})},
    "keys at no address": {CONFIGURATION: (200, {"issuer": "ITSELF", "jwks_uri": "https://["})},
    "no JSON": {CONFIGURATION: (200, b"<html>")},
    "no object": {CONFIGURATION: (200, [1])},
    "deep": {CONFIGURATION: (200, b"[" * 100_000)},
    "led away": {CONFIGURATION: (302, {})},
    "endless": {"/keys": (200, b"{" + b" " * (2 << 20) + b"}")},
    "no keys": {"/keys": (404, {})},
}


@pytest.mark.parametrize("bad", list(BAD))
async def test_an_issuer_that_makes_no_sense_lets_nobody_in_and_is_not_asked_by_everybody(
    world: World, bad: str
) -> None:
    good = dict(world.issuer.answers)
    for path, (status, body) in BAD[bad].items():
        itself = isinstance(body, dict) and body.get("issuer") == "ITSELF"
        world.issuer.answers[path] = (status, {**body, "issuer": world.issuer.url} if itself else body)
    with pytest.raises(UnavailableError):
        await world.identities.identify(world.token())
    asked = len(world.issuer.asked)
    with pytest.raises(UnavailableError, match="a moment ago"):
        await world.identities.identify(world.token())
    assert len(world.issuer.asked) == asked
    world.issuer.answers = good
    world.ticks += 6
    assert (await world.identities.identify(world.token())).tenant == "research"


async def test_a_service_without_a_tenant_is_refused(world: World) -> None:
    rules = [WorkloadRule(world.issuer.url, AUDIENCE, SUBJECT, "ci")]
    lonely = WorkloadIdentities(rules, Membership([]), world.clock)
    with pytest.raises(DeniedError, match="No tenant is mapped to the service ci"):
        await lonely.identify(world.token())


async def test_what_has_another_form_is_for_the_hub(world: World) -> None:
    class Hub:
        async def identify(self, token: str) -> Any:
            raise UnavailableError(f"the hub was asked for {token}")

    both = identities_of(Hub(), world.identities)
    assert both is not None
    assert (await both.identify(world.token())).principal.id == "service:ci"
    with pytest.raises(UnavailableError, match="asked for a-hub-token"):
        await both.identify("a-hub-token")
    alone = identities_of(None, world.identities)
    assert alone is not None
    with pytest.raises(UnauthenticatedError, match="is not known"):
        await alone.identify("a-hub-token")
    assert identities_of(None, None) is None
    assert not is_workload_token("qsec-lease.a.b")

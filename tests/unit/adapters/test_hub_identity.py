"""What the gateway makes of a hub's answers, good and bad; `tests/hub` asks a real one."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_qsec.adapters.identity.hubaddress import HubAddress
from jupyter_qsec.adapters.identity.jupyterhub import CACHE_SECONDS, HubIdentities
from jupyter_qsec.domain.errors import DeniedError, InvalidRequestError, UnauthenticatedError, UnavailableError
from jupyter_qsec.domain.membership import MemberRule, Membership
from tests.fakes.scripted_hub import ScriptedHub, scripted_hub
from tests.fakes.tls_server import BAD, certificates_of_one_authority, serving

SERVICE_TOKEN = "the-gateways-own"
ADA = {"name": "ada", "kind": "user", "scopes": ["custom:qsec:write!user=ada"], "groups": []}
RULES = Membership([MemberRule(group="physics", tenant="research"), MemberRule(service="ci", tenant="research")])


class Ticks:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def hub(jp_asyncio_loop: asyncio.AbstractEventLoop) -> Iterator[ScriptedHub]:
    with scripted_hub(jp_asyncio_loop) as hub:
        hub.answers["/hub/api/user"] = (200, ADA)
        hub.answers["/hub/api/users/ada"] = (200, {"groups": ["physics"], "auth_state": None})
        yield hub


def identities(hub: ScriptedHub, ticks: Ticks | None = None, **claims: str) -> HubIdentities:
    return HubIdentities(HubAddress(hub.url, SERVICE_TOKEN), RULES, claims, monotonic=ticks or Ticks())


async def test_the_askers_token_proves_who_asks_and_the_gateways_own_reads_the_groups(hub: ScriptedHub) -> None:
    found = await identities(hub).identify("adas")
    assert (found.principal.id, found.tenant, found.may_write) == ("hub:ada", "research", True)
    assert hub.asked == [("/hub/api/user", "token adas"), ("/hub/api/users/ada", f"token {SERVICE_TOKEN}")]


async def test_an_empty_token_is_not_taken_for_the_gateways_own(hub: ScriptedHub) -> None:
    await identities(hub).identify("")
    assert SERVICE_TOKEN not in hub.asked[0][1]


async def test_an_answer_is_kept_for_two_seconds_and_no_longer(hub: ScriptedHub) -> None:
    ticks = Ticks()
    asking = identities(hub, ticks)
    await asking.identify("adas")
    ticks.now += CACHE_SECONDS - 0.01
    await asking.identify("adas")
    assert len(hub.asked) == 2
    ticks.now += 0.01
    hub.answers["/hub/api/user"] = (403, {})
    with pytest.raises(UnauthenticatedError):
        await asking.identify("adas")


async def test_no_setting_makes_it_longer(hub: ScriptedHub) -> None:
    ticks = Ticks()
    asking = HubIdentities(HubAddress(hub.url, SERVICE_TOKEN), RULES, {}, cache_seconds=300, monotonic=ticks)
    await asking.identify("adas")
    ticks.now += CACHE_SECONDS
    await asking.identify("adas")
    assert len(hub.asked) == 4


async def test_askers_of_one_moment_share_one_question_and_one_who_gives_up_ends_it_for_nobody(
    hub: ScriptedHub,
) -> None:
    asking = identities(hub)
    hub.released.clear()
    waiting = [asyncio.ensure_future(asking.identify("adas")) for _ in range(20)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    hub.released.set()
    found = await asyncio.gather(*waiting[1:])
    assert {identity.principal.id for identity in found} == {"hub:ada"}
    assert len(hub.asked) == 2


@pytest.mark.parametrize(
    ("state", "claims"),
    [
        ({"oidc": {"mfa": True}, "level": 3}, {"mfa": "true", "level": "3"}),
        ({"oidc": {"mfa": False}}, {"mfa": "false"}),
        ({"oidc": {"mfa": ["a"]}, "level": "x" * 257}, {}),
        ({"oidc": "mfa"}, {}),
        ({"amr": ["pwd", "mfa"]}, {"second": "true"}),
        ({"amr": "mfa"}, {"second": "true"}),
        ({"amr": ["pwd"]}, {"second": "false"}),
        ({"amr": [["mfa"], {"mfa": 1}]}, {"second": "false"}),
        ({"amr": {"mfa": True}}, {}),
        (None, {}),
        ([1], {}),
    ],
)
async def test_claims_are_what_auth_state_says_where_the_administrator_looks_and_nothing_else(
    hub: ScriptedHub, state: Any, claims: dict[str, str]
) -> None:
    hub.answers["/hub/api/users/ada"] = (200, {"groups": ["physics"], "auth_state": state})
    found = await identities(hub, mfa="oidc.mfa", level="level", second="amr=mfa").identify("adas")
    assert found.principal.claims == claims


@pytest.mark.parametrize(
    "scopes",
    [
        None,
        [],
        ["self"],
        ["custom:qsec:write!server=ada/"],
        ["custom:qsec:write!user=bob"],
        ["custom:qsec:writes"],
        [["custom:qsec:write"]],
        "custom:qsec:write",
    ],
)
async def test_a_token_without_our_scope_may_nothing(hub: ScriptedHub, scopes: Any) -> None:
    hub.answers["/hub/api/user"] = (200, {**ADA, "scopes": scopes})
    with pytest.raises(DeniedError) as caught:
        await identities(hub).identify("adas")
    assert caught.value.reasons == ("hub-scope",)


@pytest.mark.parametrize("scope", ["custom:qsec:read", "custom:qsec:read!user=ada"])
async def test_the_reading_scope_does_not_write(hub: ScriptedHub, scope: str) -> None:
    hub.answers["/hub/api/user"] = (200, {**ADA, "scopes": [scope]})
    assert not (await identities(hub).identify("adas")).may_write


@pytest.mark.parametrize(
    "answer",
    [
        (500, {}),
        (302, {}),
        (200, b"no json"),
        (200, b"[" * 100_000),
        (200, b'{"name": "' + b"x" * (2 << 20) + b'"}'),
        (200, []),
        (200, {**ADA, "name": ""}),
        (200, {**ADA, "name": 3}),
        (200, {**ADA, "kind": "group"}),
    ],
)
async def test_an_answer_that_makes_no_sense_lets_nobody_in(hub: ScriptedHub, answer: tuple[int, Any]) -> None:
    hub.answers["/hub/api/user"] = answer
    with pytest.raises(UnavailableError) as caught:
        await identities(hub).identify("adas")
    assert "adas" not in str(caught.value)
    assert ("/hub/api/elsewhere", "token adas") not in hub.asked  # a redirect would carry the token away


@pytest.mark.parametrize("groups", [None, "physics", [["physics"]]])
async def test_groups_that_are_not_told_are_not_taken_for_none(hub: ScriptedHub, groups: Any) -> None:
    hub.answers["/hub/api/users/ada"] = (200, {"groups": groups})
    with pytest.raises(UnavailableError, match="does not tell the gateway the groups"):
        await identities(hub).identify("adas")


async def test_a_name_cannot_lead_to_anothers_groups(hub: ScriptedHub) -> None:
    hub.answers["/hub/api/user"] = (200, {**ADA, "name": "../users/ada?x=", "scopes": ["custom:qsec:write"]})
    with pytest.raises(UnauthenticatedError):
        await identities(hub).identify("adas")
    assert hub.asked[-1][0] == "/hub/api/users/..%2Fusers%2Fada%3Fx%3D"


async def test_a_hub_that_is_not_there_lets_nobody_in(hub: ScriptedHub) -> None:
    await hub.close()
    with pytest.raises(UnavailableError, match="cannot be reached"):
        await identities(hub).identify("adas")


@pytest.mark.parametrize("kind", BAD)
async def test_a_hub_with_a_bad_certificate_is_told_no_token(tmp_path: Path, kind: str) -> None:
    made = certificates_of_one_authority(tmp_path)
    trust = ssl.create_default_context(cafile=made / "good" / "ca.pem")
    with serving(made / kind, {"name": "ada", "kind": "user"}) as server:
        asking = HubIdentities(HubAddress(f"{server.url}/hub/api", SERVICE_TOKEN, trust), RULES, {})
        with pytest.raises(UnavailableError) as refused:
            await asking.identify("adas")
    assert refused.value.message == f"The hub cannot be reached ({BAD[kind]}), so nobody can be identified."
    assert server.refused and server.was_told == []


@pytest.mark.parametrize(
    "url", ["", "hub", "ftp://127.0.0.1/", "http://10.0.0.1:8081/hub/api", "http://hub:8081/hub/api", "http:///x"]
)
def test_tokens_travel_in_the_clear_on_this_machine_only(url: str) -> None:
    with pytest.raises(InvalidRequestError):
        HubAddress(url, SERVICE_TOKEN)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8081/hub/api", "http://[::1]:8081/", "https://hub.example/hub/api"])
def test_an_address_shows_its_token_to_nobody(url: str) -> None:
    assert SERVICE_TOKEN not in repr(HubAddress(url, SERVICE_TOKEN))

"""Whom a hub still knows: what the gateway makes of its answers, good and bad; `tests/hub` asks a real one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from jupyter_qsec.adapters.identity.hubaddress import HubAddress
from jupyter_qsec.adapters.identity.hubroster import MOST_ASKED, HubRoster
from jupyter_qsec.application.ports import Departed
from jupyter_qsec.domain.lease import Holder
from tests.fakes.scripted_hub import NOT_FOUND, ScriptedHub, scripted_hub

USERS = "/hub/api/users"
SCOPES = ["list:users", "read:users:name", "read:services:name"]
OWN = {"kind": "service", "name": "qsec", "scopes": SCOPES}
NOBODY_ACTIVE = {"items": [], "_pagination": {"next": None}}


@pytest.fixture
def hub(jp_asyncio_loop: asyncio.AbstractEventLoop) -> Iterator[ScriptedHub]:
    with scripted_hub(jp_asyncio_loop) as hub:
        hub.answers["/hub/api/user"] = (200, OWN)
        hub.answers[USERS] = (200, NOBODY_ACTIVE)
        hub.answers[f"{USERS}/ada"] = (200, {"name": "ada"})
        hub.answers["/hub/api/services/ci"] = (200, {"name": "ci"})
        yield hub


async def departed(hub: ScriptedHub, *principals: str) -> Departed:
    return await HubRoster(HubAddress(hub.url, "own")).departed([Holder(principal) for principal in principals])


def names(found: Departed) -> list[str]:
    return [holder.principal for holder in found.gone]


def paths(hub: ScriptedHub) -> list[str]:
    return [path.removeprefix("/hub/api") for path, _ in hub.asked]


async def test_gone_is_whom_the_hub_denies_to_know(hub: ScriptedHub) -> None:
    found = await departed(hub, "hub:ada", "hub:bob", "service:ci", "service:old")
    assert (names(found), found.problem) == (["hub:bob", "service:old"], "")


async def test_accounts_of_this_machine_and_jobs_of_an_issuer_are_not_the_hubs(hub: ScriptedHub) -> None:
    roster = HubRoster(HubAddress(hub.url, "own"))
    job = Holder("service:nightly", {"iss": "https://issuer.example", "sub": "job"})
    assert await roster.departed([Holder("os:root"), job]) == Departed(())
    assert not hub.asked
    found = await roster.departed([Holder("service:nightly"), job])
    assert found.gone == [Holder("service:nightly")], "a service of the hub that is called as the job"


async def test_one_request_tells_of_all_who_have_a_server(hub: ScriptedHub) -> None:
    people = [f"p{number}" for number in range(150)]
    hub.answers[USERS] = (200, {"items": [{"name": name} for name in people], "_pagination": {"next": None}})
    found = await departed(hub, *(f"hub:{name}" for name in people))
    assert (names(found), paths(hub)) == ([], ["/users"])


async def test_people_with_many_groups_are_read_too(hub: ScriptedHub) -> None:
    groups = [f"department-{number:03}-of-a-large-organisation" for number in range(130)]
    items = [{"name": f"p{number}", "groups": groups} for number in range(200)]
    hub.answers[USERS] = (200, {"items": items, "_pagination": {"next": None}})
    found = await departed(hub, *(f"hub:p{number}" for number in range(200)), "hub:bob")
    assert (names(found), found.problem) == (["hub:bob"], "")


@pytest.mark.parametrize("answer", [(500, {}), (200, b"nonsense"), (200, b"x" * (9 << 20))])
async def test_without_the_list_people_are_asked_for_by_name(hub: ScriptedHub, answer: tuple[int, Any]) -> None:
    hub.answers[USERS] = answer
    found = await departed(hub, "hub:ada", "hub:bob", "service:old")
    assert names(found) == ["hub:bob", "service:old"]
    assert found.problem.startswith("The list of people with a server cannot be read: ")


async def test_a_long_list_is_read_page_by_page_until_all_are_found(hub: ScriptedHub) -> None:
    for offset in (0, 50, 100):
        items = [{"name": f"p{offset + number}"} for number in range(50)]
        answer = {"items": items, "_pagination": {"next": {"offset": offset + 50}}}
        hub.answers[f"{USERS}?state=active&limit=200&offset={offset}"] = (200, answer)
    found = await departed(hub, "hub:p3", "hub:p60")
    assert (names(found), paths(hub)) == ([], ["/users", "/users"])


async def test_a_list_without_end_is_left(hub: ScriptedHub) -> None:
    hub.answers[USERS] = (200, {"items": [], "_pagination": {"next": {"offset": 50}}})
    assert names(await departed(hub, "hub:ada", "hub:bob")) == ["hub:bob"]
    assert paths(hub).count("/users") == 2


async def test_many_are_asked_for_in_turns(hub: ScriptedHub) -> None:
    roster = HubRoster(HubAddress(hub.url, "own"))
    everybody = [Holder(f"hub:p{number}") for number in range(MOST_ASKED * 2 + 10)]
    gone: set[str] = set()
    for _ in range(3):
        hub.asked.clear()
        gone |= set(names(await roster.departed(everybody)))
        assert len(hub.asked) <= MOST_ASKED + 2
    assert len(gone) == len(everybody)


async def test_without_the_scope_for_the_list_everybody_is_asked_for_by_name(hub: ScriptedHub) -> None:
    roster = HubRoster(HubAddress(hub.url, "own"))
    everybody = [Holder("hub:ada"), Holder("hub:bob")]
    hub.answers[USERS] = (403, {"status": 403})
    hub.answers["/hub/api/user"] = (200, {**OWN, "scopes": SCOPES[1:]})
    for listed in (1, 0):  # the hub complains in its log of who asks for what they may not see
        hub.asked.clear()
        assert names(await roster.departed(everybody)) == ["hub:bob"]
        assert paths(hub).count("/users") == listed
    hub.answers["/hub/api/user"] = (200, OWN)
    await roster.departed(everybody)
    hub.answers[USERS] = (200, {"items": [{"name": "ada"}, {"name": "bob"}]})
    hub.asked.clear()
    assert names(await roster.departed(everybody)) == []
    assert paths(hub) == ["/users"]


async def test_services_alone_need_no_list_of_people(hub: ScriptedHub) -> None:
    assert names(await departed(hub, "service:old")) == ["service:old"]
    assert "/users" not in paths(hub)


async def test_a_name_cannot_lead_elsewhere(hub: ScriptedHub) -> None:
    await departed(hub, "hub:../services/ci?x=")
    assert paths(hub)[-1] == "/users/..%2Fservices%2Fci%3Fx%3D"


@pytest.mark.parametrize(
    "scopes", [[], ["read:users:name!group=physics", "list:users!group=physics"], [["read:users:name"]]]
)
async def test_who_may_not_see_everybody_takes_nobody_for_gone(hub: ScriptedHub, scopes: list[Any]) -> None:
    hub.answers["/hub/api/user"] = (200, {**OWN, "scopes": scopes})
    found = await departed(hub, "hub:bob")
    assert found == Departed([], "The gateway's service lacks the scope read:users:name at the hub.")


async def test_people_are_looked_for_where_services_may_not_be_seen(hub: ScriptedHub) -> None:
    hub.answers["/hub/api/user"] = (200, {**OWN, "scopes": SCOPES[:2]})
    found = await departed(hub, "hub:bob", "service:old")
    assert names(found) == ["hub:bob"]
    assert found.problem == "The gateway's service lacks the scope read:services:name at the hub."


@pytest.mark.parametrize(
    "answer",
    [
        NOT_FOUND,
        (403, {"status": 403}),
        (500, {}),
        (302, {}),
        (200, b"<html>"),
        (200, []),
        (200, {}),
        (200, {"scopes": "read:users:name"}),
    ],
)
async def test_a_hub_that_does_not_know_the_gateway_ends_nobodys_lease(
    hub: ScriptedHub, answer: tuple[int, Any]
) -> None:
    hub.answers["/hub/api/user"] = answer
    found = await departed(hub, "hub:bob")
    assert not found.gone and found.problem


@pytest.mark.parametrize(
    "answer",
    [
        (404, b"404 page not found"),
        (404, {}),
        (401, {"status": 401}),
        (403, {"status": 403}),
        (500, {"status": 404}),
        (302, {}),
        (200, b""),
        (200, {}),
    ],
)
async def test_nonsense_about_one_is_not_taken_for_their_end_and_keeps_nobody_else(
    hub: ScriptedHub, answer: tuple[int, Any]
) -> None:
    hub.answers[f"{USERS}/eve"] = answer
    assert names(await departed(hub, "hub:bob", "hub:eve")) == ["hub:bob"]


@pytest.mark.parametrize(
    "answer", [(403, {}), (200, {}), (200, {"items": [[], {}, {"name": ["bob"]}], "_pagination": []})]
)
async def test_a_list_that_makes_no_sense_tells_of_nobody(hub: ScriptedHub, answer: tuple[int, Any]) -> None:
    hub.answers[USERS] = answer
    assert names(await departed(hub, "hub:ada", "hub:bob")) == ["hub:bob"]


async def test_a_hub_that_is_not_there_ends_nobodys_lease(hub: ScriptedHub) -> None:
    await hub.close()
    found = await departed(hub, "hub:bob")
    assert not found.gone and found.problem.startswith("The hub cannot be reached")

"""A refusal for want of a claim says which one: it is named when the answer would have been another one with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import cedarpy
import pytest

from jupyter_qsec.adapters.policy import CedarPolicy, PolicySource, shipped_policies
from jupyter_qsec.domain.access import AccessRequest, Action, Deny, Permit
from jupyter_qsec.domain.errors import DeniedError
from jupyter_qsec.domain.principal import Principal
from tests.fakes.world import ADA, World

SUBMIT = '@id("permit-submit") permit (principal, action == Qsec::Action::"task:create", resource);\n'
WHERE = "Administrators find in docs/hub.md where claims come from."


def question(claims: Mapping[str, str], action: Action = Action.TASK_CREATE, *, of: str = "os") -> AccessRequest:
    principal = Principal(f"{of}:ada", "ada", claims=claims)
    return AccessRequest(principal, action, "alpha", "first", "alpha", {"device_kind": "simulator"})


def outside(condition: str) -> str:
    return f'@id("forbid-outside") forbid (principal, action, resource) unless {{ {condition} }};\n'


def rule(effect: str, condition: str) -> str:
    return f'@id("{effect}-when") {effect} (principal, action, resource) when {{ {condition} }};\n'


def has(*claims: str, joined: str = "||") -> str:
    return f" {joined} ".join(f'principal.claims.contains("{claim}")' for claim in claims)


@pytest.mark.parametrize(
    ("condition", "claims", "words"),
    [
        (has("zone=lab"), {}, "looks for zone: zone is missing."),
        (has("zone=lab"), {"zone": "office"}, "looks for zone: zone is office."),
        (has("zone=lab", "posture=ok", joined="&&"), {"zone": "lab"}, "looks for posture: posture is missing."),
        (
            has("zone=lab", "posture=ok", joined="&&"),
            {"zone": "x" * 100},
            f"looks for posture and zone: posture is missing, zone is {'x' * 60}.",
        ),
        (has("zone=lab", "zone=vpn"), {}, "looks for zone: zone is missing."),
        (
            'principal.claims.containsAny(["zone=lab", "badge=blue"])',
            {},
            "looks for badge or zone: badge is missing, zone is missing.",
        ),
        (
            'principal.claims.containsAll(["zone=lab", "badge=blue"])',
            {"mfa": "true"},
            "looks for badge and zone: badge is missing, zone is missing.",
        ),
        (
            f"principal.mfa && ({has('zone=lab')}) && !({has('loaned=true')})",
            {"mfa": "true"},
            "looks for zone: zone is missing.",
        ),
        (
            f"principal.mfa && ({has('zone=lab')})",
            {"mfa": "false"},
            "looks for mfa and zone: mfa is false, zone is missing.",
        ),
    ],
)
def test_a_refusal_names_the_claim_that_was_looked_for(condition: str, claims: dict[str, str], words: str) -> None:
    policy = CedarPolicy([PolicySource("x.cedar", SUBMIT + outside(condition))])
    denied = policy.decide(question(claims, of="hub"))
    assert isinstance(denied, Deny)
    assert denied.message == f"task:create is refused by forbid-outside. forbid-outside {words} {WHERE}"
    assert denied.reasons == ("forbid-outside", "claim-required")


def test_so_does_one_for_want_of_a_policy_that_allows() -> None:
    text = SUBMIT.replace(";", f" when {{ {has('zone=lab')} }};")
    policy = CedarPolicy([PolicySource("x.cedar", text)])
    denied = policy.decide(question({}))
    assert isinstance(denied, Deny)
    assert denied.message == (
        "No policy allows os:ada (no role) task:create. permit-submit looks for zone: zone is missing. " + WHERE
    )
    assert denied.reasons == ("no-policy-allows", "claim-required")
    other = policy.decide(question({}, Action.TASK_READ))
    assert isinstance(other, Deny) and other.reasons == ("no-policy-allows",), "it is about submissions"


@pytest.mark.parametrize(
    "text",
    [
        SUBMIT + rule("forbid", has("loaned=true")),  # it is there, and is what keeps them out
        SUBMIT + rule("forbid", f'{has("late=true")} || principal.kind == "person"'),
        rule("permit", f'principal.roles.contains("auditor") && ({has("zone=lab")})'),  # a role is missing as well
        SUBMIT + outside(has("lab")),  # nobody can have such a claim
        SUBMIT + outside("principal.claims.contains(principal.kind)"),
    ],
)
def test_no_claim_is_named_that_would_not_help(text: str) -> None:
    denied = CedarPolicy([PolicySource("x.cedar", text)]).decide(question({"loaned": "true"}))
    assert isinstance(denied, Deny)
    assert "looks for" not in denied.message and "claim-required" not in denied.reasons


def test_each_policy_that_refuses_says_what_it_looked_for() -> None:
    text = SUBMIT + "".join(
        f'@id("forbid-{name}") forbid (principal, action, resource) unless {{ {has(f"{name}=ok")} }};\n'
        for name in ("device", "network")
    )
    denied = CedarPolicy([PolicySource("x.cedar", text)]).decide(question({}))
    assert isinstance(denied, Deny)
    assert "forbid-device looks for device: device is missing. forbid-network looks for network:" in denied.message


def test_the_claim_that_is_named_opens_the_door() -> None:
    policy = CedarPolicy([PolicySource("x.cedar", SUBMIT + outside(has("zone=lab", "zone=vpn")))])
    for zone in ("lab", "vpn"):
        assert isinstance(policy.decide(question({"zone": zone})), Permit)


def test_to_find_it_out_takes_few_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [f"{letter}=1" for letter in "abcdefghijklmnop"]
    text = "".join(
        f'@id("permit-{number}") permit (principal, action, resource) when {{ {has(*many, joined="&&")} }};\n'
        for number in range(100)
    )
    policy = CedarPolicy([PolicySource("x.cedar", text)])
    asked: list[object] = []
    ask = cedarpy.is_authorized

    def counted(*question: Any) -> Any:
        asked.append(1)
        return ask(*question)

    monkeypatch.setattr(cedarpy, "is_authorized", counted)
    assert isinstance(policy.decide(question({})), Deny)
    assert len(asked) <= 102


async def test_who_submits_is_told_and_so_is_the_log() -> None:
    shipped = "".join(source.text for source in shipped_policies())
    text = shipped + outside('action != Qsec::Action::"task:create" || ' + has("zone=lab"))
    world = await World(policy=CedarPolicy([PolicySource("x.cedar", text)])).started()
    caller = await world.caller()
    with pytest.raises(DeniedError, match="forbid-outside looks for zone: zone is missing"):
        await world.submit(caller)
    refused = world.store.events[-1]
    assert (refused.kind, refused.rules) == ("task.refused", ("forbid-outside", "claim-required"))
    assert "looks for zone: zone is missing" in str(refused.details["detail"])
    lab = replace(ADA, claims={"zone": "lab"})
    assert (await world.submit(await world.caller(principal=lab))).tenant == "alpha"
    await world.kill()

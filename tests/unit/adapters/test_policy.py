"""The shipped policies as a table, and an engine that denies whenever anything is not right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jupyter_qsec.adapters.policy import CedarPolicy, PolicySource, policies_in, shipped_policies
from jupyter_qsec.adapters.policy.sources import shipped_schema
from jupyter_qsec.domain.access import AccessRequest, Action, Deny, Permit
from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.domain.principal import PRIVILEGED, Principal, PrincipalKind, Role
from jupyter_qsec.domain.tenant import DeviceKind, Environment, Purpose

POLICY = CedarPolicy()
READS = {Action.DEVICE_READ, Action.TASK_READ, Action.QUOTA_READ, Action.ESTIMATE_READ}
REPORTS = {Action.FINDING_REPORT, Action.SESSION_REPORT}
OBJECTS = {Action.RESULT_READ, Action.OBJECT_WRITE}
WORK = READS | OBJECTS | REPORTS | {Action.TASK_CREATE, Action.TASK_CANCEL, Action.TASK_TAG}
KEYS = {Action.KEY_READ, Action.KEY_ROTATE}
OWN_LEASE = {Action.LEASE_READ, Action.LEASE_RENEW, Action.LEASE_REVOKE}

TABLE: dict[Role, set[Action]] = {
    Role.VIEWER: READS,
    Role.CIRCUIT_AUTHOR: READS | OBJECTS | REPORTS,
    Role.DEVELOPER: WORK | {Action.FINDING_READ, Action.LEASE_ISSUE} | OWN_LEASE,
    Role.BENCHMARK_OPERATOR: WORK | {Action.LEASE_ISSUE} | OWN_LEASE,
    Role.BACKEND_OPERATOR: READS | {Action.TASK_CANCEL},
    Role.WORKSPACE_ADMIN: READS
    | REPORTS
    | OWN_LEASE
    | KEYS
    | {Action.TASK_CANCEL, Action.TASK_TAG, Action.FINDING_READ, Action.METRICS_READ, Action.TENANT_PAUSE},
    Role.APPROVER: READS,
    Role.INCIDENT_RESPONDER: {
        Action.DEVICE_READ,
        Action.TASK_READ,
        Action.TASK_CANCEL,
        Action.LEASE_READ,
        Action.LEASE_REVOKE,
        Action.FINDING_READ,
        Action.AUDIT_READ,
        Action.TENANT_PAUSE,
        *KEYS,
    },
    Role.BILLING: READS,
    Role.AUDITOR: {
        Action.DEVICE_READ,
        Action.TASK_READ,
        Action.LEASE_READ,
        Action.QUOTA_READ,
        Action.FINDING_READ,
        Action.AUDIT_READ,
        Action.METRICS_READ,
        Action.KEY_READ,
    },
    Role.SERVICE: WORK | OWN_LEASE,
}
NOT_OWNER = {Role.DEVELOPER, Role.BENCHMARK_OPERATOR, Role.SERVICE}
"""Roles that reach leases only when they are their own."""


def question(*roles: Role, action: Action = Action.TASK_CREATE, **changes: Any) -> AccessRequest:
    request = AccessRequest(
        Principal("os:ada", "ada", roles=frozenset(roles)),
        action,
        "alpha",
        "first",
        "alpha",
        {"device_kind": "simulator", "shots": 100, "qubits": 2, "owner": True},
    )
    return replace(request, **changes)


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("role", Role)
def test_each_role_may_do_exactly_what_the_table_says(role: Role, action: Action) -> None:
    decision = POLICY.decide(question(role, action=action))
    assert isinstance(decision, Permit if action in TABLE[role] else Deny), decision
    if isinstance(decision, Permit):
        assert decision.rules and all(rule.startswith("permit-") for rule in decision.rules)
    else:
        assert decision.reasons == ("no-policy-allows",)


def test_the_table_covers_every_role() -> None:
    assert set(TABLE) == set(Role)


def test_auditors_never_run_and_admins_and_billing_never_see_results() -> None:
    assert Action.TASK_CREATE not in TABLE[Role.AUDITOR]
    assert not OBJECTS & (TABLE[Role.WORKSPACE_ADMIN] | TABLE[Role.BILLING] | TABLE[Role.AUDITOR])


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("action", sorted(OWN_LEASE))
def test_developers_and_services_reach_their_own_leases_only(role: Role, action: Action) -> None:
    decision = POLICY.decide(question(role, action=action, context={"owner": False}))
    assert isinstance(decision, Permit if action in TABLE[role] and role not in NOT_OWNER else Deny)
    missing = POLICY.decide(question(role, action=action, context={}))
    assert type(missing) is type(decision)


@pytest.mark.parametrize("action", Action)
def test_nobody_reaches_another_tenant_not_even_with_every_role(action: Action) -> None:
    decision = POLICY.decide(question(*Role, action=action, resource_tenant="beta"))
    assert isinstance(decision, Deny)
    assert decision.reasons == ("forbid-cross-tenant",)


@pytest.mark.parametrize("context", [{"device_kind": "hardware"}, {}, {"device_kind": "SIMULATOR"}])
def test_hardware_and_unknown_devices_are_forbidden_by_default(context: dict[str, Any]) -> None:
    decision = POLICY.decide(question(*Role, context=context))
    assert isinstance(decision, Deny)
    assert decision.reasons == ("forbid-hardware-by-default",)


@pytest.mark.parametrize("device_kind", DeviceKind)
@pytest.mark.parametrize("environment", Environment)
@pytest.mark.parametrize("purpose", Purpose)
def test_every_lane_has_exactly_one_answer(purpose: Purpose, environment: Environment, device_kind: DeviceKind) -> None:
    facts = {"lane_purpose": str(purpose), "environment": str(environment), "device_kind": str(device_kind)}
    decision = POLICY.decide(question(Role.DEVELOPER, context=facts))
    assert isinstance(decision, Permit if device_kind is DeviceKind.SIMULATOR else Deny)


def test_a_task_without_tenant_or_project_cannot_be() -> None:
    without: list[dict[str, Any]] = [{"project": ""}, {"tenant": "", "resource_tenant": ""}]
    for changes in without:
        assert isinstance(POLICY.decide(question(Role.DEVELOPER, **changes)), Deny)


def test_no_role_means_nothing_and_the_message_says_who() -> None:
    decision = POLICY.decide(question())
    assert decision == Deny(("no-policy-allows",), "No policy allows os:ada (no role) task:create.")


# -- whatever is not right denies


@pytest.mark.parametrize(
    "context",
    [{"shots": "many"}, {"owner": "yes"}, {"misspelt": 1}, {"shots": 1 << 70}, {"device_kind": 3}],
)
def test_facts_of_the_wrong_kind_deny(context: dict[str, Any]) -> None:
    decision = POLICY.decide(question(*Role, context={"device_kind": "simulator", **context}))
    assert isinstance(decision, Deny)
    assert decision.reasons == ("policy-error",)


def test_a_forbid_that_fails_denies_instead_of_being_skipped() -> None:
    failing = PolicySource(
        "x.cedar",
        '@id("permit-all") permit (principal, action, resource);\n'
        '@id("forbid-overflow") forbid (principal, action, resource)\n'
        "when { context has shots && context.shots * 9223372036854775807 > 0 };",
    )
    decision = CedarPolicy([failing]).decide(question(Role.DEVELOPER))
    assert isinstance(decision, Deny)
    assert decision.reasons == ("policy-error",)
    assert isinstance(CedarPolicy([failing]).decide(question(Role.DEVELOPER, context={})), Permit)


@pytest.mark.parametrize("name", ['os:"ada"', "os:ada\n", "os:ada\\", 'x" || true || "'])
def test_names_cannot_be_read_as_policy_text(name: str) -> None:
    principal = Principal(name, name)
    assert isinstance(POLICY.decide(question(principal=principal)), Deny)
    allowed = Principal(name, name, PrincipalKind.PERSON, frozenset({Role.DEVELOPER}))
    assert isinstance(POLICY.decide(question(principal=allowed)), Permit)


# -- a second factor

WEAK = [{}, {"mfa": "false"}, {"mfa": "TRUE"}, {"mfa": "1"}, {"mfa=true": ""}, {"nomfa": "true"}]


def at_a_hub(*roles: Role, claims: dict[str, str], name: str = "hub:ada") -> Principal:
    return Principal(name, name, roles=frozenset(roles), claims=claims)


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("role", sorted(set(Role) - {Role.SERVICE}))
def test_roles_that_reach_beyond_ones_own_work_demand_a_second_factor_at_a_hub(role: Role, action: Action) -> None:
    strong = POLICY.decide(question(principal=at_a_hub(role, claims={"mfa": "true"}), action=action))
    assert isinstance(strong, Permit if action in TABLE[role] else Deny)
    for claims in WEAK:
        weak = POLICY.decide(question(principal=at_a_hub(role, claims=claims), action=action))
        if role in PRIVILEGED and isinstance(strong, Permit):
            assert isinstance(weak, Deny)
            assert weak.reasons == ("mfa-required",)
            assert weak.message.startswith(f"{action} needs a login with a second factor.")
        else:
            both_denied = isinstance(weak, Deny) and isinstance(strong, Deny) and weak.reasons == strong.reasons
            assert weak == strong or both_denied


def test_a_weak_login_keeps_what_its_other_roles_allow_and_gains_nothing_elsewhere() -> None:
    weak = at_a_hub(Role.DEVELOPER, Role.WORKSPACE_ADMIN, claims={})
    assert isinstance(POLICY.decide(question(principal=weak)), Permit)
    denied = POLICY.decide(question(principal=weak, action=Action.TENANT_PAUSE))
    assert isinstance(denied, Deny) and denied.reasons == ("mfa-required",)
    other = POLICY.decide(question(principal=weak, action=Action.TENANT_PAUSE, resource_tenant="beta"))
    assert isinstance(other, Deny) and other.reasons == ("forbid-cross-tenant",)


def test_policies_of_a_sites_own_cannot_forget_it() -> None:
    site = PolicySource(
        "site.cedar",
        '@id("permit-auditors") permit (principal, action, resource) when { principal.roles.contains("auditor") };',
    )
    policy = CedarPolicy([site])
    for claims, expected in (({}, Deny), ({"mfa": "true"}, Permit)):
        asked = question(principal=at_a_hub(Role.AUDITOR, claims=claims), action=Action.AUDIT_READ)
        assert isinstance(policy.decide(asked), expected)


@pytest.mark.parametrize("name", ["os:ada", "service:ci", "hubris:ada"])
def test_of_others_than_people_of_a_hub_none_is_asked(name: str) -> None:
    other = at_a_hub(Role.AUDITOR, claims={}, name=name)
    assert isinstance(POLICY.decide(question(principal=other, action=Action.AUDIT_READ)), Permit)


def test_a_hub_without_a_second_factor_can_go_by_roles_alone() -> None:
    trusting = CedarPolicy(mfa_of=())
    weak = question(principal=at_a_hub(Role.AUDITOR, claims={}), action=Action.AUDIT_READ)
    assert isinstance(trusting.decide(weak), Permit)


def test_hardware_demands_one_too_where_a_policy_allows_any() -> None:
    shipped = [
        replace(source, text=_without(source.text, "forbid-hardware-by-default")) for source in shipped_policies()
    ]
    policy = CedarPolicy(shipped)
    facts = {"device_kind": "hardware"}
    weak, strong = (at_a_hub(Role.BENCHMARK_OPERATOR, claims=claims) for claims in ({}, {"mfa": "true"}))
    assert isinstance(policy.decide(question(principal=strong, context=facts)), Permit)
    denied = policy.decide(question(principal=weak, context=facts))
    assert isinstance(denied, Deny) and denied.reasons == ("mfa-required",)


def _without(text: str, policy_id: str) -> str:
    before, found, after = text.partition(f'@id("{policy_id}")')
    return before + (after.partition(";")[2] if found else after)


def test_claims_can_be_demanded_and_a_missing_one_denies() -> None:
    mfa = PolicySource(
        "mfa.cedar",
        '@id("permit-mfa") permit (principal, action, resource) when { principal.claims.contains("mfa=true") };',
    )
    policy = CedarPolicy([mfa])
    with_mfa = Principal("os:ada", "ada", claims={"mfa": "true"})
    assert isinstance(policy.decide(question(principal=with_mfa)), Permit)
    assert isinstance(policy.decide(question(principal=Principal("os:ada", "ada"))), Deny)
    assert isinstance(policy.decide(question(principal=replace(with_mfa, claims={"mfa": "false"}))), Deny)


# -- files


def test_the_example_of_the_requirements_can_be_written() -> None:
    example = PolicySource(
        "hardware.cedar",
        '@id("permit-approved-benchmark") permit (principal, action == Qsec::Action::"task:create", resource)\n'
        'when { context has lane_purpose && context.lane_purpose == "benchmark" && context has region &&\n'
        '  context.region == "eu-north-1" && context has shots && context.shots < 1000 };',
    )
    policy = CedarPolicy([example])
    facts = {"lane_purpose": "benchmark", "region": "eu-north-1", "shots": 999, "device_kind": "hardware"}
    assert isinstance(policy.decide(question(Role.BENCHMARK_OPERATOR, context=facts)), Permit)
    for change in ({"shots": 1000}, {"region": "us-east-1"}, {"lane_purpose": "tutorial"}):
        assert isinstance(policy.decide(question(Role.BENCHMARK_OPERATOR, context=facts | change)), Deny)


GOOD = '@id("permit-all")\npermit (principal, action, resource);\n'


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (GOOD + '\n\n@id("x-bad") permit (principal action resource);', 5, "unexpected token"),
        (
            GOOD + '// a comment; with a semicolon\n@id("x-bad")\npermit (principal, action, resource) when { y };',
            4,
            "",
        ),
        (GOOD + '@id("x-bad") permit (principal, action, resource) when { principal.rolez.isEmpty() };', 3, "rolez"),
        (GOOD + '@id("x-bad") permit (principal, action == Qsec::Action::"task:dance", resource);', 3, "task:dance"),
        (GOOD + "permit (principal, action, resource);", 3, "stable id"),
        (GOOD + '@id("") permit (principal, action, resource);', 3, "stable id"),
        (GOOD + GOOD, 3, "used in"),
        (GOOD + '@id("x-bad") permit (principal == ?principal, action, resource);', 3, ""),
        (GOOD + '@id("x-bad")\nforbid (principal', 3, ""),
    ],
)
def test_a_broken_policy_is_told_by_file_and_line(text: str, line: int, words: str) -> None:
    with pytest.raises(InvalidRequestError, match=rf"site\.cedar, line {line}\b.*{words}"):
        CedarPolicy([PolicySource("site.cedar", text)])


@pytest.mark.parametrize("text", ["", "// nothing here\n", "\n\n"])
def test_policies_that_say_nothing_are_an_error_and_not_an_open_door(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="no policy"):
        CedarPolicy([PolicySource("empty.cedar", text)])


def test_files_of_the_state_directory_replace_the_shipped_ones(tmp_path: Path) -> None:
    assert policies_in(tmp_path / "missing") == ()
    (tmp_path / "b.cedar").write_text('@id("permit-b") permit (principal, action, resource);')
    (tmp_path / "a.cedar").write_text('@id("permit-a") permit (principal, action, resource);')
    (tmp_path / "notes.txt").write_text("not a policy")
    sources = policies_in(tmp_path)
    assert [Path(source.name).name for source in sources] == ["a.cedar", "b.cedar"]
    assert CedarPolicy(sources).decide(question()) == Permit(("permit-a", "permit-b"))


def test_a_policy_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.cedar").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidRequestError, match=r"bad\.cedar"):
        policies_in(tmp_path)
    (tmp_path / "bad.cedar").write_bytes(b" " * ((1 << 20) + 1))
    with pytest.raises(InvalidRequestError, match="1 MiB"):
        policies_in(tmp_path)


def test_every_action_is_in_the_schema_and_every_shipped_policy_has_its_own_id() -> None:
    schema = shipped_schema()
    assert all(f'"{action}"' in schema for action in Action)
    assert len(shipped_policies()) >= 2


def test_what_is_remembered_is_remembered_for_the_very_same_question_only() -> None:
    policy = CedarPolicy()
    allowed = question(Role.DEVELOPER)
    assert policy.decide(allowed) == policy.decide(question(Role.DEVELOPER)) == CedarPolicy().decide(allowed)
    others = [
        question(Role.VIEWER),
        question(Role.DEVELOPER, tenant="beta", resource_tenant="alpha"),
        question(Role.DEVELOPER, action=Action.AUDIT_READ),
        replace(allowed, context={**allowed.context, "owner": 1}),
    ]
    for other in others:
        assert policy.decide(other) == CedarPolicy().decide(other)
        assert isinstance(policy.decide(other), Deny), other

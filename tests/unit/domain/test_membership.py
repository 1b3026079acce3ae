"""Who belongs where, by groups."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_qsec.domain.errors import DeniedError, InvalidRequestError
from jupyter_qsec.domain.membership import EVERY_TENANT, MemberRule, Membership
from jupyter_qsec.domain.principal import Principal, Role
from jupyter_qsec.domain.tenant import Environment, Project, Purpose, Tenant

PHYSICS = MemberRule(group="physics", tenant="research", project="bell")
TEACHERS = MemberRule(group="teachers", tenant="classroom", roles=frozenset({Role.DEVELOPER, Role.WORKSPACE_ADMIN}))
AUDITORS = MemberRule(group="auditors", tenant=EVERY_TENANT, roles=frozenset({Role.AUDITOR}))
CI = MemberRule(service="ci", tenant="research", roles=frozenset({Role.SERVICE}))
RULES = (PHYSICS, TEACHERS, AUDITORS, CI)


def tenant(name: str) -> Tenant:
    return Tenant(
        name, name, "000000000001", Purpose.RESEARCH, Environment.DEV, (Project("bell", ""), Project("other", ""))
    )


def test_a_group_gives_a_tenant_a_project_and_roles() -> None:
    standing = Membership(RULES).of_person("ada", ["physics", "chess"])
    assert (standing.tenant, standing.project) == ("research", "bell")
    assert standing.roles == {"research": {Role.DEVELOPER}}


def test_several_groups_add_up_and_the_first_rule_is_where_leases_go() -> None:
    standing = Membership(RULES).of_person("eve", ["auditors", "teachers", "physics"])
    assert standing.tenant == "research"
    assert standing.roles == {
        "research": {Role.DEVELOPER},
        "classroom": {Role.DEVELOPER, Role.WORKSPACE_ADMIN},
        EVERY_TENANT: {Role.AUDITOR},
    }


def test_one_without_a_tenant_of_their_own_has_no_place_for_leases() -> None:
    assert Membership(RULES).of_person("max", ["auditors"]).tenant == ""


@given(st.lists(st.text(max_size=20)))
def test_a_person_in_no_mapped_group_is_refused(groups: list[str]) -> None:
    with pytest.raises(DeniedError, match="no group that has a tenant") as caught:
        Membership(RULES).of_person(
            "bob", [group for group in groups if group not in {"physics", "teachers", "auditors"}]
        )
    assert caught.value.reasons == ("unmapped",)


def test_or_gets_the_tenant_that_is_meant_for_such_people() -> None:
    standing = Membership(RULES, unmapped="sandbox").of_person("bob", [])
    assert standing.tenant == "sandbox"
    assert standing.roles == {"sandbox": {Role.DEVELOPER}}


def test_services_are_named_one_by_one() -> None:
    membership = Membership(RULES, unmapped="sandbox")
    assert membership.of_service("ci").roles == {"research": {Role.SERVICE}}
    for name in ("other", "", "physics"):
        with pytest.raises(DeniedError):
            membership.of_service(name)


@pytest.mark.parametrize("groups", [[""], ["ci"]])
def test_neither_an_empty_group_nor_a_services_name_opens_a_services_place(groups: list[str]) -> None:
    with pytest.raises(DeniedError):
        Membership([CI]).of_person("mallory", groups)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (MemberRule(group="g", tenant="nowhere"), "tenant 'nowhere', which does not exist"),
        (MemberRule(group="g", tenant="research", project="none"), "no project 'none'"),
        (MemberRule(group="g", tenant=EVERY_TENANT, project="bell"), "which does not exist"),
    ],
)
def test_a_rule_that_names_nothing_real_is_refused(rule: MemberRule, words: str) -> None:
    with pytest.raises(InvalidRequestError, match=words):
        Membership([rule]).require_known([tenant("research")])


def test_so_is_an_unmapped_tenant_that_does_not_exist() -> None:
    with pytest.raises(InvalidRequestError, match="unmapped names the tenant 'none'"):
        Membership([], unmapped="none").require_known([tenant("research")])


@pytest.mark.parametrize("wrong", [{}, {"group": "g", "service": "s"}])
def test_a_rule_is_for_a_group_or_a_service(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError, match="either a group or a service"):
        MemberRule(tenant="research", **wrong)


def test_roles_of_one_tenant_do_not_count_in_another() -> None:
    standing = Membership(RULES).of_person("eve", ["auditors", "physics"])
    person = Principal("hub:eve", "eve", tenant_roles=standing.roles)
    assert person.roles == frozenset()
    assert person.within("research").roles == {Role.DEVELOPER, Role.AUDITOR}
    assert person.within("classroom").roles == {Role.AUDITOR}

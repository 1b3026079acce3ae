"""The tenants as a file declares them: two are shipped, and a mistake is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from jupyter_qsec.adapters.catalogue import catalogue_of, parse, shipped_catalogue
from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.domain.quota import Metric
from jupyter_qsec.domain.tenant import Environment, Purpose

WORKLOAD = """[[workload]]
issuer = "https://issuer"
audience = "here"
subject = "repo:lab/q:*"
service = "ci"
"""
AWS = '[aws]\nsource = "ambient"\nregion = "eu-west-2"\n'
ROLE = 'aws_role = "arn:aws:iam::123456789012:role/of/lab"\n'
ONE = """
[[tenant]]
id = "lab"
account = "000000000303"
purpose = "benchmark"
environment = "test"
[[tenant.project]]
id = "first"
"""


def test_two_tenants_are_shipped_for_trying() -> None:
    sandbox, research = shipped_catalogue().tenants()
    assert (sandbox.id, research.id) == ("sandbox", "research")
    assert (sandbox.purpose, sandbox.environment) == (Purpose.TUTORIAL, Environment.SANDBOX)
    assert sandbox.account != research.account
    assert [sandbox.limits.of(metric) for metric in Metric] == [1000, 1_000_000, 3_600_000]
    assert len(research.projects) == 2


def test_a_file_in_the_state_directory_replaces_the_shipped_one(tmp_path: Path) -> None:
    assert [tenant.id for tenant in catalogue_of(tmp_path).tenants()] == ["sandbox", "research"]
    (tmp_path / "tenants.toml").write_text(ONE)
    (tenant,) = catalogue_of(tmp_path).tenants()
    assert (tenant.id, tenant.name, tenant.weight, tenant.max_running) == ("lab", "lab", 1, 4)
    assert tenant.limits.tasks is None
    assert catalogue_of(tmp_path).tenant("sandbox") is None


def test_a_tenant_may_have_a_role_at_aws() -> None:
    assert parse(ONE, "t").provider is None
    found = parse(AWS + ONE.replace("[[tenant.project]]", ROLE + "[[tenant.project]]"), "t").provider
    assert found is not None
    assert (found.source, found.region, [role.tenant for role in found.roles]) == ("ambient", "eu-west-2", ["lab"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no tenant"),
        ("tenant = 3", "tenant must be an array"),
        ("[[tenant]", "not valid TOML"),
        (ONE + ONE, "same id|have the id"),
        (ONE.replace("benchmark", "play"), r"tenant\[0\]\.purpose must be one of tutorial"),
        (ONE.replace('"000000000303"', "303"), r"tenant\[0\]\.account must be a text"),
        (ONE.replace("000000000303", "303"), "12 digits"),
        (ONE.replace('id = "lab"', 'id = "Lab!"'), "not a tenant"),
        (ONE.replace('id = "lab"', ""), r"tenant\[0\]\.id must be a text"),
        (ONE.replace("[[tenant.project]]", "[[tenant.projects]]"), "no project|projects"),
        (ONE + 'colour = "red"', r"project\[0\]\.colour is not a known field"),
        (ONE.replace("[[tenant.project]]", ROLE + "[[tenant.project]]"), "there is no table .aws."),
        (AWS + ONE.replace("[[tenant.project]]", ROLE.replace("role/", "user/") + "[[tenant.project]]"), "no ARN of a"),
        (AWS + ONE.replace("[[tenant.project]]", 'aws_external_id = "x"\n[[tenant.project]]'), "no ARN of a role"),
        (AWS.replace("ambient", "found") + ONE, r"aws\.source must be one of ambient, stored"),
        (AWS.replace("eu-west-2", "here") + ONE, "is no region"),
        (AWS + 'sts = "http://sts.example"\n' + ONE, "https URL"),
        (AWS + 'key = "x"\n' + ONE, r"aws\.key is not a known field"),
        (ONE + "limits = { taks = 3 }", r"limits\.taks is not a known field"),
        (ONE + "limits = { tasks = -1 }", r"limits\.tasks must be a whole number"),
        (ONE + "limits = { tasks = true }", r"limits\.tasks must be a whole number"),
        (ONE + "limits = 3", r"limits must be a table"),
        (ONE + '[[tenant.project]]\nid = "first"', "same id"),
        (ONE.replace("[[tenant.project]]", "weight = 0\n[[tenant.project]]"), "1 or more"),
        (ONE + '[[member]]\ngroup = "g"\ntenant = "lob"', "tenant 'lob', which does not exist"),
        (ONE + '[[member]]\ntenant = "lab"', "either a group or a service"),
        (ONE + '[[member]]\ngroup = "g"', r"member\[0\]\.tenant must be a text"),
        (ONE + '[[member]]\ngroup = "g"\ntenant = "lab"\nroles = ["boss"]', r"roles must be a list of viewer"),
        (ONE + '[[member]]\ngroup = "g"\ntenant = "lab"\nroles = [["x"]]', r"roles must be a list of viewer"),
        (ONE + '[[member]]\ngroup = "g"\ntenant = "lab"\nrole = "viewer"', r"role is not a known field"),
        ('unmapped = "nowhere"\n' + ONE, "unmapped names the tenant 'nowhere'"),
        ("claims = { mfa = 3 }\n" + ONE, "claims must be a table of texts"),
        ('require_mfa = "no"\n' + ONE, "require_mfa must be true or false"),
        (ONE + WORKLOAD, "A workload names the service 'ci', which no"),
        (ONE + WORKLOAD + 'secret = "x"\n', r"workload\[0\].secret is not a known field"),
    ],
)
def test_a_mistake_is_named(text: str, words: str) -> None:
    with pytest.raises(InvalidRequestError, match=words) as caught:
        parse(text, "my-tenants.toml")
    assert str(caught.value).startswith("my-tenants.toml")


def test_workloads_come_with_the_services_that_they_are() -> None:
    member = '[[member]]\nservice = "ci"\ntenant = "lab"\n'
    [rule] = parse(ONE + member + WORKLOAD + 'claims = { repository_owner_id = "17" }\n', "t.toml").workloads
    assert (rule.issuer, rule.audience, rule.subject) == ("https://issuer", "here", "repo:lab/q:*")
    assert (rule.service, rule.claims) == ("ci", {"repository_owner_id": "17"})


def test_members_and_claims_come_with_the_tenants() -> None:
    catalogue = parse(
        'unmapped = "lab"\nclaims = { mfa = "amr.mfa" }\n' + ONE + '[[member]]\ngroup = "g"\ntenant = "lab"\n', "t.toml"
    )
    assert catalogue.membership.of_person("ada", ["g"]).tenant == "lab"
    assert catalogue.membership.of_person("bob", []).tenant == "lab"
    assert catalogue.claims == {"mfa": "amr.mfa"}
    assert catalogue.require_mfa
    assert not parse("require_mfa = false\n" + ONE, "t.toml").require_mfa


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "tenants.toml").write_bytes(b"\xff")
    with pytest.raises(InvalidRequestError, match=r"tenants\.toml cannot be read"):
        catalogue_of(tmp_path)

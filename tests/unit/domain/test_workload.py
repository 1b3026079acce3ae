"""Which jobs a rule means."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.domain.workload import WorkloadRule

ISSUER, AUDIENCE = "https://token.example.org", "https://qsec.example.org"
RULE = WorkloadRule(ISSUER, AUDIENCE, "repo:lab/quantum:ref:refs/heads/main", "ci", {"repository_owner_id": "17"})
CLAIMS = {"repository_owner_id": "17", "actor": "ada"}


def fits(rule: WorkloadRule = RULE, **changes: object) -> bool:
    given = {"issuer": ISSUER, "audiences": frozenset({AUDIENCE}), "subject": RULE.subject, "claims": CLAIMS, **changes}
    return rule.fits(**given)  # type: ignore[arg-type]  # by name


def test_all_of_it_must_be_so() -> None:
    assert fits()
    assert not fits(issuer=ISSUER + "/")
    assert not fits(audiences=frozenset({"https://elsewhere"}))
    assert not fits(subject="repo:lab/quantum:ref:refs/heads/main2")
    assert not fits(claims={"repository_owner_id": "18"})
    assert not fits(claims={"repository_owner_id": 17})
    assert not fits(claims={})


@pytest.mark.parametrize(
    ("pattern", "subject", "expected"),
    [
        ("repo:lab/quantum:*", "repo:lab/quantum:environment:prod", True),
        ("repo:lab/quantum:*", "repo:lab/quantum-fork:environment:prod", False),
        ("repo:lab/*:ref:refs/heads/main", "repo:lab/a/b:ref:refs/heads/main", True),
        ("repo:lab/quantum:*", "xrepo:lab/quantum:y", False),
        ("repo:lab/q.antum", "repo:lab/quantum", False),
        ("repo:lab/quantum:*", "repo:lab/quantum:a\nb", True),
        ("repo:lab/quantum", "repo:lab/quantum\n", False),
    ],
)
def test_a_star_stands_for_any_characters_and_nothing_else_for_another(
    pattern: str, subject: str, expected: bool
) -> None:
    assert fits(replace(RULE, subject=pattern), subject=subject) is expected


@pytest.mark.parametrize(
    "subject",
    [
        *("", "*", "**", "*:*", "/", "*/*", "repo:*", "repo:*/*", "repo:*:ref:refs/heads/main", "repo:lab*", "repo:/*"),
        *("*:ref:refs/heads/main", "system:serviceaccount:*", "system:serviceaccount:lab*", "project_path:*"),
    ],
)
def test_a_rule_for_others_jobs_too_is_refused(subject: str) -> None:
    with pytest.raises(InvalidRequestError, match="lets in others than yours"):
        replace(RULE, subject=subject, claims={})


@pytest.mark.parametrize(
    "subject",
    [
        *("repo:lab/*", "repo:lab/quantum:*", "repo:lab/*:ref:refs/heads/main", "system:serviceaccount:lab:*"),
        *("system:serviceaccount:lab:runner", "one-job", "project_path:lab/quantum:ref_type:branch:ref:*"),
    ],
)
def test_one_that_names_whose_they_are_is_taken(subject: str) -> None:
    assert replace(RULE, subject=subject, claims={}).subject == subject


@pytest.mark.parametrize("subject", ["", "*", "*:*", "/"])
def test_with_a_claim_the_subject_must_still_name_something(subject: str) -> None:
    assert replace(RULE, subject="repo:*").subject == "repo:*"
    with pytest.raises(InvalidRequestError, match="names nothing"):
        replace(RULE, subject=subject)


@pytest.mark.parametrize(
    "issuer", ["http://token.example.org", "token.example.org", "", "ftp://x", "file:///etc", "https://["]
)
def test_an_issuer_is_an_https_address(issuer: str) -> None:
    with pytest.raises(InvalidRequestError, match="is not an https address"):
        replace(RULE, issuer=issuer)
    assert replace(RULE, issuer="http://127.0.0.1:8000").issuer == "http://127.0.0.1:8000"


@pytest.mark.parametrize("missing", ["audience", "service"])
def test_audience_and_service_are_needed(missing: str) -> None:
    without: dict[str, Any] = {missing: ""}
    with pytest.raises(InvalidRequestError, match="needs an audience and a service"):
        replace(RULE, **without)

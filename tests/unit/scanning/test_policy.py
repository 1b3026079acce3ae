"""What is done about a secret in a source: by severity, and before that by kind."""

from __future__ import annotations

from typing import Any

import pytest

from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.scanning.policy import Action, SourcePolicy


def test_by_default_a_private_key_blocks_and_everything_else_warns() -> None:
    policy = SourcePolicy()
    assert policy.action("private-key") is Action.BLOCK
    for kind in ("aws-access-key", "jwt", "assigned-secret", "told-secret", "payroll-database"):
        assert policy.action(kind) is Action.WARN


def test_a_kind_comes_before_its_severity() -> None:
    policy = SourcePolicy.of({"critical": "block", "aws-access-key": "allow"})
    assert policy.action("aws-access-key") is Action.ALLOW and policy.action("aws-secret-key") is Action.BLOCK


def test_a_live_secret_that_somebody_registered_is_critical() -> None:
    assert SourcePolicy.of({"critical": "redact"}).action("payroll-database") is Action.REDACT


def test_later_settings_change_earlier_ones() -> None:
    policy = SourcePolicy.of({"high": "block", "low": "allow"}, {"high": "redact"})
    assert (policy.action("github-token"), policy.action("private-key")) == (Action.REDACT, Action.BLOCK)
    assert SourcePolicy.of(policy.settings()).settings() == policy.settings()


def test_the_strictest_of_several_is_the_strictest_for_each_kind() -> None:
    lenient = SourcePolicy.of({"private-key": "allow", "critical": "allow", "high": "block"})
    strict = lenient.stricter(SourcePolicy.of({"critical": "redact", "aws-access-key": "block"}))
    assert strict.action("private-key") is Action.BLOCK and strict.action("aws-access-key") is Action.BLOCK
    assert strict.action("aws-secret-key") is Action.REDACT and strict.action("github-token") is Action.BLOCK


@pytest.mark.parametrize(
    ("settings", "named"),
    [({"severe": "block"}, "'severe'"), ({"high": "stop"}, "'stop'"), ({"high": 3}, "3")],
    ids=str,
)
def test_what_is_no_policy_is_named(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRequestError, match=named):
        SourcePolicy.of(settings)

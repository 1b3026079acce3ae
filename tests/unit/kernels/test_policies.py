"""Policies for sources by tenant."""

from __future__ import annotations

from jupyter_qsec.kernels.policies import SourcePolicies
from jupyter_qsec.scanning.policy import Action

POLICIES = SourcePolicies.of({"high": "redact"}, {"chemistry": {"high": "warn"}, "finance": {"medium": "block"}})


def test_a_tenants_settings_change_the_common_ones() -> None:
    assert POLICIES.for_tenant("chemistry").action("github-token") is Action.WARN
    assert POLICIES.for_tenant("finance").action("github-token") is Action.REDACT
    assert POLICIES.for_tenant("another").action("jwt") is Action.WARN


def test_while_nobody_knows_the_tenant_the_strictest_of_all_counts() -> None:
    unknown = POLICIES.for_tenant("")
    assert unknown.action("github-token") is Action.REDACT and unknown.action("jwt") is Action.BLOCK

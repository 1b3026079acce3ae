"""Metrics of what is configured and what is left: role grants, and leases and tasks of tenants that are gone."""

from __future__ import annotations

from pathlib import Path

from jupyter_qsec.domain.principal import Role
from tests.gateway.livegateway import LiveGateway, submit_bell
from tests.gateway.scraping import Scrape
from tests.gateway.test_metrics import TENANTS

MEMBERS = """
[[member]]
group = "physics"
tenant = "research"
roles = ["developer", "workspace-admin"]

[[member]]
group = "chemistry"
tenant = "research"

[[member]]
service = "ci"
tenant = "sandbox"
roles = ["service"]

[[member]]
group = "auditors"
tenant = "*"
roles = ["auditor"]
"""


def gateway_with(home: Path, tenants: str) -> LiveGateway:
    home.mkdir(mode=0o700, exist_ok=True)
    (home / "tenants.toml").write_text(tenants)
    return LiveGateway(home).start()


def test_grants_are_counted_by_tenant_and_role(tmp_path: Path) -> None:
    gateway = gateway_with(tmp_path / "home", TENANTS + MEMBERS)
    try:
        seen = Scrape.of(gateway)
        assert seen.value("role_grants", tenant="research", role="developer") == 2
        assert seen.value("role_grants", tenant="research", role="workspace-admin") == 1
        assert seen.value("role_grants", tenant="sandbox", role="service") == 1
        assert seen.value("role_grants", tenant="*", role="auditor") == 1
        assert seen.value("role_grants", tenant="*") == 1
        assert {sample.labels["role"] for sample in seen.samples["jupyter_qsec_role_grants"]} == set(Role)
    finally:
        gateway.stop()


def test_what_a_tenant_leaves_behind_is_seen(tmp_path: Path) -> None:
    gateway = gateway_with(tmp_path / "home", TENANTS)
    try:
        for tenant in ("sandbox", "research"):
            gateway.pause(tenant)
            submit_bell(gateway, gateway.lease(tenant=tenant))
        seen = Scrape.of(gateway)
        assert seen.value("shared_orphans", kind="lease") == seen.value("shared_orphans", kind="task") == 0
    finally:
        gateway.stop()
    gateway = gateway_with(tmp_path / "home", TENANTS.partition('[[tenant]]\nid = "research"')[0])
    try:
        seen = Scrape.of(gateway)
        assert seen.value("shared_orphans", kind="lease") == seen.value("shared_orphans", kind="task") == 1
        assert seen.value("shared_leases_active", tenant="other") == 1
    finally:
        gateway.stop()

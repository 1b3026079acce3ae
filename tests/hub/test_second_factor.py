"""Logins with and without a second factor at a real hub, which keeps that in auth_state: what each lets people do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest

from tests.fakes.waiting import wait_for
from tests.gateway.livegateway import GatewayProcess
from tests.hub.conftest import TENANTS, prepare
from tests.hub.realhub import RealHub
from tests.hub.visitor import Visitor

pytestmark = pytest.mark.xdist_group("hub")

PREFIX = "/services/many/"
DEMANDING = TENANTS.replace("require_mfa = false", 'claims = { mfa = "amr=mfa" }')
REFUSAL = "audit:read needs a login with a second factor."


@pytest.fixture(scope="module")
def demanding(hub: RealHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """Behind the hub's proxy, as the second of the two services there."""
    home = tmp_path_factory.mktemp("demanding") / "home"
    prepare(home, DEMANDING)
    environ = {
        **os.environ,
        "JUPYTERHUB_API_URL": hub.api_url,
        "JUPYTERHUB_API_TOKEN": hub.tokens["MANY"],
        "JUPYTERHUB_CLIENT_ID": "service-many",
        "JUPYTERHUB_SERVICE_PREFIX": PREFIX,
    }
    gateway = GatewayProcess(home, ("--identity", "hub", "--port", str(hub.many_port)), environ=environ).start()
    yield gateway
    gateway.close()


def log_in(hub: RealHub, name: str, password: str) -> str:
    """A token of somebody who has logged in so."""
    with closing(Visitor(hub, name, password, prefix="/hub/home")) as visitor:
        assert visitor.log_in().status_code == 200
    return hub.user_token(name)[0]


def read_log(gateway: GatewayProcess, token: str) -> httpx.Response:
    return gateway.get("/api/v1/audit/records?limit=1", token)


def test_administrative_roles_count_after_a_login_with_a_second_factor(hub: RealHub, demanding: GatewayProcess) -> None:
    token = log_in(hub, "ida", "a password")
    refused = read_log(demanding, token)
    assert (refused.status_code, refused.json()["code"]) == (403, "denied")
    assert refused.json()["detail"].startswith(REFUSAL)
    assert "The claim mfa=true is missing" in refused.json()["detail"]
    log_in(hub, "ida", "a password and a second factor")
    wait_for(lambda: read_log(demanding, token).status_code == 200, "the second factor to be known", 10)
    log_in(hub, "ida", "a password")
    wait_for(lambda: read_log(demanding, token).status_code == 403, "its end to be known", 10)


def test_work_of_ones_own_needs_none_and_a_lease_carries_what_is_known(hub: RealHub, demanding: GatewayProcess) -> None:
    token = ""
    for password, known in (("a password", "false"), ("a second factor", "true")):
        token = log_in(hub, "ada", password)
        lease = demanding.post("/api/v1/leases", {}, token=token).json()["lease"]
        assert lease["claims"] == {"mfa": known}
    held = demanding.post("/api/v1/leases", {}, token=token).json()["lease"]["id"]
    log_in(hub, "ada", "a password")

    def renewed() -> bool:
        answer = demanding.post(f"/api/v1/leases/{held}/renew", {}, token=token)
        return bool(answer.json()["lease"]["claims"] == {"mfa": "false"})

    wait_for(renewed, "the lease to follow the login", 10)


def test_somebody_who_never_logged_in_has_none(hub: RealHub, demanding: GatewayProcess) -> None:
    assert read_log(demanding, hub.user_token("rio")[0]).json()["detail"].startswith(REFUSAL)


def test_a_hub_whose_logins_know_none_can_go_by_roles_alone(hub: RealHub, hub_gateway: GatewayProcess) -> None:
    assert read_log(hub_gateway, log_in(hub, "eve", "a password")).status_code == 200


@pytest.mark.parametrize(
    ("name", "shown"),
    [("lin", "Pause research"), *((name, "tasks?tenant=research") for name in ("backend-operator", "approver"))],
)
def test_the_dashboard_says_what_is_missing(hub: RealHub, demanding: GatewayProcess, name: str, shown: str) -> None:
    told = "Some of your roles count only after a login with a second factor."
    for password, lacks in (("a password", True), ("a second factor", False)):
        with closing(Visitor(hub, name, password, prefix=PREFIX)) as visitor:
            page = visitor.log_in()
            assert page.status_code == 200
            assert (told in page.text, shown in page.text) == (lacks, not lacks)


def test_a_page_that_waits_for_it_says_so_and_one_that_never_comes_does_not(
    hub: RealHub, demanding: GatewayProcess
) -> None:
    for name, reason in (("rio", "mfa-required"), ("approver", "no-policy-allows")):
        with closing(Visitor(hub, name, "a password", prefix=PREFIX)) as visitor:
            for page in (visitor.log_in("leases"), visitor.page("findings")):
                assert page.status_code == 403
                assert f"Decided by: {reason}" in page.text

"""Hub tokens at the gateway: who is let in, as whom, and for how long after the hub said no."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from jupyter_qsec.adapters.identity.jupyterhub import CACHE_SECONDS
from jupyter_qsec.domain.lease import UNLEASED
from tests.gateway.livegateway import GatewayProcess
from tests.hub.conftest import TENANTS, gateway_of
from tests.hub.realhub import RealHub

pytestmark = pytest.mark.xdist_group("hub")


def take_lease(gateway: GatewayProcess, token: str, **fields: str) -> dict[str, str]:
    answer = gateway.post("/api/v1/leases", fields, token=token)
    assert answer.status_code == 201, answer.text
    lease: dict[str, str] = answer.json()["lease"]
    return lease


def refusal(gateway: GatewayProcess, token: str, **fields: str) -> tuple[int, str, str]:
    answer = gateway.post("/api/v1/leases", fields, token=token)
    body = answer.json()
    return answer.status_code, body["code"], body["detail"]


def test_a_lease_belongs_to_the_person_and_to_what_their_groups_map_to(
    hub: RealHub, hub_gateway: GatewayProcess
) -> None:
    lease = take_lease(hub_gateway, hub.user_token("ada")[0])
    assert (lease["principal"], lease["tenant"], lease["project"]) == ("hub:ada", "research", "bell")
    lease = take_lease(hub_gateway, hub.user_token("bob")[0])
    assert (lease["principal"], lease["tenant"], lease["project"]) == ("hub:bob", "classroom", "first-steps")


def test_who_still_waits_for_a_lease_is_not_told_of_the_hub(hub_gateway: GatewayProcess) -> None:
    answer = hub_gateway.get("/credentials", f"{UNLEASED}{'x' * 43}")
    assert (answer.status_code, answer.json()["detail"].partition(".")[0]) == (401, "The lease has not come yet")


def test_another_project_of_the_own_tenant_can_be_named(hub: RealHub, hub_gateway: GatewayProcess) -> None:
    lease = take_lease(hub_gateway, hub.user_token("ada")[0], tenant="research", project="other")
    assert lease["project"] == "other"


def test_anothers_tenant_looks_like_one_that_does_not_exist(hub: RealHub, hub_gateway: GatewayProcess) -> None:
    token = hub.user_token("ada")[0]
    theirs = refusal(hub_gateway, token, tenant="classroom")
    none = refusal(hub_gateway, token, tenant="class-room")
    assert theirs == (400, "invalid-request", "There is no tenant 'classroom'.")
    assert none == (400, "invalid-request", "There is no tenant 'class-room'.")


def test_another_groups_member_sees_nothing_of_it(hub: RealHub, hub_gateway: GatewayProcess) -> None:
    ada, bob = hub.user_token("ada")[0], hub.user_token("bob")[0]
    lease = take_lease(hub_gateway, ada)
    assert lease["id"] in {found["id"] for found in hub_gateway.get("/api/v1/leases", ada).json()["leases"]}
    assert lease["id"] not in {found["id"] for found in hub_gateway.get("/api/v1/leases", bob).json()["leases"]}
    missing = "0" * 32
    shown, absent = (hub_gateway.get(f"/api/v1/leases/{name}", bob) for name in (lease["id"], missing))
    assert shown.status_code == absent.status_code == 404
    assert shown.text.replace(lease["id"][:8], "X") == absent.text.replace(missing[:8], "X")
    usages = hub_gateway.get("/api/v1/quotas", bob).json()["usages"]
    assert usages
    assert not [usage for usage in usages if "research" in usage["scope"]]


def test_roles_for_every_tenant_read_everywhere_and_run_nowhere(hub: RealHub, hub_gateway: GatewayProcess) -> None:
    lease = take_lease(hub_gateway, hub.user_token("bob")[0])
    eve = hub.user_token("eve")[0]
    assert hub_gateway.get(f"/api/v1/leases/{lease['id']}", eve).status_code == 200
    assert hub_gateway.get("/api/v1/audit/records?start=0&limit=1", eve).status_code == 200
    assert refusal(hub_gateway, eve, tenant="classroom")[:2] == (403, "denied")
    assert hub_gateway.get("/api/v1/audit/records?start=0&limit=1", hub.user_token("ada")[0]).status_code == 403


def test_metrics_are_for_auditors_of_every_tenant(hub: RealHub, hub_gateway: GatewayProcess) -> None:
    assert "jupyter_qsec_healthy 1.0" in hub_gateway.get("/metrics", hub.user_token("eve", "custom:qsec:read")[0]).text
    for stranger in (hub.user_token("ada")[0], hub.tokens["CI"], hub.tokens["STRAY"]):
        assert hub_gateway.get("/metrics", stranger).json()["code"] == "denied"


def test_a_person_without_a_mapped_group_is_told_so(hub: RealHub, hub_gateway: GatewayProcess) -> None:
    status, code, detail = refusal(hub_gateway, hub.user_token("max")[0])
    assert (status, code, detail) == (403, "denied", "max is in no group that has a tenant.")


def test_or_works_in_the_tenant_for_such_people(hub: RealHub, tmp_path: Path) -> None:
    from tests.hub.conftest import TENANTS

    gateway = gateway_of(hub, tmp_path / "home", f'unmapped = "classroom"\n{TENANTS}').start()
    try:
        assert take_lease(gateway, hub.user_token("max")[0])["tenant"] == "classroom"
    finally:
        gateway.close()


def test_a_token_of_the_hub_without_our_scope_is_refused(hub: RealHub, hub_gateway: GatewayProcess) -> None:
    status, code, detail = refusal(hub_gateway, hub.user_token("ada", "read:users:name!user=ada")[0])
    assert (status, code) == (403, "denied")
    assert "custom:qsec:write" in detail


def test_a_reading_token_reads_and_takes_no_lease(hub: RealHub, hub_gateway: GatewayProcess) -> None:
    token = hub.user_token("ada", "custom:qsec:read")[0]
    assert hub_gateway.get("/api/v1/leases", token).status_code == 200
    assert refusal(hub_gateway, token) == (403, "denied", "This token may only read.")


def test_services_act_as_themselves_and_only_when_mapped(hub: RealHub, hub_gateway: GatewayProcess) -> None:
    lease = take_lease(hub_gateway, hub.tokens["CI"])
    assert (lease["principal"], lease["tenant"]) == ("service:ci", "research")
    assert refusal(hub_gateway, hub.tokens["STRAY"])[:2] == (403, "denied")


@pytest.mark.parametrize("token", ["0" * 32, "x", "qsec-lease.0.0"])
def test_a_token_that_the_hub_does_not_know_is_refused_and_recorded(hub_gateway: GatewayProcess, token: str) -> None:
    answer = hub_gateway.post("/api/v1/leases", {}, token=token)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    found = hub_gateway.get("/api/v1/audit/records?start=0&limit=1000").text
    assert "unauthenticated" in found
    assert len(token) < 8 or token not in found


def refused_within(gateway: GatewayProcess, token: str, seconds: float) -> float:
    """Seconds until a token that worked is refused; fails when it takes longer."""
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        if gateway.get("/api/v1/leases", token).status_code == 401:
            return time.monotonic() - started
        time.sleep(0.05)
    raise AssertionError(f"still let in after {seconds} s")


def test_a_deleted_token_is_refused_within_two_seconds(hub: RealHub, hub_gateway: GatewayProcess) -> None:
    token, token_id = hub.user_token("ada")
    assert hub_gateway.get("/api/v1/leases", token).status_code == 200
    hub.drive("DELETE", f"/users/ada/tokens/{token_id}")
    refused_within(hub_gateway, token, CACHE_SECONDS + 1)  # the second is the hub's and this machine's


def test_so_is_a_deleted_person(hub: RealHub, hub_gateway: GatewayProcess) -> None:
    hub.drive("POST", "/users/leo")
    hub.drive("POST", "/groups/class/users", {"users": ["leo"]})
    token = hub.user_token("leo")[0]
    assert take_lease(hub_gateway, token)["principal"] == "hub:leo"
    hub.drive("DELETE", "/users/leo")
    refused_within(hub_gateway, token, CACHE_SECONDS + 1)


def test_leaving_a_group_ends_what_it_gave(hub: RealHub, hub_gateway: GatewayProcess) -> None:
    hub.drive("POST", "/users/ian")
    hub.drive("POST", "/groups/class/users", {"users": ["ian"]})
    token = hub.user_token("ian")[0]
    lease = take_lease(hub_gateway, token)
    hub.drive("DELETE", "/groups/class/users", {"users": ["ian"]})
    deadline = time.monotonic() + CACHE_SECONDS + 1
    renew = f"/api/v1/leases/{lease['id']}/renew"
    while (status := hub_gateway.post(renew, {}, token=token).status_code) == 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert status == 403


@pytest.mark.parametrize("token", ["0" * 32, "STRAY"], ids=["rotated", "of another service"])
def test_a_gateway_whose_own_token_the_hub_refuses_blames_itself_and_lets_nobody_in(
    hub: RealHub, tmp_path: Path, token: str
) -> None:
    gateway = gateway_of(hub, tmp_path / "home")
    gateway.environ = {**gateway.environ, "JUPYTERHUB_API_TOKEN": hub.tokens.get(token, token)}
    gateway.start()
    try:
        answer = gateway.post("/api/v1/leases", {}, token=hub.user_token("ada")[0])
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert "refuses the gateway's own service token" in answer.json()["detail"]
        assert "scopes read:users" in answer.json()["remedy"]
    finally:
        gateway.close()


def test_the_gateways_hub_token_is_in_no_file_answer_or_child(hub: RealHub, hub_gateway: GatewayProcess) -> None:
    take_lease(hub_gateway, hub.user_token("ada")[0])
    secret = hub.tokens["QSEC"].encode()
    for path in hub_gateway.home.rglob("*"):
        assert not path.is_file() or secret not in path.read_bytes(), path
    children = Path(f"/proc/{hub_gateway.process.pid}/task/{hub_gateway.process.pid}/children")
    if children.exists():  # Linux
        for child in children.read_text().split():
            assert secret not in Path(f"/proc/{child}/environ").read_bytes()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"JUPYTERHUB_API_TOKEN": ""}, "There is no JUPYTERHUB_API_TOKEN"),
        ({"JUPYTERHUB_API_URL": ""}, "JUPYTERHUB_API_URL must be an http or https address"),
        ({"JUPYTERHUB_API_URL": "http://hub.example:8081/hub/api"}, "neither on this machine nor https"),
        ({"JUPYTERHUB_SSL_CLIENT_CA": "/nowhere/ca.pem"}, "cannot be used"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_one_line(
    hub: RealHub, tmp_path: Path, changed: dict[str, str], words: str
) -> None:
    gateway = gateway_of(hub, tmp_path / "home")
    gateway.environ = {**gateway.environ, **changed}
    gateway.launch()
    try:
        assert gateway.process.wait(60) == 2
        (line,) = gateway.errors().strip().splitlines()
        assert words in line
        assert hub.tokens["QSEC"] not in line
    finally:
        gateway.close()


def test_without_the_option_a_hub_token_means_nothing(hub: RealHub, tmp_path: Path) -> None:
    """Shows that it is the hub's word that opens the door."""
    gateway = gateway_of(hub, tmp_path / "home")
    gateway.arguments = ()
    gateway.start()
    try:
        assert refusal(gateway, hub.user_token("ada")[0])[:2] == (401, "unauthenticated")
    finally:
        gateway.close()


def test_an_auditor_of_a_tenant_called_audit_does_not_read_the_log(hub: RealHub, tmp_path: Path) -> None:
    tenants = TENANTS.replace('id = "classroom"', 'id = "audit"').replace(
        'group = "class"\ntenant = "classroom"', 'group = "class"\ntenant = "audit"\nroles = ["developer", "auditor"]'
    )
    gateway = gateway_of(hub, tmp_path / "home", tenants).start()
    try:
        token = hub.user_token("bob")[0]
        assert take_lease(gateway, token)["tenant"] == "audit"
        assert gateway.get("/api/v1/audit/records?start=0&limit=1", token).status_code == 403
    finally:
        gateway.close()

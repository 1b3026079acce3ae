"""People and services that a real hub deletes: their leases end within moments, whatever holds them."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from jupyter_qsec.adapters.identity.hubaddress import HubAddress
from jupyter_qsec.application.departures import Departures
from tests.contract.postgres import PostgresServer
from tests.fakes.waiting import wait_for
from tests.gateway.livegateway import ControlAccess, GatewayProcess, Issued, LiveGateway
from tests.gateway.manyprocesses import ENDLESS, ProcessesGateway
from tests.gateway.signedcalls import SignedBraket
from tests.hub.conftest import gateway_of, prepare, take_lease
from tests.hub.realhub import RealHub

pytestmark = pytest.mark.xdist_group("hub")

FELT = 4.0
"""Seconds: the two that are promised, and two more for a machine that is busy with other tests."""
UNTOUCHED = 4.0
"""Seconds in which what must not happen, and cannot be waited for, would have happened."""
GONE = "the person is no longer known to the hub"


def hire(hub: RealHub, name: str) -> None:
    hub.drive("POST", f"/users/{name}")
    hub.drive("POST", "/groups/physics/users", {"users": [name]})


def told(gateway: ControlAccess, lease: Issued) -> tuple[int, str]:
    answer = gateway.get("/credentials", lease.token)
    return answer.status_code, answer.json().get("detail", "")


def ends(gateway: ControlAccess, lease: Issued, because: str, *, within: float = FELT) -> None:
    began = time.monotonic()
    refused = wait_for(lambda: seen if (seen := told(gateway, lease))[0] == 403 else None, "the end of the lease", 20)
    assert time.monotonic() - began < within
    assert f"was revoked ({because})" in refused[1]


def revocations(gateway: GatewayProcess, *leases: Issued) -> list[tuple[str, str]]:
    """What the log has of these leases' ends: lease and reason."""
    named = {lease.id for lease in leases}
    size = gateway.get("/api/v1/audit/records?start=0&limit=1").json()["size"]
    newest = gateway.get(f"/api/v1/audit/records?start={max(0, size - 200)}&limit=200").json()["records"]
    ended = [record["event"] for record in newest if record["event"]["kind"] == "lease.revoked"]
    return [(event["lease"], event["details"]["because"]) for event in ended if event["lease"] in named]


def test_the_leases_of_a_deleted_person_end_with_all_that_hangs_on_them(
    hub: RealHub, hub_gateway: GatewayProcess
) -> None:
    hire(hub, "gil")
    token = hub.user_token("gil")[0]
    parent, other = take_lease(hub, hub_gateway, "gil"), take_lease(hub, hub_gateway, "ada")
    fields = {"parent": parent.id, "ttl_seconds": 3600}
    child = Issued(**hub_gateway.post("/api/v1/leases", fields, token=token).json())
    with SignedBraket(hub_gateway, child) as braket:
        braket.create_bell()
        hub.drive("DELETE", "/users/gil")
        for lease in (parent, child):
            ends(hub_gateway, lease, GONE)
        refused = braket.send("POST", "/devices", {"filters": []})
        assert (refused.status_code, GONE in refused.text) == (403, True)
    assert sorted(revocations(hub_gateway, parent, child)) == sorted([(parent.id, GONE), (child.id, GONE)])
    assert told(hub_gateway, other)[0] == 200

    hire(hub, "gil")  # somebody else of that name, or the same person again
    again = take_lease(hub, hub_gateway, "gil")
    assert told(hub_gateway, again)[0] == 200
    assert told(hub_gateway, parent)[0] == 403


async def _nothing(_: Departures) -> None:
    pass


def test_without_the_look_such_leases_live_on(hub: RealHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Departures, "look", _nothing)
    prepare(tmp_path / "home")
    gateway = LiveGateway(tmp_path / "home", hub=HubAddress(hub.api_url, hub.tokens["QSEC"])).start()
    try:
        hire(hub, "joe")
        lease = take_lease(hub, gateway, "joe")
        hub.drive("DELETE", "/users/joe")
        time.sleep(UNTOUCHED)
        assert told(gateway, lease)[0] == 200
    finally:
        gateway.stop()


def test_a_renamed_person_works_on_under_the_new_name_alone(hub: RealHub, hub_gateway: GatewayProcess) -> None:
    hire(hub, "hal")
    token = hub.user_token("hal")[0]
    before = take_lease(hub, hub_gateway, "hal")
    hub.drive("PATCH", "/users/hal", {"name": "halina"})
    ends(hub_gateway, before, GONE)
    after = wait_for(lambda: hub_gateway.post("/api/v1/leases", {}, token=token), "the new name", 5).json()
    assert after["lease"]["principal"] == "hub:halina"


def test_a_person_without_their_servers_token_keeps_what_runs_and_renews_nothing(
    hub: RealHub, hub_gateway: GatewayProcess
) -> None:
    token, token_id = hub.user_token("ada")
    lease = Issued(**hub_gateway.post("/api/v1/leases", {"ttl_seconds": 3600}, token=token).json())
    hub.drive("DELETE", f"/users/ada/tokens/{token_id}")
    renew = f"/api/v1/leases/{lease.id}/renew"
    wait_for(lambda: hub_gateway.post(renew, token=token).status_code == 401, "the end of the token", FELT)
    assert told(hub_gateway, lease)[0] == 200, "it ends as it would have without a heartbeat"


@pytest.fixture
def own_hub(tmp_path: Path) -> Iterator[RealHub]:
    (tmp_path / "hub").mkdir()
    hub = RealHub(tmp_path / "hub").start()
    yield hub
    hub.close()


def test_a_service_that_a_hub_starts_without_has_no_lease_and_nobody_loses_one_meanwhile(
    own_hub: RealHub, tmp_path: Path
) -> None:
    gateway = gateway_of(own_hub, tmp_path / "home").start()
    try:
        body = {"ttl_seconds": 3600}
        service = Issued(**gateway.post("/api/v1/leases", body, token=own_hub.tokens["CI"]).json())
        person = take_lease(own_hub, gateway, "ada")
        own_hub.stop()
        time.sleep(UNTOUCHED)
        assert [told(gateway, lease)[0] for lease in (service, person)] == [200, 200]
        own_hub.environ["HUB_WITHOUT"] = "ci"
        own_hub.start()
        ends(gateway, service, "the service is no longer known to the hub")
        assert told(gateway, person)[0] == 200
        log = "".join(path.read_text() for path in (gateway.home / "logs").glob("*"))
        assert log.count("leases of people who are gone end no sooner than they expire") == 1
        assert log.count("the hub tells again who is gone") == 1
    finally:
        gateway.close()


def _refused(ask: Callable[[], httpx.Response]) -> bool:
    return ask().status_code == 403


def test_several_processes_end_a_lease_once(hub: RealHub, postgres_server: PostgresServer, tmp_path: Path) -> None:
    name = postgres_server.new_database()
    prepare(tmp_path / "home")
    environ: dict[str, Any] = {
        **os.environ,
        "JUPYTER_QSEC_DATABASE_URL": postgres_server.url(name),
        "JUPYTERHUB_API_URL": hub.api_url,
        "JUPYTERHUB_API_TOKEN": hub.tokens["MANY"],
    }
    gateway = ProcessesGateway(tmp_path / "home", ("--processes", "2", "--identity", "hub"), environ)
    try:
        gateway.start()
        gateway.wait_until_full()
        hire(hub, "ivy")
        lease = take_lease(hub, gateway, "ivy")
        for client in gateway.clients():  # both know it as active
            known = client.get("/credentials", headers={"Authorization": f"Bearer {lease.token}"})
            client.close()
            assert known.status_code == 200
        with SignedBraket(gateway, lease) as braket:
            running = braket.create_bell(action=ENDLESS, shots=10)
            hub.drive("DELETE", "/users/ivy")
            # An endless simulation has the processors, and looks that take long are followed by rests.
            ends(gateway, lease, GONE, within=4 * FELT)
        for client in gateway.clients():
            ask = functools.partial(client.get, "/credentials", headers={"Authorization": f"Bearer {lease.token}"})
            wait_for(functools.partial(_refused, ask), "the end of the lease for both", FELT)
            client.close()
        time.sleep(UNTOUCHED)  # a second record would have come
        assert revocations(gateway, lease) == [(lease.id, GONE)]
        assert gateway.post(f"/api/v1/tasks/{running}/cancel").status_code == 200
    finally:
        gateway.close()
        postgres_server.drop_database(name)

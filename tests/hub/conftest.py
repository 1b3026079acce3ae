"""One real hub and one real gateway for the run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes.waiting import wait_for
from tests.gateway.livegateway import ControlAccess, GatewayProcess, Issued
from tests.gateway.manyprocesses import ENDLESS
from tests.gateway.signedcalls import SignedBraket
from tests.hub.realhub import RealHub

PREFIX = "/services/qsec/"
MORE_ROLES = ("viewer", "circuit-author", "benchmark-operator", "backend-operator", "approver", "billing", "service")
"""Each is the name of a group and of its only person as well."""
TENANTS = """
require_mfa = false

[[tenant]]
id = "research"
account = "000000000202"
purpose = "research"
environment = "dev"
limits = { tasks = 500, shots = 1000000, simulator_minutes = 600 }
[[tenant.project]]
id = "other"
[[tenant.project]]
id = "bell"

[[tenant]]
id = "classroom"
account = "000000000303"
purpose = "tutorial"
environment = "sandbox"
[[tenant.project]]
id = "first-steps"

[[member]]
group = "physics"
tenant = "research"
project = "bell"

[[member]]
group = "class"
tenant = "classroom"

[[member]]
group = "auditors"
tenant = "*"
roles = ["auditor"]

[[member]]
group = "leads"
tenant = "research"
roles = ["developer", "workspace-admin"]

[[member]]
group = "responders"
tenant = "*"
roles = ["incident-responder"]

[[member]]
service = "ci"
tenant = "research"
roles = ["service", "developer"]

[[member]]
service = "bare"
tenant = "research"
roles = ["service", "developer"]
""" + "".join(
    f"""
[[member]]
group = "{role}"
tenant = "research"
roles = ["{role}"]
"""
    for role in MORE_ROLES
)


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealHub]:
    hub = RealHub(tmp_path_factory.mktemp("hub")).start()
    yield hub
    hub.close()


def prepare(home: Path, tenants: str = TENANTS) -> None:
    """A state directory with these tenants."""
    home.mkdir(mode=0o700)
    (home / "tenants.toml").touch(mode=0o600)
    (home / "tenants.toml").write_text(tenants)


def gateway_of(hub: RealHub, home: Path, tenants: str = TENANTS, *, proxied: bool = False) -> GatewayProcess:
    """A gateway as a service of the hub, not started yet; `proxied`: where the hub's proxy looks for it."""
    prepare(home, tenants)
    environ = {
        **os.environ,
        "JUPYTERHUB_API_URL": hub.api_url,
        "JUPYTERHUB_API_TOKEN": hub.tokens["QSEC"],
    }
    if proxied:
        environ["JUPYTERHUB_SERVICE_PREFIX"] = PREFIX
    place = ("--port", str(hub.gateway_port)) if proxied else ()
    return GatewayProcess(home, ("--identity", "hub", *place), environ=environ)


@pytest.fixture(scope="session")
def hub_gateway(hub: RealHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    gateway = gateway_of(hub, tmp_path_factory.mktemp("hub-gateway") / "home", proxied=True).start()
    yield gateway
    gateway.close()


def take_lease(hub: RealHub, gateway: ControlAccess, name: str) -> Issued:
    answer = gateway.post("/api/v1/leases", {"ttl_seconds": 3600}, token=hub.user_token(name)[0])
    assert answer.status_code == 201, answer.text
    return Issued(**answer.json())


@dataclass
class Work:
    """What ada does: one task that runs on the only worker, another that waits behind it."""

    gateway: GatewayProcess
    lease: Issued
    braket: SignedBraket
    running: str
    waiting: str

    def one_more(self) -> str:
        return self.braket.create_bell()

    def state(self, task: str) -> str:
        return str(self.gateway.get(f"/api/v1/tasks/{task}").json()["task"]["state"])


@pytest.fixture(scope="module")
def work(hub: RealHub, hub_gateway: GatewayProcess) -> Iterator[Work]:
    lease = take_lease(hub, hub_gateway, "ada")
    with SignedBraket(hub_gateway, lease) as braket:
        made = Work(hub_gateway, lease, braket, braket.create_bell(action=ENDLESS, shots=10), "")
        # What another module left may have the worker still.
        wait_for(lambda: made.state(made.running) == "RUNNING", "the task that keeps the worker", 60)
        made.waiting = braket.create_bell()
        yield made
    hub_gateway.post(f"/api/v1/tasks/{made.running}/cancel")

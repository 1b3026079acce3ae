"""The dashboard through the real hub: who gets in, who sees what, and what buttons do."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.gateway.livegateway import GatewayProcess, Issued
from tests.gateway.manyprocesses import ENDLESS
from tests.gateway.signedcalls import SignedBraket
from tests.hub.realhub import RealHub
from tests.hub.visitor import Visitor, ids

pytestmark = pytest.mark.xdist_group("hub")

Visit = Callable[[str], Visitor]


@pytest.fixture(scope="module")
def visit(hub: RealHub, hub_gateway: GatewayProcess) -> Iterator[Visit]:
    """People who have logged in once."""
    visitors: dict[str, Visitor] = {}

    def logged_in(name: str) -> Visitor:
        if name not in visitors:
            visitors[name] = Visitor(hub, name)
            page = visitors[name].log_in()
            assert page.status_code in (200, 403), page.text
        return visitors[name]

    yield logged_in
    for visitor in visitors.values():
        visitor.close()


def lease_of(hub: RealHub, gateway: GatewayProcess, name: str) -> Issued:
    answer = gateway.post("/api/v1/leases", {"ttl_seconds": 3600}, token=hub.user_token(name)[0])
    assert answer.status_code == 201, answer.text
    return Issued(**answer.json())


@pytest.fixture(scope="module")
def running(hub: RealHub, hub_gateway: GatewayProcess) -> str:
    """A task of ada's that runs until somebody cancels it."""
    with SignedBraket(hub_gateway, lease_of(hub, hub_gateway, "ada")) as braket:
        return braket.create_bell(action=ENDLESS, shots=10)


def test_through_the_hubs_login_to_the_own_tasks_and_cancel_one(
    hub: RealHub, hub_gateway: GatewayProcess, running: str
) -> None:
    ada = Visitor(hub, "ada")
    page = ada.log_in("tasks")
    assert (page.status_code, page.url.path) == (200, "/services/qsec/tasks"), page.text
    assert running in ids(page, "tasks")
    done = ada.press(page, f"tasks/{running}/cancel")
    assert (done.status_code, done.url.path) == (200, f"/services/qsec/tasks/{running}")
    assert "The task is being cancelled." in done.text
    ada.close()

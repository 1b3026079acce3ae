"""A company's hub by `configure` alone: the gateway as two processes on PostgreSQL, and logins that say how they were
made."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from tests.e2e.realserver import RealServer
from tests.fakes.waiting import wait_for
from tests.gateway.manyprocesses import children
from tests.hub.examplehub import PASSWORD, ExampleHub
from tests.hub.realhub import ROOT
from tests.hub.test_single_user import BELL
from tests.hub.visitor import Visitor

pytestmark = [pytest.mark.xdist_group("hub"), pytest.mark.kernel]


AUDITORS = """
[[member]]
group = "physics"
tenant = "*"
roles = ["auditor"]
"""


@pytest.fixture
def company(tmp_path: Path, postgres_url: str) -> Iterator[ExampleHub]:
    tenants = (ROOT / "examples/hub/tenants.toml").read_text()
    tenants = tenants.replace("require_mfa = false", 'claims = { mfa = "amr=mfa" }') + AUDITORS
    config = tmp_path / "company"
    config.mkdir(mode=0o700)
    (config / "tenants.toml").touch(mode=0o600)
    (config / "tenants.toml").write_text(tenants)
    hub = ExampleHub(tmp_path, "private", {"HUB_COMPANY": str(config), "JUPYTER_QSEC_DATABASE_URL": postgres_url})
    try:
        hub.hub.start()
        wait_for(hub.gateway_healthy, "the gateway", 60)
        yield hub
    finally:
        hub.close()


def serving(hub: ExampleHub) -> list[int]:
    """The processes of the gateway that answer requests."""
    [supervisor] = [
        child.pid for child in psutil.Process(hub.hub.pid).children() if "jupyter_qsec.gateway" in child.cmdline()
    ]
    return children(supervisor)


def log_in(hub: ExampleHub) -> None:
    with closing(Visitor(hub.hub, "ada", PASSWORD, prefix="/hub/home")) as visitor:
        assert visitor.log_in().status_code == 200


def reads_the_log(hub: ExampleHub, token: str) -> bool:
    answer = hub.gateway.get("/api/v1/audit/records?limit=1", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code in (200, 403), answer.text
    return answer.status_code == 200


def test_it_works_through_the_loss_of_a_process_and_knows_how_people_logged_in(company: ExampleHub) -> None:
    log_in(company)
    ada = company.person("ada")
    assert not reads_the_log(company, ada.token), "an auditor without a second factor"
    (company.hub.folder / "second-factors").write_text("ada")
    log_in(company)
    wait_for(lambda: reads_the_log(company, ada.token), "the second factor to be known", 10)

    _, client = ada.kernel("bell.ipynb")
    try:
        first, second = serving(company)
        arns = []
        for lost in (0, first, second):
            if lost:
                os.kill(lost, signal.SIGKILL)
            done = RealServer.run(client, BELL)
            assert done.status == "ok", done.text
            arns.append(done.text.split()[1])
            wait_for(lambda: len(serving(company)) == 2, "two processes", 30)
    finally:
        client.stop_channels()
    tasks = company.ask(ada, "tasks")["tasks"]
    assert {task["arn"]: task["state"] for task in tasks} == dict.fromkeys(arns, "COMPLETED")
    assert {task["tenant"] for task in tasks} == {"research"}
    [lease] = [lease for lease in company.ask(ada, "leases")["leases"] if lease["holder"].startswith("kernel:")]
    assert lease["state"] == "active"

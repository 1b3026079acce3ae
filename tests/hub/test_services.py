"""A service of the hub works with nothing but its service token: its jobs have leases of their own, in its own name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.waiting import wait_for
from tests.gateway.livegateway import GatewayProcess
from tests.hub.conftest import take_lease
from tests.hub.realhub import RealHub

pytestmark = pytest.mark.xdist_group("hub")

JOB = """
import json, os
from braket.aws import AwsDevice
from braket.circuits import Circuit
device = AwsDevice("arn:aws:braket:::device/quantum-simulator/amazon/sv1")
task = device.run(Circuit().h(0).cnot(0, 1), shots=20)
print(json.dumps({"counts": task.result().measurement_counts, "arn": task.id, "env": dict(os.environ)}))
"""
WAITS = "import sys; print('here', flush=True); sys.stdin.read()"


def begin_job(gateway: GatewayProcess, home: Path, token: str, code: str, label: str) -> subprocess.Popen[str]:
    """As a service does: the gateway's address and its own token are all that it has."""
    environment = {
        **{name: value for name, value in os.environ.items() if name == "PYTHONPATH"},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "JUPYTER_QSEC_GATEWAY_URL": gateway.url,
        "JUPYTERHUB_API_TOKEN": token,
    }
    return subprocess.Popen(
        ["jupyter-qsec", "exec", "--label", label, "--", sys.executable, "-c", code],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_job(gateway: GatewayProcess, home: Path, token: str) -> tuple[int, str, str]:
    with begin_job(gateway, home, token, JOB, "nightly") as job:
        said, complained = job.communicate(timeout=120)
    return job.returncode, said, complained


def leases_of_ci(gateway: GatewayProcess) -> dict[str, dict[str, Any]]:
    found = {lease["id"]: lease for lease in gateway.get("/api/v1/leases?tenant=research").json()["leases"]}
    return {lease_id: lease for lease_id, lease in found.items() if lease["principal"] == "service:ci"}


def test_a_job_runs_as_the_service_on_a_lease_of_its_own_that_ends_with_it(
    hub: RealHub, hub_gateway: GatewayProcess, tmp_path: Path
) -> None:
    before = leases_of_ci(hub_gateway)
    code, said, complained = run_job(hub_gateway, tmp_path, hub.tokens["CI"])
    assert (code, complained) == (0, "")
    told = json.loads(said)
    assert sum(told["counts"].values()) == 20 and told["counts"].keys() <= {"00", "11"}
    [task] = [task for task in hub_gateway.get("/api/v1/tasks").json()["tasks"] if task["arn"] == told["arn"]]
    assert (task["principal"], task["tenant"], task["project"]) == ("service:ci", "research", "other")
    after = leases_of_ci(hub_gateway)
    assert after.keys() - before.keys() == {task["lease_id"]}, "one lease, which no other job has"
    lease = after[task["lease_id"]]
    assert (lease["label"], lease["state"], lease["revoked_because"]) == ("nightly", "revoked", "the command ended")
    assert hub.tokens["CI"] not in said and "JUPYTERHUB_API_TOKEN" not in told["env"]


def test_two_jobs_at_once_have_a_lease_each_and_the_end_of_one_leaves_the_other(
    hub: RealHub, hub_gateway: GatewayProcess, tmp_path: Path
) -> None:
    jobs = {label: begin_job(hub_gateway, tmp_path, hub.tokens["CI"], WAITS, label) for label in ("first", "second")}
    try:
        for job in jobs.values():
            assert job.stdout is not None
            assert job.stdout.readline() == "here\n"
        held = {lease["label"]: lease for lease in leases_of_ci(hub_gateway).values() if lease["state"] == "active"}
        assert held.keys() >= jobs.keys()
        jobs["first"].communicate(timeout=60)
        now = leases_of_ci(hub_gateway)
        assert [now[held[label]["id"]]["state"] for label in jobs] == ["revoked", "active"]
    finally:
        for job in jobs.values():
            if job.poll() is None:
                job.communicate(timeout=60)
    assert leases_of_ci(hub_gateway)[held["second"]["id"]]["state"] == "revoked"


def test_a_revoked_lease_is_refused_and_the_service_takes_no_other_for_that_job(
    hub: RealHub, hub_gateway: GatewayProcess, tmp_path: Path
) -> None:
    code = f"input()\n{JOB}"
    with begin_job(hub_gateway, tmp_path, hub.tokens["CI"], code, "doomed") as job:

        def its_lease() -> str:
            active = [lease for lease in leases_of_ci(hub_gateway).values() if lease["label"] == "doomed"]
            return str(active[0]["id"]) if active else ""

        lease = wait_for(its_lease, "the lease of the job", 60)
        assert hub_gateway.post(f"/api/v1/leases/{lease}/revoke", {"reason": "drill"}).status_code == 200
        said, complained = job.communicate("go on\n", timeout=120)
    assert (job.returncode, said) == (1, "")
    assert "was revoked" in complained
    assert [lease["state"] for lease in leases_of_ci(hub_gateway).values() if lease["label"] == "doomed"] == ["revoked"]


REFUSED = {
    "STRAY": 'No tenant is mapped to the service stray. An administrator adds a [[member]] with service = "stray"',
    "BARE": "The hub token of bare has neither the scope custom:qsec:write nor custom:qsec:read. Ask for",
    "NOBODY": "The token is not known to the hub.",
}
"""One that has the scope and no tenant, one that has a tenant and no scope, and a token that the hub never gave."""


@pytest.mark.parametrize("name", REFUSED)
def test_who_may_not_is_told_why_in_one_line_and_gets_nothing(
    hub: RealHub, hub_gateway: GatewayProcess, tmp_path: Path, name: str
) -> None:
    token = hub.tokens.get(name, "0" * 32)
    code, said, complained = run_job(hub_gateway, tmp_path, token)
    assert (code, said) == (2, "")
    [line] = complained.splitlines()
    assert line.startswith(f"jupyter-qsec: The gateway cannot be used: {REFUSED[name]}")
    assert token not in line
    principals = {lease["principal"] for lease in hub_gateway.get("/api/v1/leases").json()["leases"]}
    assert f"service:{name.lower()}" not in principals


def test_a_service_reaches_no_lease_of_a_person_in_its_tenant(hub: RealHub, hub_gateway: GatewayProcess) -> None:
    ada = take_lease(hub, hub_gateway, "ada").id
    token = hub.tokens["CI"]
    assert ada not in {lease["id"] for lease in hub_gateway.get("/api/v1/leases", token).json()["leases"]}
    assert hub_gateway.get(f"/api/v1/leases/{ada}", token).status_code == 404
    for deed in ("renew", "revoke"):
        assert hub_gateway.post(f"/api/v1/leases/{ada}/{deed}", token=token).status_code == 404
    assert hub_gateway.get(f"/api/v1/leases/{ada}").json()["lease"]["state"] == "active"

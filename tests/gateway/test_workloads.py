"""A job of a CI system works at a real gateway with nothing but what its issuer says it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.issuer import Issuer
from tests.gateway.livegateway import GatewayProcess

AUDIENCE = "https://qsec.example.org"
SUBJECT = "repo:lab/quantum:ref:refs/heads/main"
TENANTS = """
[[tenant]]
id = "research"
account = "000000000202"
purpose = "research"
environment = "dev"
[[tenant.project]]
id = "nightly"

[[member]]
service = "ci"
tenant = "research"
roles = ["service", "developer"]

[[workload]]
issuer = "ISSUER"
audience = "https://qsec.example.org"
subject = "repo:lab/quantum:*"
service = "ci"
claims = { repository_owner_id = "17" }
"""
JOB = """
import json, os
from braket.aws import AwsDevice
from braket.circuits import Circuit
device = AwsDevice("arn:aws:braket:::device/quantum-simulator/amazon/sv1")
task = device.run(Circuit().h(0).cnot(0, 1), shots=20)
print(json.dumps({"shots": sum(task.result().measurement_counts.values()), "arn": task.id, "env": dict(os.environ)}))
"""


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with Issuer() as issuer:
        yield issuer


@pytest.fixture(scope="module")
def gateway(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    home = tmp_path_factory.mktemp("workloads") / "home"
    home.mkdir(mode=0o700)
    (home / "tenants.toml").write_text(TENANTS.replace("ISSUER", issuer.url))
    gateway = GatewayProcess(home).start()
    yield gateway
    gateway.close()


def token(issuer: Issuer, audience: str = AUDIENCE, **changes: Any) -> str:
    now = int(time.time())
    owner = {"repository_owner_id": "17"}
    good = {"iss": issuer.url, "sub": SUBJECT, "aud": audience, "iat": now, "exp": now + 600, **owner}
    return issuer.sign({**good, **changes})


def run_job(gateway: GatewayProcess, tmp_path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "job.py").write_text(JOB)
    environment = {
        **{name: value for name, value in os.environ.items() if name == "PYTHONPATH"},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}",
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "JUPYTER_QSEC_GATEWAY_URL": gateway.url,
        **variables,
    }
    return subprocess.run(
        ["jupyter-qsec", "exec", "--label", "nightly", "--", sys.executable, str(tmp_path / "job.py")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def check(gateway: GatewayProcess, done: subprocess.CompletedProcess[str], *secrets: str) -> None:
    """The job did its work as the service; its lease says which job it was and has ended; it saw no token."""
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["shots"] == 20
    assert not any(secret in done.stdout + done.stderr for secret in secrets)
    assert not {"JUPYTER_QSEC_TOKEN_FILE", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"} & said["env"].keys()
    [task] = [task for task in gateway.get("/api/v1/tasks").json()["tasks"] if task["arn"] == said["arn"]]
    assert (task["principal"], task["tenant"], task["project"]) == ("service:ci", "research", "nightly")
    lease = gateway.get(f"/api/v1/leases/{task['lease_id']}").json()["lease"]
    assert (lease["label"], lease["state"]) == ("nightly", "revoked")
    assert lease["claims"]["sub"] == SUBJECT
    records = gateway.get("/api/v1/audit/records?limit=1000").json()["records"]
    [issued] = [
        r["event"] for r in records if (r["event"]["kind"], r["event"].get("lease")) == ("lease.issued", lease["id"])
    ]
    assert issued["details"]["claim_sub"] == SUBJECT


def test_a_token_in_a_file_that_somebody_keeps_fresh(gateway: GatewayProcess, issuer: Issuer, tmp_path: Path) -> None:
    shown = token(issuer)
    (tmp_path / "token").write_text(shown + "\n")
    check(gateway, run_job(gateway, tmp_path, JUPYTER_QSEC_TOKEN_FILE=str(tmp_path / "token")), shown)


def test_a_job_of_github_asks_for_its_own(gateway: GatewayProcess, issuer: Issuer, tmp_path: Path) -> None:
    issuer.answers["/job"] = (200, lambda query: {"value": token(issuer, query["audience"][0])})
    bearer = "the-jobs-own-request-token"
    variables = {
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"{issuer.url}/job?api-version=2.0",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": bearer,
    }
    check(gateway, run_job(gateway, tmp_path, **variables, JUPYTER_QSEC_TOKEN_AUDIENCE=AUDIENCE), bearer)
    asked = [path for path in issuer.asked if path.startswith("/job")]
    assert len(asked) == 1, "it is kept for as long as it is good"
    assert "api-version=2.0" in asked[0]
    refused = run_job(gateway, tmp_path, **variables)  # then it is for the gateway's address
    assert refused.returncode != 0
    assert "No workload of tenants.toml" in refused.stderr


@pytest.mark.parametrize("changes", [{"repository_owner_id": "18"}, {"sub": "repo:mallory/quantum:x"}])
def test_another_job_of_the_same_issuer_gets_nothing_and_is_on_record(
    gateway: GatewayProcess, issuer: Issuer, tmp_path: Path, changes: dict[str, str]
) -> None:
    (tmp_path / "token").write_text(token(issuer, **changes))
    done = run_job(gateway, tmp_path, JUPYTER_QSEC_TOKEN_FILE=str(tmp_path / "token"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "No workload of tenants.toml has this token's issuer, audience, subject and claims." in done.stderr
    assert rejections(gateway)


def rejections(gateway: GatewayProcess) -> list[str]:
    records = gateway.get("/api/v1/audit/records?limit=1000").json()["records"]
    return [json.dumps(record) for record in records if "No workload" in json.dumps(record)]


def test_it_sees_its_own_tenant_alone_and_administers_nothing(gateway: GatewayProcess, issuer: Issuer) -> None:
    shown = token(issuer)
    assert gateway.get("/api/v1/status", shown).json()["principal"]["id"] == "service:ci"
    assert gateway.get("/api/v1/audit/records", shown).status_code == 403
    assert gateway.get("/credentials", shown).status_code == 403


def test_other_tokens_than_the_operators_and_workloads_are_unknown(gateway: GatewayProcess) -> None:
    answer = gateway.get("/api/v1/status", "a-hub-token")
    assert (answer.status_code, answer.json()["detail"]) == (401, "The token is not known.")

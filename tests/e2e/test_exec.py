"""`jupyter qsec exec -- python job.py`: a lease for any command, and no credential in its reach."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jupyter_qsec.client.gateways import connect
from jupyter_qsec.client.home import QsecHome
from tests.e2e.realserver import RealServer
from tests.fakes.waiting import wait_for

pytestmark = [pytest.mark.xdist_group("exec")]

COMMAND = str(Path(sys.executable).parent / "jupyter-qsec")

JOB = """
import json, os, sys
import boto3
from braket.aws import AwsDevice
from braket.circuits import Circuit

credentials = boto3.Session().get_credentials().get_frozen_credentials()
print(json.dumps({"key": credentials.access_key, "environment": dict(os.environ)}), flush=True)
device = AwsDevice("arn:aws:braket:::device/quantum-simulator/amazon/sv1")
task = device.run(Circuit().h(0).cnot(0, 1), shots=100)
token_file = os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]
print(json.dumps({
    "counts": task.result().measurement_counts,
    "arn": task.id,
    "token_mode": oct(os.stat(token_file).st_mode & 0o777),
    "folder_mode": oct(os.stat(os.path.dirname(token_file)).st_mode & 0o777),
}))
sys.exit(int(sys.argv[1]))
"""


PLANTED = (RealServer.PLANTED_ID, RealServer.PLANTED_SECRET, RealServer.PLANTED_HUB_TOKEN)


@pytest.fixture
def home(tmp_path: Path) -> QsecHome:
    return QsecHome(tmp_path / "home" / "qsec")


@pytest.fixture
def environment(home: QsecHome) -> dict[str, str]:
    """An empty home directory, and a shell that holds a root credential."""
    home.path.parent.mkdir()
    return {
        **{name: value for name, value in os.environ.items() if name == "PYTHONPATH"},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home.path.parent),
        "LANG": "C.UTF-8",
        "JUPYTER_QSEC_HOME": str(home.path),
        "AWS_ACCESS_KEY_ID": RealServer.PLANTED_ID,
        "AWS_SECRET_ACCESS_KEY": RealServer.PLANTED_SECRET,
        "JUPYTERHUB_API_TOKEN": RealServer.PLANTED_HUB_TOKEN,
    }


def execute(environment: dict[str, str], *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # type: ignore[call-overload, no-any-return]  # options keyword by keyword
        [COMMAND, *arguments], env=environment, capture_output=True, text=True, timeout=120, check=False, **options
    )


def test_a_plain_braket_script_runs_on_a_lease_that_ends_with_it(
    home: QsecHome, environment: dict[str, str], tmp_path: Path
) -> None:
    job = tmp_path / "job.py"
    job.write_text(JOB)
    arguments = ["exec", "--tenant", "research", "--project", "algorithms", "--label", "nightly", "--"]
    done = execute(environment, *arguments, sys.executable, str(job), "7")
    assert done.returncode == 7, done.stderr
    has, told = map(json.loads, done.stdout.splitlines())
    assert has["key"].startswith("ASIA")
    assert sum(told["counts"].values()) == 100 and set(told["counts"]) == {"00", "11"}
    assert (told["token_mode"], told["folder_mode"]) == ("0o600", "0o700")

    everything = json.dumps(has["environment"])
    assert not [secret for secret in PLANTED if secret in everything]
    assert has["environment"]["JUPYTER_DEFAULT_PROVISIONER_NAME"] == "qsec-provisioner"
    assert home.control_token() not in everything
    assert not Path(has["environment"]["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]).exists()
    assert home.running_gateway() is None, "the gateway that was started for it has ended"

    # What was done is on record, and the record verifies.
    listed = execute(environment, "audit", "list", "--format", "json")
    events = [record["event"] for record in json.loads(listed.stdout)]
    (lease,) = {event["lease"] for event in events if told["arn"] in json.dumps(event)} - {""}
    (issued,) = [event for event in events if event["kind"] == "lease.issued"]
    (revoked,) = [event for event in events if event["kind"] == "lease.revoked"]
    assert (issued["lease"], issued["details"]["label"]) == (lease, "nightly")
    assert (revoked["lease"], revoked["details"]["because"]) == (lease, "the command ended")
    assert execute(environment, "audit", "verify").returncode == 0


def test_the_same_script_without_exec_holds_the_root_credential(environment: dict[str, str], tmp_path: Path) -> None:
    job = tmp_path / "job.py"
    job.write_text(JOB)
    nowhere = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_MAX_ATTEMPTS": "1", "AWS_DEFAULT_REGION": "us-east-1"}
    command = [sys.executable, str(job), "7"]
    done = subprocess.run(command, env=environment | nowhere, capture_output=True, text=True, timeout=120, check=False)
    has = json.loads(done.stdout)
    assert has["key"] == RealServer.PLANTED_ID
    assert [secret for secret in PLANTED if secret in json.dumps(has["environment"])] == list(PLANTED)
    assert done.returncode == 1 and "http://127.0.0.1:1" in done.stderr, "it went where its environment said"


def test_the_lease_of_a_killed_exec_dies_by_itself_and_a_second_exec_shares_the_gateway(
    home: QsecHome, environment: dict[str, str]
) -> None:
    waits = "import time; print('up', flush=True); time.sleep(300)"
    gateway = subprocess.Popen([COMMAND, "gateway", "--keystore", "file"], env=environment, stdout=subprocess.DEVNULL)
    holder: subprocess.Popen[str] | None = None
    try:
        running = wait_for(home.running_gateway, "the gateway", 60)
        holder = subprocess.Popen(
            [COMMAND, "exec", "--ttl", "10s", "--label", "doomed", "--", sys.executable, "-c", waits],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert holder.stdout is not None and holder.stdout.readline() == "up\n"
        assert home.running_gateway() == running, "no second gateway"
        with connect(home) as client:
            (lease,) = client.leases(state="active")
            assert lease["label"] == "doomed"

            def renewed() -> bool:
                return client.lease(lease["id"])["expires_at"] > lease["expires_at"]

            wait_for(renewed, "a renewal", 20)
            holder.kill()
            holder.wait(10)
            wait_for(lambda: client.lease(lease["id"])["state"] == "expired", "the end of the lease", 30)
            assert client.lease(lease["id"])["revoked_at"] is None, "nobody was there to revoke it"
    finally:
        if holder is not None:
            # The session of the killed exec: its command lives on, without a lease.
            os.killpg(holder.pid, signal.SIGKILL)
            holder.wait(10)
            if holder.stdout is not None:
                holder.stdout.close()
        gateway.send_signal(signal.SIGTERM)
        assert gateway.wait(30) == 0


def test_a_notebook_that_nbconvert_runs_below_exec_is_protected_too(
    environment: dict[str, str], tmp_path: Path
) -> None:
    source = "import boto3, os\nprint(boto3.Session().get_credentials().access_key[:4], 'AKIA' + 'QSEC7PLANTED5Q2X')"
    cell: dict[str, Any] = {"cell_type": "code", "id": "a", "source": source}
    cell |= {"metadata": {}, "outputs": [], "execution_count": None}
    notebook = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    path = tmp_path / "work.ipynb"
    path.write_text(json.dumps(notebook))
    command = ["exec", "--tenant", "research", "--", "jupyter", "execute", "--inplace", str(path)]
    done = execute(environment, *command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (output,) = json.loads(path.read_text())["cells"][0]["outputs"]
    assert "".join(output["text"]) == "ASIA [REDACTED:aws-access-key]\n"

    # The kernel had the command's lease and no other, and what happened in it is on record.
    listed = json.loads(execute(environment, "audit", "list", "--format", "json").stdout)
    events = {record["event"]["kind"]: record["event"] for record in listed}
    assert [record["event"]["kind"] for record in listed].count("lease.issued") == 1
    assert [events[kind]["tenant"] for kind in ("kernel.started", "finding.reported")] == ["research"] * 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--tenant", "nobody"], "no tenant 'nobody'"), (["--project", "nothing"], "no project")],
)
def test_without_a_lease_the_command_does_not_run(
    environment: dict[str, str], tmp_path: Path, arguments: list[str], words: str
) -> None:
    witness = tmp_path / "ran"
    done = execute(environment, "exec", *arguments, "--", "touch", str(witness))
    assert done.returncode in (1, 2)
    assert words in done.stderr and done.stderr.count("\n") == 1
    assert not witness.exists()

"""The command line against a real gateway with a real task: lists, shows, revokes, verifies, examines."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from jupyter_qsec.client.gateways import connect
from jupyter_qsec.client.home import QsecHome
from jupyter_qsec.client.wire import LeaseAsk
from tests.contract.sqlitefiles import sql
from tests.fakes.waiting import wait_for

pytestmark = [pytest.mark.xdist_group("cli")]

ROOT = Path(__file__).parents[2]
COMMAND = str(Path(sys.executable).parent / "jupyter-qsec")

JOB = """
from braket.aws import AwsDevice
from braket.circuits import Circuit
device = AwsDevice("arn:aws:braket:::device/quantum-simulator/amazon/sv1")
print(device.run(Circuit().h(0), shots=10).result().task_metadata.id)
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty home directory."""
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="module")
def cli(place: Path) -> Run:
    return runner(place)


def runner(place: Path) -> Run:
    """Runs the command with that home directory."""
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(place),
        "LANG": "C.UTF-8",
        "JUPYTER_QSEC_HOME": str(place / "qsec"),
    }

    def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COMMAND, *arguments], env=environment, cwd=cwd, capture_output=True, text=True, timeout=120, check=False
        )

    return run


@pytest.fixture(scope="module")
def gateway(place: Path) -> Iterator[QsecHome]:
    with in_the_foreground(place) as home:
        yield home


@contextmanager
def in_the_foreground(place: Path) -> Iterator[QsecHome]:
    """A gateway as a person runs it in a terminal, and ends it there."""
    home = QsecHome(place / "qsec")
    environment = {"PATH": os.environ["PATH"], "HOME": str(place), "JUPYTER_QSEC_HOME": str(home.path)}
    command = [COMMAND, "gateway", "--keystore", "file"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("The gateway serves http://127.0.0.1:")
        yield home
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert process.returncode == 0


@pytest.fixture(scope="module")
def task_id(cli: Run, gateway: QsecHome) -> str:
    """A task that ran under a lease of `exec`."""
    done = cli("exec", "--label", "nightly", "--", sys.executable, "-c", JOB)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().rpartition("/")[2]


def as_json(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_tasks_are_listed_and_shown(cli: Run, task_id: str) -> None:
    assert task_id[:8] in cli("tasks", "list").stdout
    tasks = as_json(cli("tasks", "list", "--format", "json"))["tasks"]
    listed = next(task for task in tasks if task["id"] == task_id)
    assert (listed["id"], listed["state"], listed["shots"]) == (task_id, "COMPLETED", 10)
    assert as_json(cli("tasks", "show", task_id[:6], "--format", "json"))["task"] == listed


def test_a_task_that_has_ended_cannot_be_cancelled(cli: Run, task_id: str) -> None:
    done = cli("tasks", "cancel", task_id)
    assert done.returncode == 1
    assert done.stderr.startswith("jupyter-qsec: ") and done.stderr.count("\n") == 1


def test_leases_are_listed_and_revoked(cli: Run, gateway: QsecHome, task_id: str) -> None:
    with connect(gateway) as client:
        lease = client.issue_lease(LeaseAsk(tenant="research", label="by hand")).lease
        assert "by hand" in cli("leases", "list", "--tenant", "research").stdout
        done = as_json(cli("leases", "revoke", lease["id"][:10], "--reason", "test", "--format", "json"))
        assert [record["state"] for record in done["leases"]] == ["revoked"]
        assert client.lease(lease["id"])["revoked_because"] == "test"
    assert cli("leases", "list").stdout == "No active leases.\n"
    assert {record["label"] for record in as_json(cli("leases", "list", "--all", "--format", "json"))["leases"]} >= {
        "nightly",
        "by hand",
    }
    assert cli("leases", "revoke", lease["id"]).returncode == 1, "twice is refused"


def test_a_lease_for_no_tenant_tells_which_there_are(cli: Run, gateway: QsecHome) -> None:
    done = cli("exec", "--tenant", "nope", "--", "true")
    assert done.returncode == 2
    assert done.stderr == "jupyter-qsec: There is no tenant 'nope'. There are: sandbox, research.\n"


def test_a_second_gateway_is_refused(cli: Run, gateway: QsecHome) -> None:
    done = cli("gateway")
    assert done.returncode == 2 and "already" in done.stderr


def test_status_audit_and_doctor_agree_that_all_is_well(cli: Run, gateway: QsecHome, task_id: str) -> None:
    status = as_json(cli("gateway", "status", "--format", "json"))
    assert status["state"] == "running" and "key files" in status["status"]["keystore"]
    assert cli("audit", "verify").returncode == 0
    assert task_id in cli("audit", "list", "--format", "json").stdout
    findings = as_json_lenient(cli("doctor", "--format", "json"))
    by_name = {finding["name"]: finding for finding in findings if finding["name"] != "server extension"}
    assert {name for name, finding in by_name.items() if finding["status"] == "wrong"} == set(), findings
    assert f"process {status['pid']}" in by_name["gateway"]["text"]


def test_a_byte_flipped_in_what_a_gateway_recorded_is_named_by_its_record(tmp_path: Path) -> None:
    cli = runner(tmp_path)
    with in_the_foreground(tmp_path) as home:
        assert cli("exec", "--", sys.executable, "-c", JOB).returncode == 0
    assert cli("audit", "verify").stdout.startswith("OK: ")
    records = as_json(cli("audit", "list", "--format", "json"))
    (index,) = [record["index"] for record in records if record["event"]["kind"] == "task.submitted"]
    with sql(home.path) as database:
        (leaf,) = database.execute("SELECT leaf FROM audit_records WHERE idx = ?", (index,)).fetchone()
        flipped = bytes([*leaf[:20], leaf[20] ^ 1, *leaf[21:]])
        database.execute("UPDATE audit_records SET leaf = ? WHERE idx = ?", (flipped, index))
    done = cli("audit", "verify")
    assert done.returncode == 1
    assert f"BAD: Record {index} was changed" in done.stdout
    report = json.loads(cli("audit", "verify", "--format", "json").stdout)
    assert (report["ok"], report["first_bad"]) == (False, index)


def as_json_lenient(done: subprocess.CompletedProcess[str]) -> list[dict[str, str]]:
    """`doctor` exits 1 where the extension is not switched on for the whole environment."""
    assert done.returncode in (0, 1), done.stderr
    findings: list[dict[str, str]] = json.loads(done.stdout)["findings"]
    return findings


def test_the_gateway_in_the_foreground_comes_back_after_kill_9(cli: Run, gateway: QsecHome) -> None:
    info = gateway.running_gateway()
    assert info is not None
    os.kill(info.pid, signal.SIGKILL)

    def again() -> bool:
        running = gateway.running_gateway()
        return running is not None and running.pid != info.pid

    wait_for(again, "the next gateway", 30)
    assert cli("gateway", "status").returncode == 0
    assert cli("audit", "verify").returncode == 0


def test_jupyter_finds_the_command(cli: Run, place: Path) -> None:
    jupyter = Path(sys.executable).parent / "jupyter"
    done = subprocess.run([str(jupyter), "qsec", "--version"], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.startswith("jupyter-qsec, version ")


def readme_commands() -> list[str]:
    """The lines of the README that call the command, without their comments."""
    text = (ROOT / "README.md").read_text("utf-8")
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    return [
        line.removeprefix(".venv/bin/jupyter-qsec ") for line in lines if line.startswith(".venv/bin/jupyter-qsec ")
    ]


def test_the_readme_shows_every_command() -> None:
    shown = {line.split()[0] for line in readme_commands()}
    assert shown == {"exec", "tasks", "leases", "audit", "scan", "secrets", "doctor"}


@pytest.mark.parametrize("line", readme_commands())
def test_a_command_of_the_readme_works_as_it_stands(cli: Run, task_id: str, place: Path, line: str) -> None:
    shutil.copytree(ROOT / "examples", place / "examples", dirs_exist_ok=True)
    done = cli(*line.replace(".venv/bin/python", sys.executable).split(), cwd=place)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() or line.startswith("scan"), "a clean scan may be silent"

"""The hub of `examples/hub` as people use it: their servers, their kernels, their terminals, one gateway for all."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import nbformat
import pytest

from tests.e2e.realserver import RealServer
from tests.fakes.waiting import wait_for
from tests.hub.examplehub import PASSWORD, ExampleHub, Person
from tests.hub.realhub import ROOT
from tests.hub.visitor import Visitor

pytestmark = [pytest.mark.xdist_group("hub"), pytest.mark.kernel]

BELL = """
from braket.aws import AwsDevice
from braket.circuits import Circuit
device = AwsDevice("arn:aws:braket:::device/quantum-simulator/amazon/sv1")
task = device.run(Circuit().h(0).cnot(0, 1), shots=20)
print(sum(task.result().measurement_counts.values()), task.id)
"""
SCRIPTS = Path(sys.executable).parent
LOOK = "import os, json; print(json.dumps(dict(os.environ)))"


Worked = tuple[Person, dict[str, Any], str, dict[str, str]]
"""A person, their kernel, the task that it ran, and what it sees in its environment."""


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExampleHub]:
    example = ExampleHub(tmp_path_factory.mktemp("example"))
    example.hub.start()
    wait_for(example.gateway_healthy, "the gateway", 30)
    announced = example.data / "qsec" / "gateway.json"
    assert announced.exists()
    yield example
    example.close()
    wait_for(lambda: not announced.exists(), "the orderly end of the gateway with its hub", 15)


@pytest.fixture(scope="module")
def worked(example: ExampleHub) -> Worked:
    """Ada, her kernel, the task that it ran, and what it sees in its environment."""
    ada = example.person("ada")
    kernel_id, client = ada.kernel("first.ipynb")
    try:
        done = RealServer.run(client, BELL)
        assert done.status == "ok", done.text
        shots, arn = done.text.split()
        assert shots == "20"
        [kernel] = [kernel for kernel in ada.qsec("kernels")["kernels"] if kernel["kernel_id"] == kernel_id]
        return ada, kernel, arn, json.loads(RealServer.run(client, LOOK).text)
    finally:
        client.stop_channels()


def test_a_task_belongs_to_the_person_and_to_what_the_group_maps_to(worked: Worked) -> None:
    ada, kernel, arn, _ = worked
    [task] = [task for task in ada.qsec("tasks")["tasks"] if task["arn"] == arn]
    assert (task["principal"], task["tenant"], task["project"]) == ("hub:ada", "research", "bell-tests")
    assert task["state"] == "COMPLETED"
    assert kernel["lease"]["state"] == "active"
    assert kernel["lease"]["principal"] == "hub:ada"


def test_one_request_tells_the_gateway_that_all_who_work_are_still_there(example: ExampleHub, worked: Worked) -> None:
    listed, alone = "GET /hub/api/users?", "GET /hub/api/user (qsec@"
    ada, *_ = worked
    headers = {"Authorization": f"Bearer {ada.token}"}
    lease = example.gateway.post("/api/v1/leases", json={}, headers=headers).json()["lease"]
    before = len(example.hub.log())
    wait_for(lambda: example.hub.log()[before:].count(f"200 {listed}") >= 3, "three looks", 20)
    assert alone not in example.hub.log()[before:], "nobody was missing there"
    [known] = [known for known in example.ask(ada, "leases")["leases"] if known["id"] == lease["id"]]
    assert known["state"] == "active"


def test_keep_working_needs_a_login_that_the_identity_provider_still_knows(example: ExampleHub, worked: Worked) -> None:
    ada, kernel, *_ = worked
    ended = example.hub.folder / "ended-logins"

    def keep_working() -> httpx.Response:
        answer: httpx.Response = ada.http.post(f"jupyter-qsec/kernels/{kernel['kernel_id']}/keepalive", json={})
        return answer

    assert keep_working().status_code == 200
    ended.write_text("ada")
    try:
        refusal = wait_for(lambda: answer if (answer := keep_working()).status_code == 401 else None, "a refusal", 10)
        refused = refusal.json()
        assert ada.http.get("jupyter-qsec/status").status_code == 200, "others are not asked anew"
        assert (refused["code"], refused["login_url"]) == ("login-required", "/hub/login?next=/hub/home")
    finally:
        ended.unlink()
    assert wait_for(lambda: keep_working().status_code == 200, "to be known again", 10)
    # The gateway asks for itself, and remembers what the hub said a moment ago.
    wait_for(lambda: ada.http.get("jupyter-qsec/tasks").status_code == 200, "to be known to the gateway, too", 10)


def test_the_dashboard_is_a_service_of_the_hub_whose_certificate_hub_and_proxy_are_told_of(
    example: ExampleHub,
) -> None:
    """In the example, ada is an administrator and bob is in a class."""
    for name, pausable in (("ada", True), ("bob", False)):
        with closing(Visitor(example.hub, name, PASSWORD)) as visitor:
            page = visitor.log_in()
            assert (page.status_code, page.url.path) == (200, "/services/qsec/"), page.text
            assert ("Pause Research" in page.text, "Pause Classroom" in page.text) == (pausable, False)
            assert 'href="/services/qsec/"' in visitor.http.get("/hub/home").text


def test_so_it_is_over_plain_loopback(tmp_path: Path) -> None:
    plain = ExampleHub(tmp_path, "")
    plain.hub.start()
    try:
        with closing(Visitor(plain.hub, "ada", PASSWORD)) as visitor:
            page = visitor.log_in()
            assert (page.status_code, page.url.path) == (200, "/services/qsec/"), page.text
            assert "Pause Research" in page.text
    finally:
        plain.close()


def test_a_proxy_that_was_not_told_sends_the_gateway_nothing(tmp_path: Path) -> None:
    untold = ExampleHub(tmp_path, "untold")
    untold.hub.start()
    try:
        with closing(Visitor(untold.hub, "ada", PASSWORD)) as visitor:
            assert visitor.http.get("/services/qsec/").status_code == 503
        assert "unable to verify the first certificate" in untold.hub.log()
    finally:
        untold.close()


def test_the_kernel_holds_a_lease_and_nothing_of_the_hub(worked: Worked, example: ExampleHub) -> None:
    *_, environment = worked
    assert environment["AWS_ENDPOINT_URL_BRAKET"] == f"{example.gateway_url}/aws/braket"
    fetched_from = environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
    assert fetched_from.startswith("http://127.0.0.1:")
    assert not fetched_from.startswith(example.gateway_url), "credentials come from the own server"
    assert environment["AWS_CA_BUNDLE"] == str(example.ca)
    assert "JUPYTERHUB_API_TOKEN" not in environment
    seen = json.dumps(environment)
    assert not any(token in seen for token in example.hub.tokens.values())


def test_another_groups_person_sees_nothing_of_it(worked: Worked, example: ExampleHub) -> None:
    _, _, arn, _ = worked
    bob = example.person("bob")
    assert [tenant["id"] for tenant in bob.qsec("status")["tenants"]] == ["classroom"]
    assert bob.qsec("tasks")["tasks"] == []
    theirs, none = (
        example.gateway.get(f"/api/v1/tasks/{task_id}", headers={"Authorization": f"Bearer {bob.token}"})
        for task_id in (arn.rpartition("/")[2], "00000000-0000-4000-8000-000000000000")
    )
    assert theirs.status_code == none.status_code == 404


def test_a_terminal_reaches_the_same_gateway(worked: Worked, example: ExampleHub, tmp_path: Path) -> None:
    ada, _, arn, _ = worked

    def qsec(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **example.terminal(ada), **more}
        command = [str(Path(sys.executable).with_name("jupyter-qsec")), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    listed = qsec("tasks", "list", "--format", "json")
    assert arn in {task["arn"] for task in json.loads(listed.stdout)["tasks"]}, listed.stderr
    (tmp_path / "job.py").write_text(BELL)
    done = qsec("exec", "--", sys.executable, str(tmp_path / "job.py"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("20 arn:aws:braket:us-east-1:000000000202:quantum-task/")
    stranger = qsec("tasks", "list", JUPYTER_QSEC_GATEWAY_CA="")
    assert stranger.returncode != 0, "whom nobody vouches for gets no token"
    assert "cannot be reached" in stranger.stderr
    told = qsec("doctor", "--quick")
    assert f"{example.gateway_url}, version" in told.stdout
    assert "you are hub:ada in research" in told.stdout
    assert "lies with the gateway at" in qsec("audit", "verify").stderr
    for command in (["gateway"], ["gateway", "status"]):
        refused = qsec(*command)
        assert refused.returncode == 2
        assert refused.stderr.startswith(f"jupyter-qsec: This account uses the gateway at {example.gateway_url}")
    assert not any(tmp_path.rglob("control.token")), "no gateway of one's own was set up"


def notebook(path: Path, *cells: str) -> Path:
    path.write_text(nbformat.writes(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])))
    return path


def executed(path: Path, command: list[str], environment: dict[str, str]) -> list[str]:
    """What the notebook's cells printed, run by that command."""
    shell = {name: value for name, value in os.environ.items() if name in ("LANG", "PYTHONPATH")}
    done = subprocess.run(
        [*command, "jupyter", "execute", "--inplace", str(path)],
        cwd=path.parent,
        env={**shell, "PATH": f"{SCRIPTS}{os.pathsep}{os.defpath}", "HOME": str(path.parent), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return ["".join(output["text"] for output in cell["outputs"]) for cell in nbformat.read(path, 4)["cells"]]


LEAK = "print('AKIA' + 'QSEC7PLANTED5Q2X')"


def test_a_notebook_below_exec_works_on_its_lease_and_holds_nothing_of_the_hub(
    worked: Worked, example: ExampleHub, tmp_path: Path
) -> None:
    ada, *_ = worked
    exec_ = ["jupyter-qsec", "exec", "--label", "nightly notebook", "--"]
    bell, look, leak = executed(notebook(tmp_path / "n.ipynb", BELL, LOOK, LEAK), exec_, example.terminal(ada))
    seen = json.loads(look)
    assert ada.token not in look and "JUPYTERHUB_API_TOKEN" not in seen
    assert seen["AWS_CA_BUNDLE"] == str(example.ca)
    assert leak == "[REDACTED:aws-access-key]\n"

    [task] = [task for task in ada.qsec("tasks")["tasks"] if task["arn"] == bell.split()[1]]
    assert (task["principal"], task["tenant"], task["project"]) == ("hub:ada", "research", "bell-tests")
    known = {lease["id"]: lease for lease in example.ask(ada, "leases")["leases"]}
    lease = known[task["lease_id"]]
    assert (lease["label"], lease["state"]) == ("nightly notebook", "revoked"), "it ended with the command"
    assert not [other for other in known.values() if other["issued_at"] > lease["issued_at"]], "there is no other"
    [finding] = example.ask(ada, f"findings?lease={lease['id']}")["findings"]
    assert (finding["kind"], finding["action"]) == ("aws-access-key", "redacted")


def test_a_notebook_that_a_terminal_of_the_hub_runs_has_a_lease_of_its_own(
    worked: Worked, example: ExampleHub, tmp_path: Path
) -> None:
    ada, *_ = worked
    protected = {**example.terminal(ada), "JUPYTER_DEFAULT_PROVISIONER_NAME": "qsec-provisioner"}
    bell, look = executed(notebook(tmp_path / "n.ipynb", BELL, LOOK), [], protected)
    assert ada.token not in look
    [task] = [task for task in ada.qsec("tasks")["tasks"] if task["arn"] == bell.split()[1]]
    [lease] = [lease for lease in example.ask(ada, "leases")["leases"] if lease["id"] == task["lease_id"]]
    assert (lease["label"], lease["state"]) == ("kernel python3", "revoked")


def test_without_a_lease_above_it_the_same_notebook_reaches_nothing(
    example: ExampleHub, worked: Worked, tmp_path: Path
) -> None:
    """What `exec` hands on is all that it has: without it there is neither a lease nor a way to one."""
    ada, *_ = worked
    environment = {**example.terminal(ada), "JUPYTER_DEFAULT_PROVISIONER_NAME": "qsec-provisioner"}
    del environment["JUPYTERHUB_API_TOKEN"]
    with pytest.raises(AssertionError, match=r"AccessDenied|Unable to locate credentials|Error when retrieving"):
        executed(notebook(tmp_path / "n.ipynb", "import boto3\nboto3.Session().get_credentials()"), [], environment)


def test_a_revoked_lease_ends_the_kernels_work_and_a_new_one_brings_it_back(worked: Worked) -> None:
    ada, *_ = worked
    kernel_id, client = ada.kernel("second.ipynb")
    try:
        first = RealServer.run(client, BELL)
        assert first.status == "ok", first.text
        ada.http.post(f"jupyter-qsec/kernels/{kernel_id}/lease", json={"action": "revoke"}).raise_for_status()
        refused = RealServer.run(client, BELL)
        assert refused.status == "error"
        assert "was revoked" in refused.text
        ada.http.post(f"jupyter-qsec/kernels/{kernel_id}/lease", json={"action": "new"}).raise_for_status()
        assert RealServer.run(client, BELL).status == "ok"
    finally:
        client.stop_channels()


def tour() -> list[tuple[str, str]]:
    """The commands of the administrator's tour, with where each is typed."""
    text = (ROOT / "docs" / "hub-tour.md").read_text("utf-8")
    blocks = re.findall(r"^```console (\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [(where, line) for where, block in blocks for line in block.splitlines()]


def test_the_administrators_tour_works_as_it_stands(worked: Worked, example: ExampleHub, tmp_path: Path) -> None:
    ada, _, arn, _ = worked
    here = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}", "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    places = {
        "ada": {**here, **example.terminal(ada)},
        "hub": {**here, "JUPYTER_QSEC_HOME": str(example.data / "qsec")},
    }
    said: dict[str, str] = {}
    for where, line in tour():
        done = subprocess.run(
            shlex.split(line), env=places[where], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        said[line] = done.stdout
    assert "hub:ada in research" in said["jupyter qsec doctor --quick"]
    assert arn.rpartition("/")[2][:8] in said["jupyter qsec tasks list"]
    assert ada.token not in said["jupyter qsec exec --label tour -- env"]
    assert said["jupyter qsec audit verify"].startswith("OK: ")
    assert "end of the tour" in said["jupyter qsec audit list"]
    for part in ("hub:ada", "end of the tour", "the command ended"):
        assert part in said["jupyter qsec audit list --kind lease.revoked"], part

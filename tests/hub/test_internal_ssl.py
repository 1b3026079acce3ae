"""A hub with `internal_ssl`: hub, proxy, servers and the gateway prove to each other by the hub's certificates who they
are, and a task of a person's kernel goes that way."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509

from tests.e2e.realserver import RealServer
from tests.fakes.namespaces import namespaces_work
from tests.fakes.waiting import wait_for
from tests.hub.examplehub import PASSWORD, ExampleHub, Person
from tests.hub.test_single_user import BELL, LOOK
from tests.hub.visitor import Visitor

pytestmark = [pytest.mark.xdist_group("hub"), pytest.mark.kernel]

READ_THE_KEY = """
import json, os
try:
    print(json.dumps(bool(open(os.environ["JUPYTERHUB_SSL_KEYFILE"]).read())))
except OSError:
    print("false")
"""


@pytest.fixture(scope="module")
def internal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExampleHub]:
    internal = ExampleHub(tmp_path_factory.mktemp("internal"), "internal")
    internal.hub.start()
    try:
        wait_for(internal.gateway_healthy, "the gateway", 30)
        yield internal
    finally:
        internal.close()


@dataclass
class Worked:
    """Ada, the task that her kernel ran, what it sees in its environment, and whether it read its server's key."""

    ada: Person
    arn: str
    environment: dict[str, str]
    read_the_key: bool


@pytest.fixture(scope="module")
def worked(internal: ExampleHub) -> Worked:
    ada = internal.person("ada")
    _, client = ada.kernel("first.ipynb")
    try:
        done = RealServer.run(client, BELL)
        assert done.status == "ok", done.text
        shots, arn = done.text.split()
        assert shots == "20"
        environment = json.loads(RealServer.run(client, LOOK).text)
        return Worked(ada, arn, environment, json.loads(RealServer.run(client, READ_THE_KEY).text))
    finally:
        client.stop_channels()


def test_it_starts_without_the_dashboard(internal: ExampleHub) -> None:
    """It would not start with it."""
    with closing(Visitor(internal.hub, "ada", PASSWORD)) as visitor:
        assert visitor.http.get("/services/qsec/").status_code == 404


def test_the_gateways_certificate_is_one_that_the_hub_signed(internal: ExampleHub) -> None:
    port = int(internal.gateway_url.rpartition(":")[2])
    trusting = ssl.create_default_context(cafile=internal.ca)
    with (
        socket.create_connection(("127.0.0.1", port), 10) as plain,
        trusting.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
    ):
        presented = x509.load_der_x509_certificate(secured.getpeercert(binary_form=True) or b"")
    authority = x509.load_pem_x509_certificate(internal.ca.read_bytes())
    assert presented.issuer == authority.subject
    presented.verify_directly_issued_by(authority)


def test_a_task_of_a_persons_kernel_goes_through_it(internal: ExampleHub, worked: Worked) -> None:
    ada, arn, environment = worked.ada, worked.arn, worked.environment
    assert environment["AWS_ENDPOINT_URL_BRAKET"] == f"{internal.gateway_url}/aws/braket"
    assert internal.gateway_url.startswith("https://")
    assert environment["AWS_CA_BUNDLE"] == str(internal.ca)
    [task] = ada.qsec("tasks")["tasks"]
    assert (task["arn"], task["state"]) == (arn, "COMPLETED")
    assert (task["principal"], task["tenant"], task["project"]) == ("hub:ada", "research", "bell-tests")
    assert [seen["arn"] for seen in internal.ask(ada, "tasks")["tasks"]] == [arn]


def test_the_server_that_ran_it_is_reached_by_certificates_of_the_hub(internal: ExampleHub, worked: Worked) -> None:
    """What has none of them gets no answer, even with a good token."""
    ada = worked.ada
    routes = [line for line in internal.hub.log().splitlines() if f"Adding user {ada.name} to proxy" in line]
    assert "=> https://127.0.0.1:" in routes[-1]
    port = int(routes[-1].rpartition(":")[2])
    stranger = ssl.create_default_context(cafile=internal.ca)
    with (
        pytest.raises(ssl.SSLError, match=r"certificate required|EOF occurred"),
        socket.create_connection(("127.0.0.1", port), 10) as plain,
        stranger.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
    ):
        secured.sendall(f"GET /user/ada/api/status HTTP/1.0\r\nAuthorization: token {ada.token}\r\n\r\n".encode())
        secured.recv(1)


@pytest.mark.skipif(not namespaces_work(), reason="a kernel that is not confined reads what its server reads")
def test_the_kernel_cannot_read_the_key_of_its_server(worked: Worked) -> None:
    """With it a kernel could pass for its server at the hub, and for the gateway at other servers."""
    assert "PRIVATE KEY" in Path(worked.environment["JUPYTERHUB_SSL_KEYFILE"]).read_text()
    assert not worked.read_the_key


def test_who_does_not_know_the_hubs_authority_sends_nothing_to_the_gateway(
    internal: ExampleHub, worked: Worked, tmp_path: Path
) -> None:
    ada = worked.ada

    def listed(**more: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **internal.terminal(ada), **more}
        command = [str(Path(sys.executable).with_name("jupyter-qsec")), "tasks", "list", "--format", "json"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    assert len(json.loads(listed().stdout)["tasks"]) == 1
    stranger = listed(JUPYTER_QSEC_GATEWAY_CA=str(internal.hub.folder / "tls" / "ca.pem"))
    assert stranger.returncode != 0
    assert stranger.stderr.count("\n") == 1 and "cannot be reached" in stranger.stderr

"""Kernels of other environments than the server's: nothing of this package is in them, and they are protected alike."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from jupyter_client.blocking.client import BlockingKernelClient

from tests.e2e.environments import OtherEnvironment
from tests.e2e.realserver import RealServer
from tests.e2e.test_credentials import BELL, found_in_kernel, search_code, secrets
from tests.fakes.kernel_home import PRIVATE_KEY
from tests.fakes.namespaces import namespaces_work
from tests.fakes.wheels import tiny_wheel

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.xdist_group("environments"),
    pytest.mark.skipif(sys.platform != "linux", reason="looks through /proc"),
]

HOLDS = "import boto3; c = boto3.Session().get_credentials(); print(c.method, c.access_key[:4])"
PRINTS = "print('AKIA' + 'QSEC7PLANTED5Q2X')"


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> OtherEnvironment:
    return OtherEnvironment.make(tmp_path_factory.mktemp("envs") / "quantum", "ipykernel", "amazon-braket-sdk")


@pytest.fixture(scope="module")
def specs(other: OtherEnvironment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of Jupyter with its kernels: started directly, and by a program that activates the environment."""
    folder = tmp_path_factory.mktemp("specs")
    other.add_kernelspec(folder, "direct")
    other.add_kernelspec(folder, "activated", str(other.add_runner()), str(other.prefix))
    return folder


@pytest.fixture(scope="module")
def server(specs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    yield from running(specs, tmp_path_factory, protected=True)


@pytest.fixture(scope="module")
def bare_server(specs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """The same one without the extension."""
    yield from running(specs, tmp_path_factory, protected=False)


def running(specs: Path, folders: pytest.TempPathFactory, *, protected: bool) -> Iterator[RealServer]:
    environment = {"JUPYTER_PATH": str(specs)}
    server = RealServer(folders.mktemp("server") / "home", environment=environment, protected=protected)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module", params=["direct", "activated"])
def kernel_id(server: RealServer, request: pytest.FixtureRequest) -> str:
    server.wait_for_gateway()
    return server.start_session(f"{request.param}.ipynb", request.param)


@pytest.fixture(scope="module")
def client(server: RealServer, kernel_id: str) -> BlockingKernelClient:
    return server.client(kernel_id)


def test_it_runs_in_its_own_environment_without_our_package(
    server: RealServer, client: BlockingKernelClient, other: OtherEnvironment
) -> None:
    code = (
        "import importlib.util, json, os, sys\n"
        "ours = importlib.util.find_spec('jupyter_qsec') is not None\n"
        "print(json.dumps([sys.prefix, os.environ['CONDA_PREFIX'], ours]))"
    )
    assert json.loads(server.run(client, code).text) == [str(other.prefix), str(other.prefix), False]


def test_a_program_that_activates_the_environment_is_heeded(server: RealServer) -> None:
    client = server.client(server.start_session("heeded.ipynb", "activated"))
    code = (
        "import os; print(os.environ['ACTIVATED'], os.environ['PATH'].startswith(os.environ['CONDA_PREFIX'] + '/bin:'))"
    )
    assert server.run(client, code).text == "yes True\n"


@pytest.mark.skipif(not namespaces_work(), reason="needs user namespaces")
def test_it_is_confined(server: RealServer, client: BlockingKernelClient, kernel_id: str) -> None:
    entries = {entry["kernel_id"]: entry for entry in server.qsec("kernels")["kernels"]}
    assert entries[kernel_id]["confinement"] == {"state": "confined", "reasons": []}
    tried = server.run(client, f"print(open({str(server.home / '.aws' / 'credentials')!r}).read())")
    assert tried.status == "error" and "FileNotFoundError" in tried.text


def test_it_holds_the_credentials_of_its_lease_and_no_other(
    server: RealServer, client: BlockingKernelClient, kernel_id: str
) -> None:
    entries = {entry["kernel_id"]: entry for entry in server.qsec("kernels")["kernels"]}
    assert entries[kernel_id]["lease"]["state"] == "active" and not entries[kernel_id]["lease_problem"]
    assert server.run(client, HOLDS).text == "container-role ASIA\n"
    assert found_in_kernel(server.run(client, search_code(*secrets(server))).text) == []


def test_plain_sdk_code_runs(server: RealServer, client: BlockingKernelClient) -> None:
    ran = server.run(client, BELL)
    assert ran.text.strip() == "['00', '11'] 100", ran.text


def test_secrets_come_neither_out_nor_in(server: RealServer, client: BlockingKernelClient) -> None:
    assert server.run(client, PRINTS).text == "[REDACTED:aws-access-key]\n"
    blocked = server.run(client, f"key = '''{PRIVATE_KEY}'''")
    assert blocked.status == "error" and blocked.text.startswith("CellBlocked: line 1: private key")
    assert "NameError" in server.run(client, "key").text, "nothing of the cell was run"


def test_without_the_extension_the_same_kernel_has_and_shows_everything(bare_server: RealServer) -> None:
    client = bare_server.client(bare_server.start_session("bare.ipynb", "direct"))
    assert bare_server.run(client, HOLDS).text == "env AKIA\n"
    assert bare_server.run(client, PRINTS).text == "AKIAQSEC7PLANTED5Q2X\n"
    read = bare_server.run(client, f"print(len(open({str(bare_server.home / '.aws' / 'credentials')!r}).read()) > 0)")
    assert read.text == "True\n"


def test_pip_installs_into_the_kernels_own_environment(
    server: RealServer, client: BlockingKernelClient, other: OtherEnvironment, tmp_path: Path, kernel_id: str
) -> None:
    name = f"qsec_tiny_{kernel_id[:8]}"
    wheel = tiny_wheel(tmp_path, name)
    done = server.run(client, f"%pip install --no-index --no-deps {wheel}")
    assert f"Successfully installed {name.replace('_', '-')}-1.0" in done.text, done.text
    imported = server.run(client, f"import {name}; print({name}.ANSWER, {name}.__file__)")
    assert imported.text == f"42 {other.site_packages / name}.py\n"
    removed = server.run(client, f"%pip uninstall --yes --quiet {name}")
    assert not (other.site_packages / f"{name}.py").exists(), removed.text

"""A gateway whose certificate nobody may accept, as `exec` and a real Jupyter Server meet it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.realserver import RealServer
from tests.e2e.test_degraded import CALL
from tests.fakes.tls_server import BAD, TlsServer, certificates_of_one_authority, serving
from tests.fakes.waiting import wait_for

pytestmark = [pytest.mark.kernel, pytest.mark.xdist_group("degraded")]

COMMAND = str(Path(sys.executable).parent / "jupyter-qsec")


@pytest.fixture(params=BAD)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def gateway(tmp_path: Path, kind: str) -> Iterator[TlsServer]:
    """It would answer whoever asked."""
    with serving(certificates_of_one_authority(tmp_path / "tls") / kind, {"status": "ok"}) as gateway:
        yield gateway


def told_of(gateway: TlsServer, tmp_path: Path) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if name == "PYTHONPATH"},
        "JUPYTER_QSEC_GATEWAY_URL": gateway.url,
        "JUPYTER_QSEC_GATEWAY_CA": str(tmp_path / "tls" / "good" / "ca.pem"),
    }


def test_exec_says_what_is_wrong_in_one_line_and_does_not_run_the_command(
    gateway: TlsServer, tmp_path: Path, kind: str
) -> None:
    ran = tmp_path / "ran"
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "JUPYTERHUB_API_TOKEN": RealServer.PLANTED_HUB_TOKEN,
        **told_of(gateway, tmp_path),
    }
    done = subprocess.run(
        [COMMAND, "exec", "--", "touch", str(ran)],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert BAD[kind] in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert RealServer.PLANTED_HUB_TOKEN not in done.stderr
    assert not ran.exists()
    assert gateway.refused and gateway.was_told == []


def test_a_server_says_what_is_wrong_and_its_kernels_get_no_lease(
    gateway: TlsServer, tmp_path: Path, kind: str
) -> None:
    server = RealServer(tmp_path / "home", environment=told_of(gateway, tmp_path))
    server.start()
    try:

        def failed() -> str:
            condition = server.qsec("status")["gateway"]
            return str(condition["reason"]) if condition["state"] == "failed" else ""

        said = wait_for(failed, "the gateway's failure", 60)
        assert said == f"The qsec gateway cannot be reached ({BAD[kind]}). See 'jupyter qsec doctor'."
        kernel_id = server.start_session()
        assert "answered" not in server.run(server.client(kernel_id), CALL).text
        [entry] = [entry for entry in server.qsec("kernels")["kernels"] if entry["kernel_id"] == kernel_id]
        assert entry["lease"] is None
        assert BAD[kind] in entry["lease_problem"]
    finally:
        server.stop()
    assert gateway.refused and gateway.was_told == []

"""A gateway that cannot start: kernels still start, scrubbed and without a lease, and everything says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.realserver import RealServer
from tests.fakes.waiting import wait_for

pytestmark = [pytest.mark.kernel, pytest.mark.xdist_group("degraded")]

CALL = """
import boto3, time
began = time.monotonic()
try:
    boto3.Session().client("braket").search_quantum_tasks(filters=[])
    print("answered")
except Exception as error:
    print(type(error).__name__, error)
print("SECONDS", round(time.monotonic() - began, 1))
"""


@pytest.fixture(scope="module")
def crippled_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """Its state directory holds policies that do not parse."""
    folder: Path = tmp_path_factory.mktemp("crippled")
    server = RealServer(folder / "home")
    policies = server.qsec_home / "policies"
    policies.mkdir(parents=True)
    server.qsec_home.chmod(0o700)
    (policies / "broken.cedar").write_text("permit (principal, action\n")
    server.start()
    try:
        yield server
    finally:
        server.stop()


def failed(server: RealServer) -> dict[str, str] | None:
    gateway: dict[str, str] = server.qsec("status")["gateway"]
    return gateway if gateway["state"] == "failed" else None


def test_the_kernel_starts_scrubbed_and_every_answer_names_the_reason(crippled_server: RealServer) -> None:
    gateway = wait_for(lambda: failed(crippled_server), "the gateway's failure", 60)
    assert "broken.cedar" in gateway["reason"]

    kernel_id = crippled_server.start_session()
    client = crippled_server.client(kernel_id)
    seen = crippled_server.run(client, "import os; print(sorted(name for name in os.environ if 'SECRET' in name))")
    assert seen.text.strip() == "[]"

    answer = crippled_server.run(client, CALL).text
    assert "answered" not in answer
    assert "gateway" in answer
    assert float(answer.rpartition("SECONDS ")[2]) < 30

    entries = {entry["kernel_id"]: entry for entry in crippled_server.qsec("kernels")["kernels"]}
    assert entries[kernel_id]["lease"] is None
    assert entries[kernel_id]["lease_problem"], json.dumps(entries[kernel_id])


def test_redaction_goes_on_without_a_gateway(crippled_server: RealServer) -> None:
    client = crippled_server.client(crippled_server.start_session("redacted.ipynb"))
    printed = crippled_server.run(client, "print('AKIA' + 'QSEC7EXAMPLE0001')")
    assert printed.text.strip() == "[REDACTED:aws-access-key]"

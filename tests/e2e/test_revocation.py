"""After "revoke" the next Braket call fails, in old sessions and new ones, and says what to do."""

from __future__ import annotations

import time

import pytest

from tests.e2e.realserver import RealServer
from tests.fakes.waiting import wait_for

pytestmark = [pytest.mark.kernel, pytest.mark.xdist_group("revocation")]

EXISTING = """
import boto3
from botocore.exceptions import ClientError
braket = boto3.Session().client("braket")
def call(client):
    try:
        client.search_quantum_tasks(filters=[])
        print("answered")
    except Exception as error:
        print(type(error).__name__, error)
call(braket)
"""


def change_lease(server: RealServer, kernel_id: str, **body: str) -> dict[str, object]:
    answer = server.http.post(f"jupyter-qsec/kernels/{kernel_id}/lease", json=body)
    answer.raise_for_status()
    entry: dict[str, object] = answer.json()
    return entry


def leased(server: RealServer, kernel_id: str) -> bool:
    kernels = {entry["kernel_id"]: entry for entry in server.qsec("kernels")["kernels"]}
    lease = kernels.get(kernel_id, {}).get("lease")
    return bool(lease and lease["state"] == "active")


def test_revoking_acts_on_existing_and_fresh_sessions_and_a_new_lease_helps(shared_server: RealServer) -> None:
    shared_server.wait_for_gateway()
    kernel_id = shared_server.start_session("revoked.ipynb")
    client = shared_server.client(kernel_id)
    wait_for(lambda: leased(shared_server, kernel_id), "the kernel's lease")
    assert shared_server.run(client, EXISTING).text.strip() == "answered"

    change_lease(shared_server, kernel_id, action="revoke")

    began = time.monotonic()
    refused = shared_server.run(client, "call(braket)").text
    assert time.monotonic() - began < 2.0
    assert "AccessDeniedException" in refused
    assert "was revoked" in refused
    assert "New lease" in refused

    fresh = shared_server.run(client, "call(boto3.Session().client('braket'))").text
    assert "answered" not in fresh
    assert "revoked" in fresh

    change_lease(shared_server, kernel_id, action="new", tenant="research")
    assert shared_server.run(client, "call(boto3.Session().client('braket'))").text.strip() == "answered"
    assert "was revoked" in shared_server.run(client, "call(braket)").text, "a revoked lease never comes back"


def test_a_lease_that_is_not_revoked_goes_on_answering(shared_server: RealServer) -> None:
    shared_server.wait_for_gateway()
    kernel_id = shared_server.start_session("kept.ipynb")
    client = shared_server.client(kernel_id)
    wait_for(lambda: leased(shared_server, kernel_id), "the kernel's lease")
    shared_server.run(client, EXISTING)
    assert shared_server.run(client, "call(braket)").text.strip() == "answered"

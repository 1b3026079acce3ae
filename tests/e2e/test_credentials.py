"""The kernel holds a lease, and the root credential occurs nowhere outside the gateway."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.e2e.realserver import RealServer

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.xdist_group("credentials"),
    pytest.mark.skipif(sys.platform != "linux", reason="looks through /proc"),
]

BELL = """
from braket.aws import AwsDevice
from braket.circuits import Circuit
device = AwsDevice("arn:aws:braket:::device/quantum-simulator/amazon/sv1")
counts = device.run(Circuit().h(0).cnot(0, 1), shots=100).result().measurement_counts
print(sorted(counts), sum(counts.values()))
"""

# Looks for the planted values in this very process: environment, every readable page, every mapped file. The values
# are written backwards and pages are searched backwards, so that the search itself never holds what it looks for.
SEARCH = """
import json, os, re
backwards = {backwards!r}
found = []
for name, value in os.environ.items():
    if any(secret in value[::-1] for secret in backwards):
        found.append("environment " + name)
with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
    for line in maps:
        span = None if "[v" in line else re.match("([0-9a-f]+)-([0-9a-f]+) r", line)
        if not span:
            continue
        start, end = int(span[1], 16), int(span[2], 16)
        for at in range(start, end, 16 << 20):
            try:
                memory.seek(at)
                page = memory.read(min(16 << 20, end - at))[::-1]
            except (OSError, ValueError, OverflowError):
                continue
            if any(secret.encode() in page for secret in backwards):
                found.append("memory " + line.split()[-1])
print("FOUND", json.dumps(found))
"""


def search_code() -> str:
    secrets = (RealServer.PLANTED_ID, RealServer.PLANTED_SECRET, RealServer.PLANTED_HUB_TOKEN)
    return SEARCH.replace("{backwards!r}", repr([secret[::-1] for secret in secrets]))


def found_in_kernel(text: str) -> list[str]:
    return list(json.loads(text.rpartition("FOUND ")[2]))


def planted(text: bytes) -> bool:
    secrets = (RealServer.PLANTED_ID, RealServer.PLANTED_SECRET, RealServer.PLANTED_HUB_TOKEN)
    return any(secret.encode() in text for secret in secrets)


def test_the_sdk_runs_on_synthetic_credentials_and_the_root_credential_is_nowhere(shared_server: RealServer) -> None:
    shared_server.wait_for_gateway()
    client = shared_server.client(shared_server.start_session("bell.ipynb"))

    held = shared_server.run(
        client, "import boto3; c = boto3.Session().get_credentials(); print(c.method, c.access_key[:4])"
    )
    assert held.text.strip() == "container-role ASIA"

    ran = shared_server.run(client, BELL)
    assert ran.text.strip() == "['00', '11'] 100", ran.text

    searched = shared_server.run(client, search_code())
    assert found_in_kernel(searched.text) == []

    shared_server.save_notebook("bell.ipynb", []).raise_for_status()
    for folder in (shared_server.qsec_home, shared_server.root, shared_server.runtime):
        for path in folder.rglob("*"):
            if path.is_file():
                assert not planted(path.read_bytes()), path
    assert not planted(shared_server.log.read_bytes())
    for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert not planted(cmdline.read_bytes()), cmdline
        except (FileNotFoundError, ProcessLookupError):
            continue


def test_not_even_its_own_synthetic_credential_is_shown(shared_server: RealServer) -> None:
    shared_server.wait_for_gateway()
    client = shared_server.client(shared_server.start_session("own.ipynb"))
    code = "import boto3; c = boto3.Session().get_credentials().get_frozen_credentials(); print(c)"
    shown = shared_server.run(client, f"{code}; print(c.access_key); print(c.secret_key); print(c.token)").text
    assert "ASIA" not in shown and "qsec1." not in shown and "qsecKey/" not in shown
    assert shown.count("[REDACTED:") == 6, shown


def test_default_credential_files_give_nothing_to_the_kernel(shared_server: RealServer) -> None:
    client = shared_server.client(shared_server.start_session("files.ipynb"))
    answer = shared_server.run(
        client, "import botocore.session; print(botocore.session.Session().full_config.get('profiles'))"
    )
    assert answer.text.strip() == "{}"


def test_without_the_extension_the_same_search_finds_them(unprotected_server: RealServer) -> None:
    client = unprotected_server.client(unprotected_server.start_session("bare.ipynb"))
    searched = unprotected_server.run(client, search_code())
    assert "environment AWS_SECRET_ACCESS_KEY" in found_in_kernel(searched.text)

"""The kernel holds a lease, and the root credential occurs nowhere outside the gateway."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path

import nbformat
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


# What would show a secret, in any kernel that has it.
SHOWS = "import os; print(os.environ.get('AWS_SECRET_ACCESS_KEY'))"
# Takes the server's token into memory, and hands it to a program.
TAKES = """
import glob, json, subprocess, sys
(path,) = glob.glob({runtime!r} + "/jpserver-*.json")
token = json.load(open(path))["token"]
child = subprocess.Popen([sys.executable, "-c", "print('up', flush=True); input()", token], stdin=-1, stdout=-1)
child.stdout.readline()
"""


def secrets(server: RealServer) -> tuple[str, ...]:
    return (server.PLANTED_ID, server.PLANTED_SECRET, server.PLANTED_HUB_TOKEN, server.token)


def search_code(*wanted: str) -> str:
    return SEARCH.replace("{backwards!r}", repr([secret[::-1] for secret in wanted]))


def found_in_kernel(text: str) -> list[str]:
    return list(json.loads(text.rpartition("FOUND ")[2]))


def found_outside(server: RealServer) -> list[str]:
    """The names of files with any of the secrets, and the command lines."""
    own = {server.log, *server.runtime.glob("jpserver-*")}  # where Jupyter Server itself tells its token
    folders = (server.qsec_home, server.root, server.runtime)
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    found = []
    for path in [*files, server.log, *Path("/proc").glob("[0-9]*/cmdline")]:
        wanted = [secret for secret in secrets(server) if secret != server.token or path not in own]
        with suppress(FileNotFoundError, ProcessLookupError):
            content = path.read_bytes()
            found += [path.name] if any(secret.encode() in content for secret in wanted) else []
    return found


def test_the_sdk_runs_on_synthetic_credentials_and_the_root_credential_is_nowhere(shared_server: RealServer) -> None:
    shared_server.wait_for_gateway()
    client = shared_server.client(shared_server.start_session("bell.ipynb"))

    held = shared_server.run(
        client, "import boto3; c = boto3.Session().get_credentials(); print(c.method, c.access_key[:4])"
    )
    assert held.text.strip() == "container-role ASIA"

    ran = shared_server.run(client, BELL)
    assert ran.text.strip() == "['00', '11'] 100", ran.text

    searched = shared_server.run(client, search_code(*secrets(shared_server)))
    assert found_in_kernel(searched.text) == []

    shown = shared_server.run(client, SHOWS)
    assert shown.text == "None\n"
    cells = [ran.cell(BELL), searched.cell(SEARCH), shown.cell(SHOWS)]
    shared_server.save_notebook("bell.ipynb", cells).raise_for_status()
    saved = (shared_server.root / "bell.ipynb").read_text("utf-8")
    assert "['00', '11'] 100" in saved and "FOUND" in saved, "what the cells gave is in the file"
    assert found_outside(shared_server) == []


def test_not_even_its_own_synthetic_credential_is_shown(shared_server: RealServer) -> None:
    shared_server.wait_for_gateway()
    client = shared_server.client(shared_server.start_session("own.ipynb"))
    code = "import boto3; c = boto3.Session().get_credentials().get_frozen_credentials(); print(c)"
    shown = shared_server.run(client, f"{code}; print(c.access_key); print(c.secret_key); print(c.token)").text
    assert "ASIA" not in shown and "qsec1." not in shown and "qsecKey/" not in shown
    assert shown.count("[REDACTED:") == 6, shown


# In the ways in which a program shows something by accident, or somebody who tries.
IN_OTHER_FORMS = """
import base64, json, urllib.parse, boto3
c = boto3.Session().get_credentials().get_frozen_credentials()
for secret in (c.secret_key, c.token):
    raw = secret.encode()
    print(secret[::-1])
    print(raw.hex(), raw.hex(":"))
    print(base64.b64encode(b"a" + raw).decode(), base64.encodebytes(raw * 3).decode())
    print("-".join(secret), list(secret))
    print(urllib.parse.quote(secret, safe=""), json.dumps({"s": secret}))
"""


def test_its_own_credentials_are_known_exactly_in_every_form(shared_server: RealServer) -> None:
    shared_server.wait_for_gateway()
    client = shared_server.client(shared_server.start_session("forms.ipynb"))
    shown = shared_server.run(client, IN_OTHER_FORMS).text
    lines = [line for line in shown.splitlines() if line.strip()]
    assert lines and all("[REDACTED:aws-se" in line or set(line) <= set(" [],'\"{}s:=") for line in lines), shown
    assert {"[REDACTED:aws-secret-key]", "[REDACTED:aws-session-token]"} <= set(shown.replace('"', " ").split())
    kept = shared_server.run(client, "open('reversed.txt', 'w').write(c.secret_key[::-1]); print('written')")
    assert kept.text == "written\n"
    reversed_key = (shared_server.root / "reversed.txt").read_text()
    assert len(reversed_key) == 40, "what the test goes by"
    assert reversed_key not in shown


def test_a_save_knows_them_too(shared_server: RealServer) -> None:
    shared_server.wait_for_gateway()
    client = shared_server.client(shared_server.start_session("saved.ipynb"))
    code = (
        "import boto3; c = boto3.Session().get_credentials(); open('hex.txt', 'w').write(c.secret_key.encode().hex())"
    )
    shared_server.run(client, code)
    text = (shared_server.root / "hex.txt").read_text()
    assert len(text) == 80, "what the test goes by"
    cell = dict(nbformat.v4.new_markdown_cell(f"noted: {text}"))
    shared_server.save_notebook("saved.ipynb", [cell]).raise_for_status()
    saved = (shared_server.root / "saved.ipynb").read_text("utf-8")
    assert text not in saved and "[REDACTED:aws-secret-key]" in saved


def test_default_credential_files_give_nothing_to_the_kernel(shared_server: RealServer) -> None:
    client = shared_server.client(shared_server.start_session("files.ipynb"))
    answer = shared_server.run(
        client, "import botocore.session; print(botocore.session.Session().full_config.get('profiles'))"
    )
    assert answer.text.strip() == "{}"


def test_without_the_extension_the_same_search_finds_them(unprotected_server: RealServer) -> None:
    server = unprotected_server
    client = server.client(server.start_session("bare.ipynb"))
    searched = server.run(client, search_code(*secrets(server)))
    assert "environment AWS_SECRET_ACCESS_KEY" in found_in_kernel(searched.text)
    assert found_outside(server) == []

    taken = server.run(client, TAKES.replace("{runtime!r}", repr(str(server.runtime))))
    assert taken.status == "ok", taken.text
    places = found_in_kernel(server.run(client, search_code(server.token)).text)
    assert places and all(place.startswith("memory ") for place in places)
    assert found_outside(server) == ["cmdline"]
    server.run(client, "child.communicate()")

    server.save_notebook("bare.ipynb", [server.run(client, SHOWS).cell(SHOWS)]).raise_for_status()
    assert "bare.ipynb" in found_outside(server)

"""The first notebook where there is no network: server, gateway and kernel in a namespace with loopback alone."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.offline import FORBIDDEN

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.xdist_group("offline"),
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a program leave the network"),
]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the run in there tells."""
    command = [sys.executable, "-m", "tests.e2e.offline", str(tmp_path_factory.mktemp("offline"))]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=170, check=False)
    if done.returncode == FORBIDDEN:
        pytest.skip(f"this system lets no program make a network namespace of its own: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_there_is_no_network(told: dict[str, Any]) -> None:
    assert told["interfaces"] == ["lo"]
    assert told["attempt"] == errno.ENETUNREACH


def test_plain_sdk_code_runs_and_its_plot_is_drawn(told: dict[str, Any]) -> None:
    printed = told["texts"]["run"]
    assert printed.startswith("Counter({") and "'00'" in printed and "'11'" in printed
    assert any("image/png" in message["content"].get("data", {}) for message in told["messages"]["plot"])


def test_the_magics_submit_and_tell_the_lease(told: dict[str, Any]) -> None:
    ghz = json.dumps(told["messages"]["ghz"])
    assert "completed in" in ghz and "arn:aws:braket:us-east-1:" in ghz and "<svg" in ghz
    assert "'000'" in told["texts"]["ghz-counts"] and "'111'" in told["texts"]["ghz-counts"]
    assert "Lease " in told["texts"]["status"] and told["texts"]["status"].count("COMPLETED") == 2


def test_the_kernel_is_confined_there_too(told: dict[str, Any]) -> None:
    assert told["confinement"] == {"state": "confined", "reasons": []}


def test_nothing_complains(told: dict[str, Any]) -> None:
    contents = [message["content"] for messages in told["messages"].values() for message in messages]
    assert [content for content in contents if content.get("name") == "stderr"] == []

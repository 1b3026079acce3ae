"""Each limit of a quota at a real gateway: what fits is taken, what is beyond it is refused and on record; with the
limit switched off it is taken, too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from jupyter_qsec.domain.quota import Metric
from tests.gateway.livegateway import LiveGateway
from tests.gateway.rawhttp import Answer, SignedClient, kind
from tests.gateway.test_controls_off import submission_body, without_limits

TENANT = """
[[tenant]]
id = "sandbox"
name = "Sandbox"
account = "000000000101"
purpose = "tutorial"
environment = "sandbox"
limits = {{ {limit} }}
[[tenant.project]]
id = "first"
name = "First"
"""


def layers(count: int) -> str:
    """OpenQASM for which some seconds per layer are reserved."""
    source = "OPENQASM 3;\nqubit[24] q;\n" + "h q;\n" * count
    return json.dumps({"braketSchemaHeader": {"name": "braket.ir.openqasm.program", "version": "1"}, "source": source})


@dataclass(frozen=True)
class Limit:
    metric: Metric
    setting: str
    """As it stands in tenants.toml. Two of the submissions fit."""
    submission: dict[str, Any]
    words: str
    """Of the refusal."""


LIMITS = [
    Limit(Metric.TASKS, "tasks = 2", {"shots": 1}, "2 tasks"),
    Limit(Metric.SHOTS, "shots = 250", {"shots": 100}, "250 shots"),
    Limit(Metric.SIMULATOR_MS, "simulator_minutes = 1", {"action": layers(70)}, "60000 ms of simulator time"),
]


@pytest.fixture(params=LIMITS, ids=lambda limit: limit.metric.value)
def limit(request: pytest.FixtureRequest) -> Limit:
    found: Limit = request.param
    return found


@pytest.fixture
def gateway(limit: Limit, tmp_path: Path) -> Iterator[LiveGateway]:
    """Its one tenant has the limit; nothing runs, so that what was reserved stays so."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    tenants = home / "tenants.toml"
    tenants.touch(mode=0o600)
    tenants.write_text(TENANT.format(limit=limit.setting))
    gateway = LiveGateway(home).start()
    gateway.pause("sandbox")
    yield gateway
    gateway.stop()


def submit(braket: SignedClient, limit: Limit) -> Answer:
    return braket.send("POST", "/quantum-task", submission_body(**limit.submission))


def filled(gateway: LiveGateway, limit: Limit) -> SignedClient:
    """Somebody for whose next submission there is no room."""
    braket = SignedClient.of(gateway, gateway.lease())
    assert [submit(braket, limit).status for _ in range(2)] == [201, 201]
    return braket


def used(gateway: LiveGateway, metric: Metric) -> int:
    usages = gateway.get("/api/v1/quotas?tenant=sandbox").json()["usages"]
    (found,) = [usage for usage in usages if (usage["scope"], usage["metric"]) == ("tenant:sandbox", metric)]
    return int(found["used"])


def test_what_is_beyond_the_limit_is_refused_in_its_words_and_on_record(gateway: LiveGateway, limit: Limit) -> None:
    braket = filled(gateway, limit)
    before = used(gateway, limit.metric)
    answer = submit(braket, limit)
    assert (answer.status, kind(answer)) == (402, "ServiceQuotaExceededException")
    assert limit.words in answer.text
    (refused,) = [event for event in gateway.events() if event["kind"] == "task.refused"]
    assert refused["outcome"] == "denied" and limit.words in json.dumps(refused)
    assert used(gateway, limit.metric) == before > 0
    assert len(gateway.get("/api/v1/tasks").json()["tasks"]) == 2, "the refused one is no task"


def test_without_limits_it_is_taken(gateway: LiveGateway, limit: Limit, monkeypatch: pytest.MonkeyPatch) -> None:
    without_limits(monkeypatch)
    assert submit(filled(gateway, limit), limit).status == 201

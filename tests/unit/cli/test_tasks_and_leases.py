"""`tasks`, `leases` and `gateway status` against a control API that answers what the test says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest

from jupyter_qsec.cli.main import run
from jupyter_qsec.cli.output import (
    Duration,
    age,
    by_prefix,
    emit_table,
    gateway_client,
    plain,
    require_tenant,
    there_are,
)
from jupyter_qsec.client.home import QsecHome
from jupyter_qsec.domain.errors import InvalidRequestError, NotFoundError
from tests.fakes.control_server import ControlServer

NOW = datetime.now(UTC)
IDS = ("3f2a0000-0000-4000-8000-000000000001", "3f2b0000-0000-4000-8000-000000000002")
RESEARCH = {"id": "research", "projects": [{"id": "qec", "name": "QEC"}]}


def text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def task(identifier: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": identifier,
        "arn": f"arn:aws:braket:us-east-1:000000000101:quantum-task/{identifier}",
        "tenant": "sandbox",
        "project": "first-steps",
        "principal": "os:ada",
        "lease_id": "l1",
        "state": "QUEUED",
        "device_arn": "arn:aws:braket:::device/quantum-simulator/amazon/sv1",
        "device_name": "SV1",
        "shots": 1000,
        "qubits": 2,
        "created_at": text(NOW - timedelta(hours=75)),
        "queued_at": None,
        "started_at": None,
        "ended_at": None,
        "estimate_usd": "0.0038",
        "cost_usd": None,
        "duration_ms": None,
        "failure_reason": "",
        "tags": {"team": "a"},
        "waiting": [{"code": "fair-turn", "text": "2 tasks of other tenants go first"}],
        "output_s3_uri": "s3://bucket/tasks",
    } | changes


def lease(identifier: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": identifier,
        "principal": "os:ada",
        "tenant": "sandbox",
        "project": "first-steps",
        "label": "kernel python3",
        "holder": "kernel:k",
        "parent": "",
        "state": "active",
        "issued_at": text(NOW - timedelta(hours=2, minutes=30)),
        "expires_at": text(NOW + timedelta(hours=5)),
        "max_expires_at": text(NOW + timedelta(hours=10)),
        "ttl_seconds": 300,
        "revoked_at": None,
        "revoked_because": "",
        "confinement": "confined",
    } | changes


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ControlServer]:
    monkeypatch.setenv("JUPYTER_QSEC_HOME", str(tmp_path / "qsec"))
    server = ControlServer(QsecHome(tmp_path / "qsec"))
    yield server
    server.close()


def test_tasks_are_a_readable_table(server: ControlServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.routes["GET /api/v1/tasks"] = (200, {"tasks": [task(IDS[0]), task(IDS[1], state="COMPLETED", waiting=[])]})
    assert run(["tasks", "list", "--tenant", "sandbox", "--state", "queued"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["TASK", "STATE", "DEVICE", "SHOTS", "COST", "USD", "TENANT", "AGE", "WAITS", "FOR"]
    assert lines[1].split()[:5] == ["3f2a0000", "QUEUED", "SV1", "1000", "~0.0038"]
    assert lines[1].endswith("3 d  2 tasks of other tenants go first")
    assert server.asked == ["GET /api/v1/tasks?tenant=sandbox&state=QUEUED&limit=20"]


def test_nothing_is_said_to_be_nothing(server: ControlServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.routes["GET /api/v1/tasks"] = (200, {"tasks": []})
    assert run(["tasks", "list"]) == 0
    assert capsys.readouterr().out == "No tasks.\n"


@pytest.mark.parametrize("given", ["3f2a", "3F2A0000", IDS[0], f"arn:aws:braket:us-east-1:1:quantum-task/{IDS[0]}"])
def test_a_task_may_be_named_in_any_way(server: ControlServer, capsys: pytest.CaptureFixture[str], given: str) -> None:
    server.routes["GET /api/v1/tasks"] = (200, {"tasks": [task(IDS[0]), task(IDS[1])]})
    server.routes[f"GET /api/v1/tasks/{IDS[0]}"] = (200, {"task": task(IDS[0])})
    assert run(["tasks", "show", given]) == 0
    shown = capsys.readouterr().out
    assert IDS[0] in shown and "2 tasks of other tenants go first" in shown and "team=a" in shown


@pytest.mark.parametrize(("given", "code", "words"), [("3f2", 2, "2 tasks begin with"), ("77", 1, "There is no task")])
def test_an_ambiguous_or_unknown_beginning_cancels_nothing(
    server: ControlServer, capsys: pytest.CaptureFixture[str], given: str, code: int, words: str
) -> None:
    server.routes["GET /api/v1/tasks"] = (200, {"tasks": [task(IDS[0]), task(IDS[1])]})
    assert run(["tasks", "cancel", given]) == code
    assert words in capsys.readouterr().err
    assert not [asked for asked in server.asked if asked.startswith("POST")]


def test_cancelling_prints_the_task_as_json(server: ControlServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.routes[f"POST /api/v1/tasks/{IDS[0]}/cancel"] = (200, {"task": task(IDS[0], state="CANCELLED")})
    assert run(["tasks", "cancel", IDS[0], "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["task"]["state"] == "CANCELLED"


def test_a_refusal_exits_1_with_the_gateways_words(server: ControlServer, capsys: pytest.CaptureFixture[str]) -> None:
    refusal = {"code": "conflict", "detail": "Task is COMPLETED.", "remedy": "Nothing to do."}
    server.routes[f"POST /api/v1/tasks/{IDS[0]}/cancel"] = (409, refusal)
    assert run(["tasks", "cancel", IDS[0]]) == 1
    assert capsys.readouterr().err == "jupyter-qsec: Task is COMPLETED. Nothing to do.\n"


def test_leases_are_listed(server: ControlServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.routes["GET /api/v1/leases"] = (200, {"leases": [lease("9c1e" * 8)]})
    assert run(["leases", "list"]) == 0
    line = capsys.readouterr().out.splitlines()[1]
    assert line.startswith("9c1e9c1e  active  sandbox  first-steps  kernel python3  2 h") and "in 4 h" in line
    assert server.asked == ["GET /api/v1/leases?state=active"]


def test_all_leases_are_revoked_even_if_one_is_already(
    server: ControlServer, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = ["9c1e" * 8, "77b0" * 8, "aaaa" * 8]
    reasons: list[str] = []

    def revoke(query: str, body: Any) -> tuple[int, Any]:
        reasons.append(body["reason"])
        return 200, {"lease": lease(ids[0], state="revoked", revoked_because=body["reason"])}

    server.routes["GET /api/v1/leases"] = (200, {"leases": [lease(identifier) for identifier in ids]})
    server.routes[f"POST /api/v1/leases/{ids[0]}/revoke"] = revoke
    server.routes[f"POST /api/v1/leases/{ids[1]}/revoke"] = (409, {"code": "conflict", "detail": "revoked already"})
    server.routes[f"POST /api/v1/leases/{ids[2]}/revoke"] = revoke
    assert run(["leases", "revoke", "--all", "--reason", "laptop stolen", "--format", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["leases"]) == 2
    assert reasons == ["laptop stolen"] * 2


@pytest.mark.parametrize("arguments", [[], ["9c1e", "--all"]])
def test_revoking_wants_to_know_exactly_what(server: ControlServer, arguments: list[str]) -> None:
    assert run(["leases", "revoke", *arguments]) == 2
    assert not server.asked


def test_one_lease_by_its_beginning(server: ControlServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.routes["GET /api/v1/leases"] = (200, {"leases": [lease("9c1e" * 8), lease("77b0" * 8)]})
    server.routes[f"POST /api/v1/leases/{'77b0' * 8}/revoke"] = (200, {"lease": lease("77b0" * 8, state="revoked")})
    assert run(["leases", "revoke", "77"]) == 0
    assert "77b077b0  revoked" in capsys.readouterr().out


@pytest.mark.parametrize("given", ["9c1e", "9C1E9C1E", "9c1e" * 8])
def test_tasks_of_a_lease_by_its_beginning(server: ControlServer, given: str) -> None:
    server.routes["GET /api/v1/leases"] = (200, {"leases": [lease("9c1e" * 8, state="expired"), lease("77b0" * 8)]})
    server.routes["GET /api/v1/tasks"] = (200, {"tasks": [task(IDS[0])]})
    assert run(["tasks", "list", "--lease", given]) == 0
    assert server.asked[-1] == f"GET /api/v1/tasks?lease={'9c1e' * 8}&limit=20"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tasks", "list", "--lease", "ffff"], "There is no lease ffff. There are: 9c1e9c1e."),
        (["tasks", "list", "--tenant", "nope"], "There is no tenant 'nope'. There are: sandbox, research."),
        (["leases", "list", "--tenant", "nope"], "There is no tenant 'nope'. There are: sandbox, research."),
        (["leases", "revoke", "--all", "--tenant", "x"], "There is no tenant 'x'. There are: sandbox, research."),
    ],
)
def test_a_filter_that_names_nothing_is_an_error_that_tells_what_there_is(
    server: ControlServer, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    everything = [] if "--tenant" in arguments else [lease("9c1e" * 8)]
    server.routes["GET /api/v1/leases"] = (200, {"leases": everything})
    server.routes["GET /api/v1/tasks"] = (200, {"tasks": []})
    server.routes["GET /api/v1/status"] = (200, {"tenants": [{"id": "sandbox", "projects": []}, RESEARCH]})
    assert run(arguments) == 2
    assert capsys.readouterr() == ("", f"jupyter-qsec: {said}\n")


def test_a_tenant_without_tasks_is_no_error(server: ControlServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.routes["GET /api/v1/tasks"] = (200, {"tasks": []})
    server.routes["GET /api/v1/status"] = (200, {"tenants": [RESEARCH]})
    assert run(["tasks", "list", "--tenant", "research"]) == 0
    assert capsys.readouterr().out == "No tasks.\n"


def test_a_project_that_a_tenant_does_not_have_is_named_with_those_it_has(server: ControlServer) -> None:
    server.routes["GET /api/v1/status"] = (200, {"tenants": [RESEARCH]})
    with gateway_client() as client:
        require_tenant(client, "research", "qec")
        with pytest.raises(InvalidRequestError, match=r"Tenant research has no project 'x'. There are: qec."):
            require_tenant(client, "research", "x")
    assert there_are(map(str, range(12))).endswith("8, 9 and 2 more.")


def test_status_of_a_gateway(server: ControlServer, capsys: pytest.CaptureFixture[str]) -> None:
    status = {
        "version": "1",
        "instance": "ab",
        "started_at": text(NOW),
        "keystore": "key files",
        "principal": {"id": "os:ada", "name": "ada", "roles": []},
        "tenants": [{"id": "sandbox", "name": "Sandbox", "account": "1", "projects": []}],
        "tasks": {"running": 1, "waiting": 2},
    }
    server.routes["GET /api/v1/status"] = (200, status)
    assert run(["gateway", "status"]) == 0
    shown = capsys.readouterr().out
    assert "running" in shown and f"http://127.0.0.1:{server.port}" in shown and "1 running, 2 waiting" in shown
    server.routes["GET /health"] = (503, {"code": "unavailable", "detail": "disk full"})
    assert run(["gateway", "status", "--format", "json"]) == 1
    assert json.loads(capsys.readouterr().out)["state"] == "unhealthy"


def test_without_a_gateway_every_question_says_how_to_start_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JUPYTER_QSEC_HOME", str(tmp_path / "none"))
    for arguments in (["tasks", "list"], ["leases", "list"]):
        assert run(arguments) == 2
        assert "jupyter qsec gateway" in capsys.readouterr().err
    assert run(["gateway", "status"]) == 1
    assert not (tmp_path / "none").exists(), "asking makes nothing"


def test_a_table_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    emit_table(("A",), [["\x1b[2J\u202egnp.exe\x07\n"]], empty="")
    assert capsys.readouterr().out == "A\n\\x1b[2J\\u202egnp.exe\\x07\\n\n"
    assert plain("naïve Ω") == "naïve Ω"
    assert plain("\ud800") == "\\ud800", "half of a surrogate pair has no encoding"


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7199, "1 h"), (200_000, "2 d"), (-90, "in 1 min")]
)
def test_ages(seconds: int, said: str) -> None:
    assert age(text(NOW - timedelta(seconds=seconds)), NOW) == said


def test_ages_of_nothing() -> None:
    assert (age(None), age(""), age("soon")) == ("", "", "soon")


@pytest.mark.parametrize(("given", "seconds"), [("90", 90), ("90s", 90), ("5m", 300), ("12h", 43_200)])
def test_durations(given: str, seconds: int) -> None:
    assert Duration().convert(given, None, None).total_seconds() == seconds


@pytest.mark.parametrize("given", ["", "0", "-1", "1d", "5 minutes", "m", "9999999999"])
def test_what_is_no_duration(given: str) -> None:
    with pytest.raises(click.BadParameter, match="15m"):
        Duration().convert(given, None, None)


@pytest.mark.parametrize(("given", "words"), [("59", "too short: at least 1m."), ("121m", "too long: at most 2h.")])
def test_a_duration_out_of_bounds(given: str, words: str) -> None:
    bounded = Duration(timedelta(minutes=1), timedelta(hours=2))
    assert [bounded.convert(edge, None, None) for edge in ("1m", "2h")] == [timedelta(minutes=1), timedelta(hours=2)]
    with pytest.raises(click.BadParameter, match=words):
        bounded.convert(given, None, None)


def test_prefixes() -> None:
    assert by_prefix("ab", ["abc", "xyz"], "lease") == "abc"
    assert by_prefix("abc", ["abc", "abcd"], "lease") == "abc", "a whole id is never ambiguous"
    with pytest.raises(NotFoundError):
        by_prefix("q", ["abc"], "lease")
    with pytest.raises(InvalidRequestError):
        by_prefix("", ["abc"], "lease")

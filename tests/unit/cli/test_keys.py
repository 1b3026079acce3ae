"""`keys list` and `keys rotate` against a control API that answers what the test says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jupyter_qsec.cli import checks_machine
from jupyter_qsec.cli.main import run
from jupyter_qsec.client.home import QsecHome
from tests.fakes.control_server import ControlServer

NOW = datetime.now(UTC)


def secret(name: str, generation: int = 1, *, days: int = 1, **changes: Any) -> dict[str, Any]:
    made = NOW - timedelta(days=days)
    return {
        "name": name,
        "generation": generation,
        "state": "present",
        "created_at": made.isoformat(),
        "starts_at": made.isoformat(),
        "due_at": (made + timedelta(days=90)).isoformat(),
        "principal": "os:ada",
        "because": "first start",
    } | changes


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ControlServer]:
    home = tmp_path / "home"
    monkeypatch.setenv("JUPYTER_QSEC_HOME", str(home))
    made = ControlServer(QsecHome(home))
    yield made
    made.close()


def told(server: ControlServer, *secrets: dict[str, Any]) -> None:
    server.routes["GET /api/v1/root-secrets"] = (200, {"place": "key files below keys", "secrets": list(secrets)})


def test_age_state_and_place_are_shown(server: ControlServer, capsys: pytest.CaptureFixture[str]) -> None:
    told(server, secret("audit-log", days=200, due_at=None), secret("leases", days=3))
    assert run(["keys", "list"]) == 0
    shown = capsys.readouterr().out
    assert "200 d" in shown and "stays" in shown and "in 86 d" in shown and "key files below keys" in shown


def test_one_that_is_due_ends_with_1_and_one_that_was_replaced_does_not(
    server: ControlServer, capsys: pytest.CaptureFixture[str]
) -> None:
    told(server, secret("leases", 2), secret("leases", 1, days=100, state="replaced"))
    assert run(["keys", "list"]) == 0
    capsys.readouterr()
    told(server, secret("leases", days=90))
    assert run(["keys", "list", "--format", "json"]) == 1
    assert json.loads(capsys.readouterr().out)["overdue"] == ["leases"]


def test_a_key_is_replaced_with_its_reason(server: ControlServer, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[Any] = []

    def rotate(_: str, body: Any) -> tuple[int, Any]:
        asked.append(body)
        state = "present" if body["at_once"] else "coming"
        return 201, {"secret": secret("leases", 2, state=state, starts_at="2026-03-01T15:30:00Z")}

    server.routes["POST /api/v1/root-secrets/leases/rotate"] = rotate
    assert run(["keys", "rotate", "leases", "--reason", "age"]) == 0
    assert "generation 2" in (shown := capsys.readouterr().out) and "2026-03-01T15:30:00Z" in shown
    assert run(["keys", "rotate", "leases", "--at-once", "--reason", "stolen"]) == 0
    assert "at once" in capsys.readouterr().out
    assert asked == [{"reason": "age", "at_once": False}, {"reason": "stolen", "at_once": True}]


def test_without_a_reason_nothing_is_asked(server: ControlServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["keys", "rotate", "leases"]) == 2
    assert "--reason" in capsys.readouterr().err
    assert not server.asked


def test_a_refusal_is_one_line(server: ControlServer, capsys: pytest.CaptureFixture[str]) -> None:
    refused = {"code": "denied", "detail": "Only administrators of every tenant may do that.", "remedy": ""}
    server.routes["POST /api/v1/root-secrets/leases/rotate"] = (403, refused)
    assert run(["keys", "rotate", "leases", "--reason", "age"]) == 1
    assert capsys.readouterr().err.strip().endswith("Only administrators of every tenant may do that.")


def test_doctor_says_which_is_due_and_what_to_run() -> None:
    due = checks_machine.root_secrets([secret("leases", days=91)])  # type: ignore[list-item]  # as the wire has it
    assert (due.status, "leases" in due.text) == ("warning", True)
    assert "jupyter qsec keys rotate leases" in due.remedy
    fine = checks_machine.root_secrets([secret("audit-log", days=999, due_at=None)])  # type: ignore[list-item]  # same
    assert fine.status == "ok"

"""`keys list` and `keys rotate` against a control API that answers what the test says."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jupyter_qsec.cli import checks_machine
from jupyter_qsec.cli.main import run
from jupyter_qsec.cli.output import gateway_client
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


SECRET = "s" * 40
PRINTED = json.dumps({"AccessKey": {"AccessKeyId": "AKIAQSECEXAMPLEROOT1", "SecretAccessKey": SECRET}})


@pytest.fixture
def given(server: ControlServer) -> list[Any]:
    """The bodies in which a key of AWS came."""
    bodies: list[Any] = []

    def keep(_: str, body: Any) -> tuple[int, Any]:
        bodies.append(body)
        return 201, {"secret": secret("aws", 3)}

    server.routes["POST /api/v1/root-secrets/aws"] = keep
    return bodies


@pytest.mark.parametrize("text", [PRINTED, json.dumps(json.loads(PRINTED)["AccessKey"])])
def test_a_key_of_aws_comes_on_standard_input(
    given: list[Any], text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert run(["keys", "set-aws", "--stdin", "--reason", "first"]) == 0
    assert given == [{"access_key_id": "AKIAQSECEXAMPLEROOT1", "secret_access_key": SECRET, "reason": "first"}]
    said = capsys.readouterr()
    assert "generation 3" in said.out and "End the one before at AWS" in said.out and SECRET not in said.out + said.err


def test_a_key_of_aws_is_asked_for_and_not_shown(
    given: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = iter(["AKIAQSECEXAMPLEROOT1", SECRET])
    hidden = []

    def prompt(text: str, *, hide_input: bool = False) -> str:
        hidden.append(hide_input)
        return next(answers)

    monkeypatch.setattr("click.prompt", prompt)
    assert run(["keys", "set-aws", "--reason", "first"]) == 0
    assert (given[0]["secret_access_key"], hidden) == (SECRET, [False, True])
    assert SECRET not in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "[]", "AKIA", f'{{"AccessKeyId": 1}} {SECRET}', "[" * 10_000, '{"AccessKey": 3}'])
def test_what_is_no_key_is_one_line_and_not_repeated(
    given: list[Any], text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert run(["keys", "set-aws", "--stdin", "--reason", "first"]) == 2
    said = capsys.readouterr().err
    assert "aws iam create-access-key" in said and SECRET not in said and not given


def test_roles_that_are_refused_end_with_1(server: ControlServer, capsys: pytest.CaptureFixture[str]) -> None:
    fine = {"tenant": "a", "role": "r", "session": "s", "expires_at": NOW.isoformat(), "problem": ""}
    bad = fine | {
        "tenant": "b",
        "session": None,
        "expires_at": None,
        "problem": "AWS refuses (AccessDenied).",
    }
    server.routes["POST /api/v1/provider/check"] = (200, {"source": "stored", "roles": [fine]})
    assert run(["keys", "check"]) == 0
    server.routes["POST /api/v1/provider/check"] = (200, {"source": "stored", "roles": [fine, bad]})
    assert run(["keys", "check"]) == 1
    assert "AccessDenied" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "command"), [("leases", "jupyter qsec keys rotate leases"), ("aws", "jupyter qsec keys set-aws")]
)
def test_doctor_says_which_is_due_and_what_to_run(server: ControlServer, name: str, command: str) -> None:
    told(server, secret("audit-log", days=999, due_at=None), secret(name, days=91))
    with gateway_client() as client:
        due = checks_machine.root_secrets(client)
    assert (due.status, name in due.text, command in due.remedy) == ("warning", True, True)


def test_doctor_is_content_with_what_is_not_due_and_does_not_fail_where_nothing_is_told(server: ControlServer) -> None:
    told(server, secret("leases"), secret("leases", days=200, state="replaced"))
    with gateway_client() as client:
        assert checks_machine.root_secrets(client).status == "ok"
        server.routes["GET /api/v1/root-secrets"] = (404, {"code": "not-found", "detail": "There is no such resource."})
        assert checks_machine.root_secrets(client).status == "warning"

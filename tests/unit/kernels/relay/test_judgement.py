"""What becomes of messages to a kernel that hold secrets, by the policy for sources."""

from __future__ import annotations

from typing import Any

import pytest

from jupyter_qsec.kernels.relay.wire import load_object
from jupyter_qsec.scanning.policy import SourcePolicy
from tests.fakes.relay_desk import Desk, envelope, execute

KEY = "AKIA" + "QSEC7PLANTED5Q2X"
REDACTING = SourcePolicy.of({"critical": "redact"})


def test_a_redacted_source_runs_without_its_secret_and_is_shown_with_a_marker() -> None:
    desk = Desk(policy=REDACTING)
    ((way, kind, content),) = desk.ask("execute_request", execute(f"a = 1\nkey = '{KEY}'"))
    assert (way, kind) == ("kernel", "execute_request") and content["code"].startswith("a = 1\nkey = type(")
    assert KEY not in content["code"]
    echo = envelope("execute_input", {"code": content["code"], "execution_count": 3}, parent="r1")
    shown = {"code": "a = 1\nkey = '[REDACTED:aws-access-key]'", "execution_count": 3}
    assert load_object(desk.incoming.echoed(echo).content) == shown
    (event,) = desk.events
    assert [(f["action"], f["line"]) for f in event["findings"]] == [("redacted", 2)]


def test_a_blocked_source_is_shown_with_a_marker() -> None:
    desk = Desk(policy=SourcePolicy.of({"critical": "block"}))
    ((_, _, content),) = desk.ask("execute_request", execute(f"key = '{KEY}'"))
    assert content["code"].startswith("raise type('CellBlocked'")
    echo = envelope("execute_input", {"code": content["code"], "execution_count": 1}, parent="r1")
    assert load_object(desk.incoming.echoed(echo).content)["code"] == "key = '[REDACTED:aws-access-key]'"


def test_an_allowed_secret_passes_without_a_word() -> None:
    desk = Desk(policy=SourcePolicy.of({"critical": "allow"}))
    ((way, _, content),) = desk.ask("execute_request", execute(f"key = '{KEY}'"))
    assert way == "kernel" and content["code"] == f"key = '{KEY}'" and desk.events == []


@pytest.mark.parametrize(
    "content",
    [
        execute(f"%env KEY={KEY}"),
        {**execute("1"), "user_expressions": {"x": f"'{KEY}'"}},
        {**execute(f"key = '{KEY}'"), "user_expressions": {"x": f"'{KEY}'"}},
    ],
)
def test_what_cannot_be_redacted_is_blocked(content: dict[str, Any]) -> None:
    desk = Desk(policy=REDACTING)
    ((_, _, sent),) = desk.ask("execute_request", content)
    assert sent["code"].startswith("raise type('CellBlocked'") and KEY not in str(sent)
    assert "where nothing can stand in its place" in sent["code"]


def test_another_language_is_blocked_where_python_is_redacted() -> None:
    desk = Desk("echo", REDACTING)
    steps = desk.ask("execute_request", execute(f"key: {KEY}"))
    assert [way for way, _, _ in steps] == ["publish", "publish", "reply", "publish"]
    assert not any(KEY in str(content) for _, _, content in steps)


@pytest.mark.parametrize("kind", ["comm_msg", "comm_open", "complete_request", "inspect_request"])
def test_messages_that_are_not_run_are_redacted_in_place(kind: str) -> None:
    desk = Desk(policy=REDACTING)
    ((way, _, content),) = desk.ask(kind, {"data": {"x": KEY}, "code": KEY, "n": 3})
    assert way == "kernel" and content == {"data": {"x": "[REDACTED:aws-access-key]"}, "n": 3} | {
        "code": "[REDACTED:aws-access-key]"
    }


def test_a_secret_in_a_binary_buffer_is_refused_where_it_would_be_redacted() -> None:
    desk = Desk(policy=REDACTING)
    message = envelope("comm_msg", {"data": {}}, message_id="r1", buffers=[b"\0" + KEY.encode()])
    assert "kernel" not in [way for way, _, _ in desk.told(desk.incoming.handle("shell", message))]


def test_what_only_warns_stays_beside_what_is_redacted() -> None:
    desk = Desk(policy=REDACTING)
    ((_, _, content),) = desk.ask("execute_request", execute(f"key = '{KEY}'\npassword = 'hunter2'"))
    assert content["code"].endswith("password = 'hunter2'")
    assert sorted(f["action"] for event in desk.events for f in event["findings"]) == ["redacted", "warned"]


def test_another_policy_counts_from_the_next_message_on() -> None:
    desk = Desk()
    assert KEY in desk.ask("execute_request", execute(f"key = '{KEY}'"))[0][2]["code"]
    desk.incoming.follow(REDACTING)
    assert KEY not in desk.ask("execute_request", execute(f"key = '{KEY}'"), message_id="r2")[0][2]["code"]

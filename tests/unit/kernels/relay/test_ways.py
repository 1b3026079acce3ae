"""The two ways through the relay, without sockets: what is redacted, withheld, stopped, and in which order."""

from __future__ import annotations

import base64
import dataclasses
import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_qsec.kernels.relay.hygiene import LiveToken
from jupyter_qsec.kernels.relay.wire import Envelope, WireError, dump_object, load_object
from jupyter_qsec.scanning.engine import Engine
from jupyter_qsec.scanning.live import LiveSecrets
from tests.fakes.kernel_home import PRIVATE_KEY
from tests.fakes.relay_desk import Clock, Desk, envelope, execute

KEY = "AKIA" + "QSEC7PLANTED5Q2X"


# -- kernel to clients
@settings(max_examples=60)
@given(st.lists(st.integers(1, 19), max_size=6, unique=True))
def test_a_key_in_any_pieces_is_redacted(cuts: list[int]) -> None:
    desk = Desk()
    edges = [0, *sorted(cuts), len(KEY)]
    said = "".join(desk.stream(KEY[a:b]) for a, b in itertools.pairwise(edges))
    said += "".join(content.get("text", "") for _, content in desk.publish("status", {"execution_state": "idle"}))
    assert said == "[REDACTED:aws-access-key]"


def test_what_is_held_goes_before_any_other_message_of_the_request() -> None:
    desk = Desk()
    assert desk.stream("AKIA") == ""
    assert desk.publish("status", {"execution_state": "busy"}, request="another") == [
        ("status", {"execution_state": "busy"})
    ]
    assert [kind for kind, _ in desk.publish("display_data", {"data": {}, "metadata": {}})] == [
        "stream",
        "display_data",
    ]


def test_what_is_held_goes_when_its_time_is_over() -> None:
    desk = Desk()
    desk.stream("AKIA")
    assert desk.outgoing.streams.deadline() == pytest.approx(100.15)
    assert list(desk.outgoing.streams.due()) == []
    desk.clock.now += 0.151
    assert [load_object(parts[4])["text"] for parts in desk.outgoing.streams.due()] == ["AKIA"]
    assert desk.outgoing.streams.deadline() is None


def test_streams_of_two_requests_and_two_names_do_not_mix() -> None:
    desk = Desk()
    assert (
        desk.stream("AKIA", request="a") + desk.stream("AKIA", request="b") + desk.stream("AKIA", name="stderr") == ""
    )
    assert desk.stream(KEY[4:] + "\n", request="a") == "[REDACTED:aws-access-key]\n"
    assert desk.publish("status", {"execution_state": "idle"}, request="b")[0][1]["text"] == "AKIA"


@pytest.mark.parametrize(
    "kind", ["stream", "display_data", "execute_result", "error", "execute_input", "status", "comm_msg"]
)
@pytest.mark.parametrize("content", [b"[" * 5000, b"no json", b"[]", b'{"name": 1, "text": 2}' + b"x"])
def test_what_cannot_be_read_is_withheld_not_passed_and_not_lost(kind: str, content: bytes) -> None:
    ((sent, said),) = Desk().publish(kind, content)
    assert sent == kind
    if kind not in ("status", "comm_msg"):
        assert "[REDACTED:unscannable]" in str(said)
    if kind == "status":
        assert said == {"execution_state": "idle"}


def test_a_reply_that_cannot_be_read_is_an_error_and_still_a_reply() -> None:
    desk = Desk()
    (message,) = desk.outgoing.handle(
        envelope("execute_reply", b"{" * 9000, parent="r1", topic=b"client"), published=False
    )
    assert message[0] == [b"client"]
    assert load_object(message[4])["status"] == "error"


def test_a_buffer_keeps_its_length() -> None:
    desk = Desk()
    buffers = [b"ab" + KEY.encode() + b"\xff", KEY.encode("utf-16-le"), b"harmless"]
    (message,) = desk.outgoing.handle(envelope("comm_msg", {}, parent="r1", buffers=buffers), published=True)
    assert message[5] == [b"ab" + b"*" * 20 + b"\xff", b"\0" * 40, b"harmless"]


def test_header_and_topic_are_no_way_out() -> None:
    desk = Desk()
    smuggling = Envelope(
        [KEY.encode()], dump_object({"msg_id": "x", "msg_type": "status", "x": [{KEY: KEY}]}), b"{}", b"{}", b"{}", []
    )
    (message,) = desk.outgoing.handle(smuggling, published=True)
    assert KEY.encode() not in b"".join([*message[0], *message[1:5]])


def test_findings_are_told_once_per_cell_and_hold_no_secret() -> None:
    desk = Desk()
    for _ in range(50):
        desk.publish("display_data", {"data": {"text/plain": KEY}, "metadata": {}})
    ((event),) = desk.events
    (finding,) = event["findings"]
    assert finding["kind"] == "aws-access-key"
    assert finding["message_id"] == "r1"
    assert KEY not in str(event)


# -- clients to kernel
def test_ordinary_code_passes_untouched() -> None:
    content = execute("print(1)")
    assert Desk().ask("execute_request", content) == [("kernel", "execute_request", content)]


def test_a_private_key_is_replaced_by_one_statement_that_raises() -> None:
    ((way, kind, content),) = Desk().ask("execute_request", execute(f"a = 1\nk = '''{PRIVATE_KEY}'''"))
    assert (way, kind) == ("kernel", "execute_request")
    with pytest.raises(Exception, match="line 2: private key") as caught:
        exec(content["code"], {})
    assert type(caught.value).__name__ == "CellBlocked"
    assert "MIIE" not in content["code"]


@pytest.mark.parametrize("where", ["user_expressions", "code"])
def test_a_key_in_an_expression_is_stopped_too(where: str) -> None:
    content = execute("1") | (
        {"user_expressions": {"x": PRIVATE_KEY}} if where == "user_expressions" else {"code": PRIVATE_KEY}
    )
    ((_, _, sent),) = Desk().ask("execute_request", content)
    assert "MIIE" not in str(sent)


def test_a_comm_message_with_a_key_is_stopped() -> None:
    steps = Desk().ask("comm_msg", {"comm_id": "c", "data": {"value": PRIVATE_KEY}})
    assert [(way, kind) for way, kind, _ in steps] == [
        ("publish", "status"),
        ("publish", "error"),
        ("publish", "status"),
    ]


def test_a_source_that_cannot_be_scanned_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()

    def broken(self: Engine, text: str, *, allow: bool = False) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Engine, "scan", broken)
    ((_, _, content),) = desk.ask("execute_request", execute("print(1)"))
    assert "could not be scanned" in content["code"]


def test_in_another_language_a_stopped_cell_waits_for_its_turn_and_aborts_the_queue() -> None:
    desk = Desk("echo")
    assert [step[0] for step in desk.ask("execute_request", execute("one"), message_id="1")] == ["kernel"]
    assert desk.ask("execute_request", execute(PRIVATE_KEY), message_id="2") == []
    assert desk.ask("execute_request", execute("three"), message_id="3") == []
    assert desk.ask("kernel_info_request", {}, message_id="4") == []
    steps = desk.answered("1")
    assert [(way, kind, content.get("status")) for way, kind, content in steps if kind != "status"] == [
        ("publish", "error", None),
        ("reply", "execute_reply", "error"),
        ("reply", "execute_reply", "aborted"),
        ("kernel", "kernel_info_request", None),
    ]
    desk.answered("4")
    assert [
        step[0] for step in desk.ask("execute_request", execute("in the burst"), message_id="5") if step[0] == "kernel"
    ] == []
    desk.clock.now += 0.2
    assert [step[0] for step in desk.ask("execute_request", execute("a person again"), message_id="6")] == ["kernel"]


def ways(steps: list[tuple[str, str, dict[str, Any]]]) -> list[tuple[str, Any]]:
    return [(way, content.get("status")) for way, kind, content in steps if kind != "status"]


def test_what_is_behind_a_stopped_cell_is_kept_from_the_kernel_until_it_answers_and_then_aborted() -> None:
    desk = Desk()
    assert ways(desk.ask("execute_request", execute(PRIVATE_KEY), message_id="1")) == [("kernel", None)]
    assert desk.ask("execute_request", execute("two"), message_id="2") == []
    assert desk.ask("execute_request", execute(PRIVATE_KEY), message_id="3") == []
    assert ways(desk.ask("complete_request", {"code": "t"}, message_id="4")) == [("kernel", None)]
    assert desk.answered("4") == []
    assert ways(desk.answered("1")) == [("reply", "aborted"), ("reply", "aborted")]
    assert ways(desk.ask("execute_request", execute("sent when it had answered"), message_id="5")) == [("kernel", None)]


@pytest.mark.parametrize("asked", [{"stop_on_error": False}, {"silent": True}])
@pytest.mark.parametrize("language", ["python", "echo"])
def test_a_stopped_cell_that_asks_for_it_leaves_the_queue_alone(language: str, asked: dict[str, bool]) -> None:
    desk = Desk(language)
    desk.ask("execute_request", execute(PRIVATE_KEY) | asked, message_id="1")
    assert ways(desk.ask("execute_request", execute("two"), message_id="2")) == [("kernel", None)]


def test_a_cell_that_is_stopped_on_the_control_channel_holds_up_nothing() -> None:
    desk = Desk()
    stopped = envelope("execute_request", execute(PRIVATE_KEY), message_id="1")
    assert ways(desk.told(desk.incoming.handle("control", stopped))) == [("kernel", None)]
    assert ways(desk.ask("execute_request", execute("two"), message_id="2")) == [("kernel", None)]


def test_a_stopped_cell_takes_no_other_subshell_with_it() -> None:
    desk = Desk()
    desk.ask("execute_request", execute(PRIVATE_KEY), message_id="1", subshell="a")
    assert desk.ask("execute_request", execute("behind it"), message_id="2", subshell="a") == []
    assert ways(desk.ask("execute_request", execute("beside it"), message_id="3")) == [("kernel", None)]
    desk.ask("execute_request", execute(PRIVATE_KEY), message_id="4")
    assert desk.ask("execute_request", execute("behind that"), message_id="5") == []
    assert ways(desk.answered("1")) == [("reply", "aborted")]
    assert ways(desk.answered("4")) == [("reply", "aborted")]


def test_the_token_is_read_again_when_its_file_changes(tmp_path: Path) -> None:
    clock, live, file = Clock(), LiveSecrets(), tmp_path / "token"
    token = LiveToken(str(file), live, clock)
    token.refresh(at_once=True)
    assert live.scan("first-token-value") == []
    file.write_text("first-token-value")
    token.refresh()
    assert live.scan("first-token-value") == []  # looked a moment ago
    clock.now += 1.1
    token.refresh()
    assert live.scan("first-token-value")
    file.unlink()
    file.write_text("second-token-value")
    token.refresh(at_once=True)
    assert live.scan("second-token-value")
    assert live.scan("first-token-value")


def test_a_link_in_the_place_of_the_token_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("something-else-entirely")
    (tmp_path / "token").symlink_to(tmp_path / "other")
    live = LiveSecrets()
    LiveToken(str(tmp_path / "token"), live, Clock()).refresh(at_once=True)
    assert len(live) == 0


# -- what names itself something else
@pytest.mark.parametrize("name", ["image/png", "video/mp4", "application/pdf"])
def test_a_text_that_is_called_an_image_is_scanned(name: str) -> None:
    assert KEY not in str(Desk().publish("display_data", {"data": {name: KEY}, "metadata": {}}))
    assert PRIVATE_KEY[40:80] not in str(Desk().publish("display_data", {"data": {name: PRIVATE_KEY}, "metadata": {}}))


def test_an_encoded_image_stays_as_it_is() -> None:
    picture = base64.b64encode(bytes(range(256)) * 8).decode() + "\n"
    assert Desk().publish("display_data", {"data": {"image/png": picture}})[0][1]["data"]["image/png"] == picture


def test_a_header_that_cannot_be_scanned_is_refused() -> None:
    deep: Any = KEY
    for _ in range(200):
        deep = [deep]
    head = dump_object({"msg_id": "m1", "msg_type": "status", "x": deep})
    message = dataclasses.replace(envelope("status", {"execution_state": "idle"}), header=head)
    with pytest.raises(WireError):
        list(Desk().outgoing.handle(message, published=True))


# -- what would wait for ever
def test_what_is_typed_at_a_prompt_reaches_the_kernel_whatever_it_is() -> None:
    desk = Desk()
    said = desk.ask("input_reply", {"value": PRIVATE_KEY, "status": "ok"})
    assert said == [("kernel", "input_reply", {"value": PRIVATE_KEY, "status": "ok"})]
    assert [event["findings"][0]["action"] for event in desk.events] == ["reported"]


def test_a_request_that_the_kernel_never_answers_holds_up_no_stopped_cell() -> None:
    desk = Desk("R")
    desk.ask("made_up_request", {}, message_id="q1")
    said = desk.ask("execute_request", execute(f"x <- '{PRIVATE_KEY}'"), message_id="q2")
    assert ("reply", "execute_reply") in [(way, kind) for way, kind, _ in said]


def test_code_that_is_not_one_text_is_scanned_too() -> None:
    said = Desk("other").ask("execute_request", {"code": [PRIVATE_KEY], "silent": False})
    assert "kernel" not in [way for way, _, _ in said]


def test_a_file_that_holds_no_token_ends_nothing(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("short")
    live = LiveSecrets()
    LiveToken(str(path), live).refresh(at_once=True)
    assert len(live) == 0


def test_tokens_that_somebody_writes_into_the_file_fill_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "token"
    live, clock = LiveSecrets(), Clock()
    token = LiveToken(str(path), live, clock)
    for number in range(200):
        path.unlink(missing_ok=True)
        path.write_text(f"token-number-{number:04}" + "x" * number)
        token.refresh(at_once=True)
    assert len(live) == 64
    assert live.scan("token-number-0199" + "x" * 199) and not live.scan("token-number-0001x")

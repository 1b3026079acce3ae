"""The wire protocol: what is no message is refused, what is one comes through unchanged."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jupyter_client.session import Session

from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.kernels.relay.config import CHANNELS, Endpoint, RelayConfig
from jupyter_qsec.kernels.relay.wire import DELIMITER, Signer, WireError, dump_object, load_object

KEY = b"0123456789abcdef0123456789abcdef"


def test_jupyter_reads_what_we_sign_and_we_read_what_it_signs() -> None:
    session = Session(key=KEY)
    message = session.msg("status", {"execution_state": "busy"})
    frames = [bytes(frame) for frame in session.serialize(message, ident=[b"client"])]
    envelope = Signer(KEY).open(frames)
    assert envelope.identities == [b"client"]
    assert load_object(envelope.content) == {"execution_state": "busy"}
    sealed = Signer(b"other").seal(
        [b"x"], envelope.header, envelope.parent, envelope.metadata, b'{"new": 1}', [b"buffer"]
    )
    reader = Session(key=b"other")
    _, parts = reader.feed_identities(sealed, copy=True)
    assert reader.deserialize(parts)["content"] == {"new": 1}


@pytest.mark.parametrize("at", range(6))
def test_a_changed_part_is_refused(at: int) -> None:
    frames = Signer(KEY).seal([], b"{}", b"{}", b"{}", b"{}")
    frames[at] = b'{"a":1}' if at else b"x"
    with pytest.raises(WireError):
        Signer(KEY).open(frames)


def test_the_key_of_the_other_side_does_not_open() -> None:
    with pytest.raises(WireError, match="signature"):
        Signer(KEY).open(Signer(b"kernel").seal([], b"{}", b"{}", b"{}", b"{}"))


@given(st.lists(st.binary(max_size=40) | st.just(DELIMITER), max_size=12))
def test_random_frames_never_pass(frames: list[bytes]) -> None:
    with pytest.raises(WireError):
        Signer(KEY).open(frames)


@given(st.binary(max_size=200))
def test_random_parts_are_objects_or_refused(part: bytes) -> None:
    try:
        value = load_object(part)
    except WireError:
        return
    assert load_object(dump_object(value)) == value


@pytest.mark.parametrize("part", [b"[" * 100_000, b'{"a":' * 50_000, b"3", b"null", b'"x"', b"\xff\xfe", b""])
def test_what_is_no_object_or_too_deep_is_refused(part: bytes) -> None:
    with pytest.raises(WireError):
        load_object(part)


def test_nothing_hides_behind_a_duplicate_key() -> None:
    assert b"hidden" not in dump_object(load_object(b'{"a": "hidden", "a": "shown"}'))


def test_a_lone_surrogate_can_be_passed_on() -> None:
    assert json.loads(dump_object({"a": "\ud800"})) == {"a": "\ud800"}


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(InvalidRequestError):
        Signer(KEY, "hmac-rot13")


def test_the_configuration_survives_the_pipe_and_errors_do_not_repeat_it() -> None:
    endpoint = Endpoint("ipc", "/tmp/x/k", {channel: n for n, channel in enumerate(CHANNELS)}, KEY)
    config = RelayConfig(
        endpoint, endpoint, "python", b"f" * 32, "/tmp/x/token", issued={"known-secret": "aws-secret-key"}
    )
    assert "known-secret" not in repr(config)
    assert RelayConfig.from_line(config.to_line()) == config
    for line in (b"", b"{}", b"[]", config.to_line().replace(b'"ipc"', b'"udp"'), config.to_line()[:-40]):
        with pytest.raises(InvalidRequestError) as caught:
            RelayConfig.from_line(line)
        assert KEY.hex() not in str(caught.value)
        assert caught.value.__cause__ is None

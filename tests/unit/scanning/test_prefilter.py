"""Texts as bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_qsec.scanning import prefilter


@given(
    st.lists(st.sampled_from(["a", "é", "→", "密码", "パスワード", "\u201c", "비밀번호", "\n"]), max_size=20).map(
        "".join
    )
)
def test_large_texts_read_like_small_ones(text: str) -> None:
    whole = prefilter.flat(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefilter, "_PIECE", 2)
        assert prefilter.flat(text) == whole
    assert len(whole) == len(text)


@given(st.lists(st.sampled_from([b"a", b"\n", b"\r\n", b"\r"]), max_size=20).map(b"".join))
def test_what_is_taken_out_of_a_large_text_is_gone(data: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefilter, "_PIECE", 2)
        assert prefilter.without(data, b"\r\n") == data.replace(b"\r", b"").replace(b"\n", b"")


def test_a_trigger_is_told_from_longer_and_shorter_ones_that_begin_alike() -> None:
    rules = prefilter.Prefilter((), ("pass", "password", "passphrase"), ())
    assert [trigger for _, trigger, _ in rules.hits(b"PASSWORD passport")] == [b"password", b"pass"]


def test_triggers_are_told_apart_however_much_they_have_in_common() -> None:
    longer = ("authorization-token-of", "authorization-token", "authorization-key")
    rules = prefilter.Prefilter((), longer, ())
    text = b"Authorization-Key AUTHORIZATION-TOKEN authorization-token-of authorization-token-"
    assert [trigger for _, trigger, _ in rules.hits(text)] == [
        b"authorization-key",
        b"authorization-token",
        b"authorization-token-of",
        b"authorization-token",
    ]

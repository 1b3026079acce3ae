"""Registered secrets are found exactly and cannot be read back."""

from __future__ import annotations

import base64
import itertools
import json
import os
import string
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.scanning.engine import Engine
from jupyter_qsec.scanning.registered import Registered, RegisteredSecrets, parsed, searching, stored
from jupyter_qsec.scanning.stream import StreamRedactor

KEY = b"k" * 32
VALUE = "correct/horse+Battery=staple"
KNOWN = searching([parsed(stored([Registered.of("lab-database", VALUE, KEY)]), KEY)])
ENGINE = Engine.default(live=KNOWN)
MARK = "[REDACTED:lab-database]"


@pytest.mark.parametrize(
    "form",
    [
        VALUE,
        VALUE[::-1],
        VALUE.encode().hex(),
        VALUE.encode().hex().upper(),
        VALUE.encode().hex(":"),
        quote(VALUE, safe=""),
        base64.b64encode(VALUE.encode()).decode(),
        base64.b64encode(b"a" + VALUE.encode()).decode(),
        base64.b64encode(b"ab" + VALUE.encode() + b"c").decode(),
        base64.urlsafe_b64encode(VALUE.encode()).decode(),
        "-".join(VALUE),
        ", ".join(VALUE),
        f"xx{VALUE}yy",
    ],
)
def test_every_form_is_found_wherever_it_stands(form: str) -> None:
    redacted = ENGINE.redact(f"one {form} two").text
    assert MARK in redacted and form not in redacted
    assert redacted.startswith("one ") and redacted.endswith(" two")


def test_one_that_is_spelled_out_is_found_where_it_stands_in_a_large_text() -> None:
    before, spelled = "a-b, \n" * 30_000, "-".join(VALUE)
    (match,) = KNOWN.scan(f"{before}{spelled} and more\n")
    assert (match.start, match.end) == (len(before), len(before) + len(spelled))


def test_with_another_key_or_without_registration_nothing_is_known() -> None:
    assert RegisteredSecrets([Registered.of("lab-database", VALUE, b"x" * 32)], KEY).scan(VALUE) == []
    assert RegisteredSecrets((), KEY).scan(VALUE) == [] and RegisteredSecrets((), KEY).hold_from(VALUE) == len(VALUE)


def test_what_only_begins_like_it_is_left_alone() -> None:
    for text in (VALUE[:-1], VALUE[:-1] + "x", VALUE[:3] * 200, VALUE.swapcase()):
        assert KNOWN.scan(text) == []


def test_the_file_does_not_show_it() -> None:
    content = stored([Registered.of("lab-database", VALUE, KEY)])
    for size in range(3, len(VALUE) + 1):
        assert VALUE[:size].encode().hex().encode() not in content
    assert VALUE[:3].encode() not in content and VALUE not in repr(Registered.of("lab-database", VALUE, KEY))


@settings(max_examples=50)
@given(
    st.text(string.ascii_letters + string.digits + string.punctuation, min_size=10, max_size=60).filter(
        lambda value: len(set(value)) >= 5
    ),
    st.text(max_size=40),
    st.text(max_size=40),
)
def test_any_secret_is_found_in_any_surroundings(value: str, before: str, after: str) -> None:
    known = RegisteredSecrets([Registered.of("any-secret", value, KEY)], KEY)
    text = f"{before}{value}{after}"
    assert any(m.start <= len(before) and m.end >= len(before) + len(value) for m in known.scan(text))


@settings(max_examples=50)
@given(st.lists(st.integers(1, len(VALUE) - 1), max_size=5, unique=True))
def test_a_stream_in_any_pieces_shows_at_most_its_first_characters(cuts: list[int]) -> None:
    stream = StreamRedactor(ENGINE, clock=lambda: 0.0)
    edges = [0, *sorted(cuts), len(VALUE)]
    said = "".join(stream.feed(VALUE[a:b]).text for a, b in itertools.pairwise(edges)) + stream.flush().text
    assert MARK in said and len(said.replace(MARK, "")) <= 4


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("Lab", VALUE, "lower-case"),
        ("x", VALUE, "lower-case"),
        ("lab-database", "short", "characters"),
        ("lab-database", "a" * 500, "characters"),
        ("lab-database", "with white space", "white space"),
        ("lab-database", "mit-Umläuten-darin", "ASCII"),
        ("lab-database", "abababababab", "so few different"),
    ],
)
def test_what_cannot_be_searched_for_is_refused(name: str, value: str, reason: str) -> None:
    with pytest.raises(InvalidRequestError, match=reason) as caught:
        Registered.of(name, value, KEY)
    assert value not in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {"version": 2, "secrets": []},
        {"version": 1, "secrets": 3},
        {"version": 1, "secrets": [3]},
        {"version": 1, "secrets": [{"name": "ab", "forms": []}]},
        {"version": 1, "secrets": [{"name": "ab", "forms": [[5, "aa", "bb", False]]}]},
        {"version": 1, "secrets": [{"name": "AB", "forms": [[12, "aa" * 16, "bb" * 3, False]]}]},
        {"version": 1, "secrets": [{"name": "ab", "forms": [[10**9, "aa" * 16, "bb" * 3, False]]}]},
    ],
    ids=str,
)
def test_a_damaged_file_is_an_invalid_request(value: Any) -> None:
    with pytest.raises(InvalidRequestError):
        parsed(json.dumps(value).encode(), KEY)


def test_bytes_that_are_no_json_are_an_invalid_request() -> None:
    for content in (b"", os.urandom(20), b"[" * 100_000):
        with pytest.raises(InvalidRequestError):
            parsed(content, KEY)


def test_a_file_may_bring_its_own_key_and_has_to_where_there_is_no_other() -> None:
    secret = Registered.of("lab-database", VALUE, KEY)
    assert parsed(stored([secret], KEY)) == parsed(stored([secret]), KEY)
    for content in (
        stored([secret]),
        stored([secret], b"short"),
        stored([secret], KEY).replace(b'"key": "', b'"key": "x'),
    ):
        with pytest.raises(InvalidRequestError):
            parsed(content)

"""Live secrets are found exactly, in every shape that a program gives them by accident."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.scanning.engine import Engine
from jupyter_qsec.scanning.live import LiveSecrets, forms_of

SECRET = 'qs/lease+tök"en\\0001='


@pytest.fixture
def live() -> LiveSecrets:
    secrets = LiveSecrets()
    secrets.add(SECRET, "lease-token")
    return secrets


@pytest.mark.parametrize(
    "shape",
    [
        SECRET,
        SECRET[::-1],
        repr(SECRET),
        json.dumps(SECRET),
        quote(SECRET, safe=""),
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
        SECRET.encode().hex(":"),
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
    ],
)
def test_a_shape_of_the_secret_is_found(live: LiveSecrets, shape: str) -> None:
    redaction = Engine.default(live=live).redact(f"<< {shape} >>")
    assert "[REDACTED:lease-token]" in redaction.text
    assert shape.strip("\"'=")[2:-2] not in redaction.text


@settings(max_examples=100)
@given(st.binary(max_size=12), st.binary(max_size=12), st.booleans())
def test_base64_hides_nothing_whatever_stands_around(before: bytes, after: bytes, urlsafe: bool) -> None:
    live = LiveSecrets()
    live.add("a-live-lease-token-42", "lease-token")
    encode = base64.urlsafe_b64encode if urlsafe else base64.b64encode
    text = encode(before + b"a-live-lease-token-42" + after).decode()
    (match,) = {m for m in live.scan(text) if m.end - m.start > 20}
    shown = base64.b64decode(text[: match.start // 4 * 4], altchars=b"-_" if urlsafe else None)
    assert b"a-l" not in shown[len(before) :]


def test_without_it_the_secret_would_not_be_known() -> None:
    assert Engine.default().scan(f"<< {SECRET} >>") == []


def test_a_discarded_secret_is_forgotten(live: LiveSecrets) -> None:
    scanner = Engine.default(live=live)
    assert scanner.scan(SECRET)
    live.discard(SECRET)
    live.discard("never added")
    assert scanner.scan(SECRET) == [] and len(live) == 0


@pytest.mark.parametrize("value", ["", "short", "x" * 10_000])
def test_a_secret_too_short_or_long_to_search_for_is_refused(value: str) -> None:
    with pytest.raises(InvalidRequestError):
        LiveSecrets().add(value, "lease-token")


def test_the_shared_scanner_never_learns_a_live_secret(live: LiveSecrets) -> None:
    Engine.default(live=live).scan(SECRET)
    assert Engine.default().live is None


def test_held_back_is_only_what_may_begin_a_secret(live: LiveSecrets) -> None:
    assert live.hold_from("text qs/le") == 5
    assert live.hold_from("text qs/l ") == 10
    assert live.hold_from("") == 0


TOKEN = "qsl_4f9Kd-2Lw_7TzQm8VbX1"


@pytest.fixture
def known() -> LiveSecrets:
    secrets = LiveSecrets()
    secrets.add(TOKEN, "lease-token")
    return secrets


@pytest.mark.parametrize("separator", [" ", "-", ", ", "\n", " | ", "_", ".", "', '"])
def test_separators_between_the_characters_do_not_hide_it(known: LiveSecrets, separator: str) -> None:
    redacted = Engine.default(live=known).redact(f"<< {separator.join(TOKEN)} >>").text
    assert redacted == "<< [REDACTED:lease-token] >>"


def test_encoders_that_break_lines_do_not_hide_it(known: LiveSecrets) -> None:
    known.add("x" * 3 + TOKEN * 4, "other")
    for text in (base64.encodebytes((TOKEN * 4).encode()).decode(), TOKEN.encode().hex(" ", 4), TOKEN[::-1].upper()):
        assert bool(Engine.default(live=known).scan(text)) is (text != TOKEN[::-1].upper())


def test_a_text_that_only_shares_some_characters_is_left_alone(known: LiveSecrets) -> None:
    assert known.scan(" ".join(TOKEN[:-1]) + " and so on") == []


def test_held_back_is_what_may_become_one_that_is_spelled_out(known: LiveSecrets) -> None:
    spelled = "-".join(TOKEN[:6])
    assert known.hold_from(f"text {spelled}") == 5
    assert known.hold_from("text q") == 5 and known.hold_from("text q-s") == 8


def test_a_short_secret_is_not_looked_for_across_separators() -> None:
    secrets = LiveSecrets()
    secrets.add("ab-cd-ef-gh", "pin")
    assert secrets.scan("a b c d e f g h") == [] and len(secrets.scan("ab-cd-ef-gh")) == 1


def test_a_secret_that_is_complete_is_not_held_back(known: LiveSecrets) -> None:
    assert known.hold_from(f"text {TOKEN}.") == len(f"text {TOKEN}.")


@given(
    st.sampled_from([SECRET, TOKEN, "aaaaaaaa1aaaaaaaaaab", "abcabcabcabcabcabcabcXYZ"]),
    st.sampled_from(["", "-", " ", "\n", ", "]),
    st.integers(1, 60),
    st.sampled_from(["", "text ", "abcabc", "aaaa", "qs"]),
)
def test_held_back_is_the_longest_end_with_which_some_form_begins(
    value: str, separator: str, size: int, before: str
) -> None:
    secrets = LiveSecrets()
    secrets.add(value, "lease-token")
    text = before + separator.join(value)[:size]
    plain = [n for n in range(len(text)) for form in forms_of(value) if form != text[n:] and form.startswith(text[n:])]
    if separator == "":
        assert secrets.hold_from(text) == min(plain, default=len(text))
    else:
        assert secrets.hold_from(text) <= min(plain, default=len(text))


def test_a_set_that_is_followed_is_what_was_said_last() -> None:
    secrets = LiveSecrets()
    secrets.add("opens-a-lease-0001", "lease-token")
    secrets.follow({"first-secret-0001": "aws-secret-key"}, but=("lease-token",))
    before = secrets.state()
    secrets.follow({"first-secret-0001": "aws-secret-key"}, but=("lease-token",))
    assert secrets.state() is before, "nothing has changed"
    secrets.follow({"second-secret-0002": "aws-session-token"}, but=("lease-token",))
    found = secrets.scan("opens-a-lease-0001 first-secret-0001 second-secret-0002")
    assert {match.kind for match in found} == {"lease-token", "aws-session-token"}
    secrets.follow({})
    assert len(secrets) == 0


def test_a_set_too_large_to_search_for_changes_nothing() -> None:
    secrets = LiveSecrets()
    secrets.add("opens-a-lease-0001", "lease-token")
    with pytest.raises(InvalidRequestError):
        secrets.follow({f"secret-number-{n}": "aws-secret-key" for n in range(1001)})
    assert len(secrets) == 1 and secrets.scan("opens-a-lease-0001")


@given(
    st.lists(st.text(min_size=8, max_size=40), min_size=1, max_size=4, unique=True),
    st.integers(0, 200),
    st.text(max_size=20),
)
def test_what_is_found_in_a_long_text_is_what_is_found_in_a_short_one(values: list[str], at: int, between: str) -> None:
    secrets = LiveSecrets()
    for value in values:
        secrets.add(value, "pin")
    said = between.join(form for value in values for form in forms_of(value))
    short = secrets.scan(said)
    padding = "\u2028" * (5_000 + at)  # of no script that a form has
    found = secrets.scan(padding + said)
    assert {(match.start - len(padding), match.end - len(padding)) for match in found} == {
        (match.start, match.end) for match in short
    }
    for value in values:
        start = said.index(value)
        assert any(match.start <= start and start + len(value) <= match.end for match in short)


@given(st.text(max_size=30), st.sampled_from(["", "-", ", "]), st.text(max_size=30))
def test_what_may_be_in_a_text_is_never_less_than_what_is(before: str, separator: str, after: str) -> None:
    secrets = LiveSecrets()
    secrets.add(TOKEN, "lease-token")
    for form in forms_of(TOKEN):
        text = before + separator.join(form) + after
        found = bool(secrets.scan(text))
        assert secrets.may_be_in(text.encode("latin-1", "replace")) or not found
        assert found or separator, "forms with separators count when they are long enough"
    assert not LiveSecrets().may_be_in(TOKEN.encode())

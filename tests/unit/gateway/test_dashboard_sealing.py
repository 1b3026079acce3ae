"""What a browser keeps for the dashboard: forged, changed, swapped, stale and replayed."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_qsec.gateway.dashboard.sealing import LOGIN_LIFE, SESSION_LIFE, Seals

KEY, OTHER = b"k" * 32, b"o" * 32
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_a_session_opens_in_every_process_that_has_the_key() -> None:
    sealed = Seals(lambda: KEY).session("hub-token", NOW)
    session = Seals(lambda: KEY).open_session(sealed, NOW + SESSION_LIFE - SECOND)
    assert session is not None
    assert session.token == "hub-token"
    assert "hub-token" not in repr(session)


def test_nothing_of_the_token_can_be_read_in_the_cookie() -> None:
    sealed = Seals(lambda: KEY).session("hub-token-0123456789", NOW)
    raw = base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
    assert b"hub-token" not in raw
    assert "hub-token" not in sealed


def test_a_session_ends_and_another_key_opens_none() -> None:
    sealed = Seals(lambda: KEY).session("hub-token", NOW)
    assert Seals(lambda: KEY).open_session(sealed, NOW + SESSION_LIFE) is None
    assert Seals(lambda: OTHER).open_session(sealed, NOW) is None


@given(st.data())
def test_a_changed_session_is_none(data: st.DataObject) -> None:
    seals = Seals(lambda: KEY)
    sealed = seals.session("hub-token", NOW)
    raw = bytearray(base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4)))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    assert seals.open_session(base64.urlsafe_b64encode(bytes(raw)).decode().rstrip("="), NOW) is None


@given(st.text(max_size=5000))
def test_anything_else_is_no_session_and_no_login(text: str) -> None:
    seals = Seals(lambda: KEY)
    assert seals.open_session(text, NOW) is None
    assert seals.open_login(text, "state", NOW) is None


def test_one_kind_of_cookie_cannot_stand_for_another() -> None:
    seals = Seals(lambda: KEY)
    login, cookie = seals.login("/services/qsec/", NOW)
    assert seals.open_session(cookie, NOW) is None
    assert seals.open_login(seals.session("hub-token", NOW), login.state, NOW) is None


def test_a_login_is_taken_with_its_own_state_only_and_for_ten_minutes() -> None:
    seals = Seals(lambda: KEY)
    login, cookie = seals.login("/services/qsec/tasks?state=waiting", NOW)
    other, _ = seals.login("/services/qsec/", NOW)
    assert Seals(lambda: KEY).open_login(cookie, login.state, NOW + LOGIN_LIFE - SECOND) == login
    for state in ("", other.state, login.state[:-1], login.state + "x", "\udc80", "é"):
        assert seals.open_login(cookie, state, NOW) is None
    assert seals.open_login(cookie, login.state, NOW + LOGIN_LIFE) is None
    assert len({login.state, login.verifier, other.state, other.verifier}) == 4


def test_a_form_token_holds_for_its_session_alone() -> None:
    seals = Seals(lambda: KEY)
    one, two = (seals.open_session(seals.session("hub-token", NOW), NOW) for _ in range(2))
    assert one is not None
    assert two is not None
    token = Seals(lambda: KEY).form_token(one)
    assert seals.form_holds(one, token)
    assert not seals.form_holds(two, token)
    assert not Seals(lambda: OTHER).form_holds(one, token)


@pytest.mark.parametrize("token", ["", "0" * 64, "é", "\udc80"])
def test_a_guessed_form_token_does_not_hold(token: str) -> None:
    seals = Seals(lambda: KEY)
    session = seals.open_session(seals.session("hub-token", NOW), NOW)
    assert session is not None
    assert not seals.form_holds(session, token)

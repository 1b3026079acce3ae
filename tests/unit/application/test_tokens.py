"""Synthetic credentials: what is derived, what is refused."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_qsec.application import tokens
from jupyter_qsec.application.tokens import CredentialForge
from jupyter_qsec.domain.errors import ExpiredSignatureError, SignatureError
from jupyter_qsec.scanning.engine import Engine
from tests.fakes.clock import FakeClock

NOW = FakeClock().now()
LEASE = "0123456789abcdef" * 2
FORGE = CredentialForge(lambda _: b"a" * 32)


def test_credentials_look_like_those_of_a_session() -> None:
    made = FORGE.issue(LEASE, NOW)
    assert made.access_key_id.startswith("ASIA") and len(made.access_key_id) == 20
    assert len(made.secret_access_key) == 40
    assert timedelta(minutes=60) < made.expires_at - NOW <= timedelta(minutes=90)


def test_whatever_a_kernel_holds_is_recognised_wherever_it_is_printed() -> None:
    scanner = Engine.default()
    made = FORGE.issue(LEASE, NOW)
    for secret in (made.access_key_id, made.secret_access_key, made.session_token, tokens.new_bearer(LEASE)):
        shown = scanner.redact(f"{secret}\n").text
        assert shown.startswith("[REDACTED:") and secret[12:] not in shown


def test_a_token_opens_to_the_same_secret_until_it_expires() -> None:
    made = FORGE.issue(LEASE, NOW)
    opened = FORGE.open(made.access_key_id, made.session_token, NOW + timedelta(minutes=59))
    assert (opened.lease_id, opened.secret_access_key) == (LEASE, made.secret_access_key)
    with pytest.raises(ExpiredSignatureError):
        FORGE.open(made.access_key_id, made.session_token, made.expires_at)


def test_no_two_credentials_share_a_secret() -> None:
    later = [FORGE.issue(LEASE, NOW + timedelta(minutes=30 * n)) for n in range(25)]
    others = [FORGE.issue(f"{n:032x}", NOW) for n in range(25)]
    for part in ("access_key_id", "secret_access_key", "session_token"):
        assert len({getattr(credentials, part) for credentials in later + others}) == 50


@given(asked=st.integers(0, 10**6), later=st.integers(0, 30 * 60))
def test_what_a_lease_can_hold_is_known_half_an_hour_ahead(asked: int, later: int) -> None:
    known = FORGE.known(LEASE, NOW + timedelta(seconds=asked))
    assert FORGE.issue(LEASE, NOW + timedelta(seconds=asked + later)) in known


@given(asked=st.integers(0, 10**6), before=st.integers(0, 100 * 60))
def test_what_a_lease_was_given_is_known_until_it_expires(asked: int, before: int) -> None:
    now = NOW + timedelta(seconds=asked)
    given_before = FORGE.issue(LEASE, now - timedelta(seconds=before))
    known = FORGE.known(LEASE, now)
    assert (given_before in known) == (given_before.expires_at > now)
    assert len(known) == 5


def test_another_key_opens_nothing() -> None:
    made = FORGE.issue(LEASE, NOW)
    with pytest.raises(SignatureError):
        CredentialForge(lambda _: b"b" * 32).open(made.access_key_id, made.session_token, NOW)


def test_a_token_goes_with_its_own_access_key_only() -> None:
    first, second = FORGE.issue(LEASE, NOW), FORGE.issue(LEASE, NOW + timedelta(minutes=30))
    with pytest.raises(SignatureError):
        FORGE.open(first.access_key_id, second.session_token, NOW)


@given(position=st.integers(0, 93), bit=st.integers(0, 5))
def test_every_flipped_bit_is_noticed(position: int, bit: int) -> None:
    made = FORGE.issue(LEASE, NOW)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    char = made.session_token[position]
    changed = alphabet[alphabet.index(char) ^ (1 << bit)] if char in alphabet else "x"
    token = made.session_token[:position] + changed + made.session_token[position + 1 :]
    with pytest.raises(SignatureError):
        FORGE.open(made.access_key_id, token, NOW)


def test_a_later_expiry_cannot_be_written_into_a_token() -> None:
    made = FORGE.issue(LEASE, NOW)
    raw = bytearray(base64.urlsafe_b64decode(made.session_token.removeprefix("qsec1.")))
    raw[26:34] = int((NOW + timedelta(days=365)).timestamp()).to_bytes(8, "big")
    forged = "qsec1." + base64.urlsafe_b64encode(raw).decode()
    with pytest.raises(SignatureError):
        FORGE.open(made.access_key_id, forged, NOW)


@given(st.text(max_size=120), st.text(max_size=30))
def test_anything_else_is_refused_as_a_domain_error(token: str, access_key: str) -> None:
    with pytest.raises(SignatureError):
        FORGE.open(access_key, token, NOW)
    with pytest.raises(SignatureError):
        FORGE.open("ASIA" + "A" * 16, "qsec1." + token[:88].ljust(88, "A"), NOW)


def test_secrets_do_not_show_in_representations() -> None:
    made = FORGE.issue(LEASE, NOW)
    opened = FORGE.open(made.access_key_id, made.session_token, NOW)
    assert made.secret_access_key not in repr(made) + repr(opened)
    assert made.session_token not in repr(made) + repr(opened)


@given(st.text(max_size=100))
def test_bearer_tokens_name_their_lease_or_nothing(text: str) -> None:
    assert tokens.lease_of_bearer(text) == ""
    assert tokens.lease_of_bearer(tokens.new_bearer(LEASE)) == LEASE


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="32"):
        CredentialForge(lambda _: b"short").issue("0" * 32, NOW)

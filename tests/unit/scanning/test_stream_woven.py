"""Streams: what stands or goes back between the letters of a secret, and secrets of any length."""

from __future__ import annotations

import re

import pytest

from jupyter_qsec.scanning.engine import Engine
from jupyter_qsec.scanning.live import LiveSecrets
from jupyter_qsec.scanning.stream import StreamRedactor
from tests.unit.scanning.examples import filled
from tests.unit.scanning.planted import AWS_KEY, JWT
from tests.unit.scanning.test_stream import SCANNER, Seconds, cut, leaks, passed

LIVE_TOKEN = "qsl_4f9Kd-2Lw_7TzQm8VbX1"


def typed(secret: str, noise: str) -> str:
    """The secret with something after each two characters that is taken back at once."""
    return "".join(secret[n : n + 2] + noise + "\b" * len(noise) for n in range(0, len(secret), 2))


@pytest.mark.parametrize("noise", ["", "x", "-+", "  ", "#" * 8], ids=ascii)
@pytest.mark.parametrize("secret", [AWS_KEY, JWT, LIVE_TOKEN], ids=["aws", "jwt", "live"])
def test_a_secret_between_what_is_taken_back_is_caught_however_it_is_split(secret: str, noise: str) -> None:
    if secret == JWT and len(noise) > 2:
        pytest.skip("what waits has 256 characters at most, with those that are taken back")
    live = LiveSecrets()
    live.add(LIVE_TOKEN, "lease-token")
    engine = Engine.default(live=live)
    text = f"x\b see {typed(secret, noise or chr(8))} end\n"
    for size in (1, 2, 3, 5, 7, 11, 29, len(text)):
        shown = "".join(passed(cut(text, range(0, len(text), size)), engine))
        plain = re.sub(r"\[REDACTED:[a-z-]+\]|[^A-Za-z0-9]|x", "", shown)
        assert "[REDACTED:" in shown and secret[:5] not in plain and secret[-5:] not in plain


def test_a_key_that_is_put_together_by_a_carriage_return_is_caught_in_one_message() -> None:
    text = f"\n    {AWS_KEY[4:]} ok\r{AWS_KEY[:4]}\nbye"
    assert "".join(passed([text])) == "\n    [REDACTED:aws-access-key]\nbye"
    line = "=" * 400 + "\r" + " " * 390
    assert "".join(passed([line, f"{AWS_KEY[4:]}\r{' ' * 386}{AWS_KEY[:4]}\n"])).endswith("[REDACTED:aws-access-key]\n")


def test_columns_are_right_when_a_line_began_some_time_ago() -> None:
    """The end of a key stands behind bars that are shorter, printed some time before its beginning."""
    bars = [f"\r{n:4d}" for n in range(100)]
    chunks = ["start\n", "#" * 40, *bars, f"\r{' ' * 30}{AWS_KEY[4:]}\r{' ' * 26}{AWS_KEY[:4]}\n"]
    assert "[REDACTED:aws-access-key]" in "".join(passed(chunks))


@pytest.mark.parametrize(
    "chunk",
    ["\b\b\b\b 45%", "step 12\b\b13", "\r 3 of 10 \r", "\x1b[32m\r 45%|####  |\x1b[0m", "spinning |\b/\b-\b\\\b"],
    ids=ascii,
)
def test_what_goes_back_and_holds_no_secret_flows(chunk: str) -> None:
    assert passed([chunk] * 40) == [*([chunk] * 40), ""]


def test_a_secret_that_is_typed_has_the_fingerprint_of_the_plain_one() -> None:
    stream = StreamRedactor(SCANNER, clock=Seconds())
    found = stream.feed(f"x\b{typed(AWS_KEY, 'no')}\n")
    assert found.secrets == (("aws-access-key", AWS_KEY),)


@pytest.mark.parametrize("unseen", ["\x1b[1;31m", "\u200b", "\x1b]0;x\x07", "\ufe0f"], ids=ascii)
def test_a_live_secret_between_what_nobody_sees_is_caught_however_it_is_split(unseen: str) -> None:
    token = LIVE_TOKEN
    live = LiveSecrets()
    live.add(token, "lease-token")
    engine = Engine.default(live=live)
    text = f"see {unseen.join(token)} end\n"
    for size in (1, 3, 7, 50, len(text)):
        assert "".join(passed(cut(text, range(0, len(text), size)), engine)) == "see [REDACTED:lease-token] end\n"
    assert engine.redact(text).secrets == (("lease-token", token),)


LONG = filled("{a600}", 7)


@pytest.mark.parametrize(
    "unseen", ["\x1b]0;title\x07", "\x1b]8;;http://x\x1b\\", "\x1b[1;31m", "\x1bPq;\x1b\\"], ids=ascii
)
@pytest.mark.parametrize(
    ("before", "after"),
    [("password=", ""), ("api_key: ", ""), ("export TOKEN=", ""), ('"secret": "', '"'), ("sshpass -p ", "")],
)
def test_of_a_long_secret_nothing_shows_behind_or_between_control_sequences(
    before: str, after: str, unseen: str
) -> None:
    """Also where characters of the sequence could be some of the secret's, and others end it."""
    for size, at in ((300, 300), (300, 190), (600, 300), (600, 599)):
        text = f"{before}{LONG[:at]}{unseen}{LONG[at:size]}{after} bye\n"
        for length in (1, 7, 50, 255, 311, len(text)):
            shown = "".join(passed(cut(text, range(0, len(text), length))))
            assert shown.endswith(" bye\n") and not leaks(LONG, shown)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        *(('"client_secret": "', '"'), ("secret = '", "'"), ("curl -u ada:", " http://x"), ("sshpass -p ", " ssh")),
        *(("mysql -u x -p", " lab"), ("IDENTIFIED BY '", "'"), ("machine a.org login b password ", "")),
    ],
)
def test_a_secret_may_be_as_long_as_it_likes(before: str, after: str) -> None:
    redacted = SCANNER.redact(f"{before}{LONG}{after}\n").text
    assert redacted.count("[REDACTED:") == 1 and not leaks(LONG, redacted)

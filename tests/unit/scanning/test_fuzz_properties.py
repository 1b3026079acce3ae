"""What the fuzzer checks, on texts of chance: it would stop at the same assertions."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_qsec.scanning.engine import Redaction
from jupyter_qsec.scanning.stream import StreamRedactor
from tests.fuzz import properties
from tests.fuzz.properties import KEY, TOKEN, check, split, text_of

CHARACTERS = "abcXYZ0123456789_-+/=. \n\r\"'é:<>&;()[m\u200b\x1b\x07\b"


@settings(max_examples=300)
@given(st.randoms(use_true_random=False))
def test_findings_do_not_depend_on_how_a_text_was_split(chance: random.Random) -> None:
    text = text_of(chance.randint, lambda size: "".join(chance.choices(CHARACTERS, k=size)))
    check(text, split(text, [chance.randint(0, len(text)) for _ in range(chance.randint(0, 6))]))


@pytest.mark.parametrize("secret", [KEY, TOKEN, TOKEN[::-1]])
@pytest.mark.parametrize("unseen", ["", "\x1b[1;31m", "\x1b]0;x\x07", "\u200b"], ids=ascii)
def test_every_split_of_a_secret_in_two(secret: str, unseen: str) -> None:
    text = f"x {secret[:11]}{unseen}{secret[11:]} end\n"
    for place in range(len(text)):
        check(text, split(text, [place]))


def test_a_redaction_that_remembers_nothing_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shows that the check fails when the control is off."""

    class Forgetful(StreamRedactor):
        def feed(self, text: str) -> Redaction:
            return properties.ENGINE.redact(text)

    monkeypatch.setattr(properties, "StreamRedactor", Forgetful)
    with pytest.raises(AssertionError):
        check(f"{KEY}\n", [KEY[:9], KEY[9:], "\n"])

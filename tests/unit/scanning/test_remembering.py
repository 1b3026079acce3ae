"""Short texts without secrets are remembered, and nothing that could hide one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_qsec.scanning import remembering
from jupyter_qsec.scanning.engine import Engine
from jupyter_qsec.scanning.live import LiveSecrets, Together
from jupyter_qsec.scanning.registered import Registered, SecretSet, searching
from jupyter_qsec.scanning.remembering import RememberingEngine

TOKEN = "qsl_4f9Kd-2Lw_7TzQm8VbX1"
KEY = "AKIA" + "QSEC7PLANTED5Q2X"
HMAC_KEY = b"k" * 32


@pytest.fixture
def live() -> LiveSecrets:
    return LiveSecrets()


@pytest.fixture
def known(live: LiveSecrets) -> Together:
    return Together(live)


@pytest.fixture
def engine(known: Together) -> RememberingEngine:
    return RememberingEngine(known)


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How often a text was really scanned."""
    count = 0
    hits = Engine.hits

    def counted(self: Engine, text: str, work: object = None) -> object:
        nonlocal count
        count += 1
        return hits(self, text, None)

    monkeypatch.setattr(Engine, "hits", counted)
    return lambda: count


def test_a_clean_text_is_scanned_once(engine: RememberingEngine, scans: Callable[[], int]) -> None:
    assert [engine.scan("kernel.status") for _ in range(3)] == [[], [], []]
    assert scans() == 1


def test_a_secret_is_found_each_time(engine: RememberingEngine) -> None:
    assert [len(engine.scan(f"key = {KEY}")) for _ in range(3)] == [1, 1, 1]


def test_a_new_live_secret_is_found_in_a_text_that_was_clean(engine: RememberingEngine, live: LiveSecrets) -> None:
    assert engine.scan(TOKEN) == []
    live.add(TOKEN, "lease-token")
    assert [match.kind for match in engine.scan(TOKEN)] == ["lease-token"]


def test_a_secret_that_is_registered_later_is_found_in_a_text_that_was_clean(
    engine: RememberingEngine, live: LiveSecrets, known: Together
) -> None:
    text = "the phrase is horse-battery-staple"
    assert engine.scan(text) == []
    secrets = SecretSet(HMAC_KEY, (Registered.of("phrase", "horse-battery-staple", HMAC_KEY),))
    known.sets = (live, searching([secrets]))
    assert [match.kind for match in engine.scan(text)] == ["phrase"]


def test_what_is_remembered_is_bounded(
    engine: RememberingEngine, scans: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembering, "MOST", 2)
    for text in ("first text", "second text", "first text", "third text", "second text"):
        engine.scan(text)
    assert scans() == 4, "the text that was met longest ago is forgotten first"
    long = "x " * remembering.LONGEST
    engine.scan(long)
    engine.scan(long)
    assert scans() == 6


@given(st.lists(st.sampled_from([TOKEN, KEY, "print('x')\n", "-".join(TOKEN), "status", "password = 'Xk3#vT9!mQ'"])))
def test_it_finds_what_the_default_engine_finds(texts: list[str]) -> None:
    live = LiveSecrets()
    engine = RememberingEngine(Together(live))
    for turn, text in enumerate(texts):
        if turn == 2:
            live.add(TOKEN, "lease-token")
        assert engine.scan(text) == Engine.default(live=live).scan(text)

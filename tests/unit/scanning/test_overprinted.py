"""What can be seen of a text that goes back over itself, in each way in which viewers show it."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_qsec.scanning import overprinted as module
from jupyter_qsec.scanning.hit import Hit
from jupyter_qsec.scanning.overprinted import Reading, goes_back, readings, without_taken_back
from tests.fuzz.viewers import jupyterlab, terminal

TEXTS = st.text("ab \b\b\r\n", max_size=16)


@pytest.fixture(params=[1, 2, 5, 1 << 15])
def _in_pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PIECE", request.param)


def one_by_one(text: str) -> tuple[str, int]:
    """What a terminal shows and where more would go on: a character after the other."""
    lines, line, at = "", "", 0
    for character in text:
        if character == "\n":
            lines, line, at = f"{lines}{line}\n", "", 0
        elif character == "\r":
            at = 0
        elif character == "\b":
            at = max(0, at - 1)
        else:
            line = f"{line[:at]}{character}{line[at + 1 :]}"
            at += 1
    return lines + line, len(lines) + at


def taken_back(text: str) -> str:
    """What JupyterLab shows of a text without returns: its `processText`, a character after the other."""
    result = ""
    for character in text:
        if character != "\b":
            result += character
        elif result and result[-1] not in "\r\n":
            result = result[:-1]
    return result


def narrow(text: str) -> str:
    """With a blank for every character whose width is another's business."""
    return re.sub("[^\x00-\x7f]", " ", text)


def stands_in(text: str, reading: Reading) -> bool:
    """Whether each character of the reading is the one of the text to which it leads back."""
    spans = [reading.origin(n, n + 1) for n in range(len(reading.text))]
    return all(end == start + 1 for start, end in spans) and "".join(text[start] for start, _ in spans) == reading.text


@pytest.mark.usefixtures("_in_pieces")
def test_it_is_what_terminals_make_of_it_one_character_after_the_other() -> None:
    @given(TEXTS)
    def same(text: str) -> None:
        reading = module._Printing(text).reading(None)
        expected, cursor = one_by_one(text)
        assert reading.text.replace("\r\n", "\n") == expected
        assert len(reading.text) - reading.cursor == len(expected) - cursor
        assert stands_in(text, reading)

    same()


@pytest.mark.usefixtures("_in_pieces")
@pytest.mark.parametrize("rounds", [0, 1, 8])
def test_a_backspace_takes_the_character_before_it_away(rounds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ROUNDS", rounds)

    @given(TEXTS)
    def same(text: str) -> None:
        assert without_taken_back(text) == taken_back(text)
        assert "".join(text[start:end] for start, end in module._left_behind(text)) == taken_back(text)

    same()


@pytest.mark.usefixtures("_in_pieces")
def test_jupyterlab_takes_away_on_both_sides_of_the_cursor() -> None:
    @given(TEXTS)
    def same(text: str) -> None:
        reading = module._Printing(text, erases=True).reading(None)
        assert reading.text.replace("\r\n", "\n") == jupyterlab(text)
        assert stands_in(text, reading)

    same()


@pytest.mark.usefixtures("_in_pieces")
def test_one_reading_is_what_each_viewer_shows() -> None:
    parts = ["a", "b", "\b", "\b", "\r", "\n", "\u200b", "\u6f22", "e\u0301", "\U0001f600", "\x1b[1m", "\x9b"]

    @given(st.lists(st.sampled_from(parts), max_size=12).map("".join))
    def so(text: str) -> None:
        if "\b" in text:
            seen = {reading.text.replace("\r\n", "\n") for reading in readings(text)}
            assert jupyterlab(text) in seen
            assert narrow(terminal(text)) in set(map(narrow, seen))

    so()


@pytest.mark.usefixtures("_in_pieces")
def test_every_reading_leads_back_to_its_characters() -> None:
    @given(st.lists(st.sampled_from(["a", "b", " ", "\b", "\b", "\r", "\n", "\x1b[1m"]), max_size=12).map("".join))
    def so(text: str) -> None:
        assert all(stands_in(text, reading) for reading in readings(text))

    so()


@pytest.mark.usefixtures("_in_pieces")
def test_what_is_left_out_stands_in_the_text_as_it_is() -> None:
    @given(TEXTS)
    def so(text: str) -> None:
        assert goes_back(text) is ("\b" in text or "\r" in text.replace("\r\n", ""))
        if not readings(text) and goes_back(text):
            assert all(line.rstrip(" ") in text for line in one_by_one(text)[0].split("\n"))

    so()


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("AKxx\b\bIA", ["AKIA", "AKxxIA"]),
        ("xxIA\rAK", ["AKIA"]),
        ("one\nAKxx\b\bIAyy\b\b!", ["one\nAKIA!y", "one\nAKIA!", "one\nAKxxIAyy!"]),
        ("AKIA\b\b\n", ["AKIA\n", "AK\n"]),
        ("x\n\b\bAKIA", ["x\nAKIA"]),
        ("IIA\rAKx\b", ["AKx", "AKA", "IIA\rAKx", "IIA\rAK", "AK"]),
        ("..KIA\rA.\b", ["..KIA\rA.", "A.KIA", "..KIA\rA", "AIA"]),
        ("x\u200bIA\rAK", ["AKIA", "AKA"]),
        ("xxIA\rAK\x1b[", ["AKIA"]),
        ("\u6f22IA\rAK", ["AKA", "AKIA"]),
        ("AK\x1b[1mx\x1b[0m\bIA", ["AK\x1b[1mx\x1b[0mIA", "AK\x1b[1mx\x1b[0IA", "AKxIA", "AKIA"]),
        (" 1%|  \r 2%|# ", []),
        ("100 left\r9 left \r8 le", ["8 left t"]),
        ("100 left\r9 left  ", []),
        ("plain\r\ntext\r\n", []),
    ],
    ids=ascii,
)
def test_some_that_can_be_checked_by_eye(text: str, seen: list[str]) -> None:
    assert {one.text for one in readings(text)} == set(seen)


def test_a_span_holds_all_that_was_put_together_and_what_was_taken_away_at_its_end() -> None:
    (over,) = readings("see xxIA\rsee AK")
    assert over.text == "see AKIA" and over.origin(4, 8) == (6, 15)
    text = "see Ax\bKyy\b\b"
    erased = next(reading for reading in readings(text) if reading.taken_back)
    assert erased.text == "see AK"
    assert [(hit.start, hit.end) for hit in erased.back([Hit("x", 4, 6, 0)], len(text))] == [(4, len(text))]


def test_a_span_at_the_end_does_not_hold_a_sequence_that_has_only_begun() -> None:
    text = "Ax\bK\x1b["
    for reading in readings(text):
        if reading.text == "AK" and reading.ends is not None:
            assert [(hit.start, hit.end) for hit in reading.back([Hit("x", 0, 2, 0)], len(text))] == [(0, 4)]
            return
    pytest.fail("nothing reads it without the sequence")


@pytest.mark.parametrize(
    "unit",
    [
        "\u6f22\b",
        "\u6f22a\r",
        "e\u0301\r\b",
        "\u200ba\b",
        "\x1b[0m\u6f22\b\r",
        "a\b",
        "ab\b\b",
        "a\r",
        "a\r\b",
        "ab\b",
        "\r",
        "\b",
        "a\rb\b",
        "abc\b\b\r",
        "a\b\n",
        "a\r\n",
        "a\nb\rc\n",
    ],
    ids=ascii,
)
def test_it_takes_linear_time(unit: str) -> None:
    """Half a second a megabyte, not minutes."""
    size = 1 << 18
    for text in (unit * (size // len(unit)), "a" * size + "\b" * size + "b\r" * size):
        begun = time.process_time()
        for reading in readings(text):
            reading.back([Hit("x", 0, len(reading.text), 0)] if reading.text else [], len(text))
        assert time.process_time() - begun < 10

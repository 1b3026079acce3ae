"""A text as a reader sees it, in pieces so small that every boundary falls somewhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_qsec.scanning import joined

PARTS = [
    "\x1b[31m",
    "\x1b]0;title\x07",
    "\u200b",
    "\u200b" * 9,
    "\x1b7",
    "\x1bPq\x1b\\",
    "\x9b0m",
    "\ufe0f",
    "<b>",
    "&#65;",
    "&amp;",
    "<!-- -->",
    "a",
    "key=",
    "\n",
    "\r\n",
]
LONGEST = max(map(len, PARTS)) + 2


@pytest.fixture(autouse=True, params=[1, 3, 16])
def _in_pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joined, "_PIECE", request.param)
    monkeypatch.setattr(joined, "_LONGEST", LONGEST)


@pytest.mark.parametrize("what", [joined._UNSEEN, joined._MARKUP, joined._BREAK], ids=["unseen", "markup", "break"])
def test_pieces_give_the_matches_of_the_whole(what: object) -> None:
    @given(st.lists(st.sampled_from(PARTS), max_size=12).map("".join))
    def same(text: str) -> None:
        expected = [match.span() for match in what.finditer(text)]  # type: ignore[attr-defined]
        assert [match.span() for match in joined._matches(what, text)] == expected  # type: ignore[arg-type]

    same()


def test_a_long_run_of_invisible_characters_is_one_match() -> None:
    text = "a" + "\u200b" * (5 * LONGEST) + "b"
    assert joined.without_unseen(text).text == "ab"
    assert [match.span() for match in joined._matches(joined._UNSEEN, text)] == [(1, len(text) - 1)]


IGNORABLE = [
    *(0xAD, 0x34F, 0x61C, 0x3164, 0xFEFF, 0xFFA0),
    *(range(0x115F, 0x1161), range(0x17B4, 0x17B6), range(0x180B, 0x1810), range(0x200B, 0x2010)),
    *(range(0x202A, 0x202F), range(0x2060, 0x2070), range(0xFE00, 0xFE10), range(0xFFF0, 0xFFF9)),
    *(range(0x1BCA0, 0x1BCA4), range(0x1D173, 0x1D17B), range(0xE0000, 0xE1000)),
]
"""Default_Ignorable_Code_Point of DerivedCoreProperties.txt."""


def test_every_character_that_unicode_lets_viewers_ignore_is_looked_through() -> None:
    codes = [code for part in IGNORABLE for code in ([part] if isinstance(part, int) else part)]
    assert len(codes) == 4174
    for code in codes:
        assert joined.has_unseen(f"a{chr(code)}b") and joined.without_unseen(f"a{chr(code)}b").text == "ab"


def test_what_is_taken_out_is_never_overlooked() -> None:
    """The cheap look agrees with the thorough one, also on halves of characters."""
    for code in range(0x110000):
        text = chr(code)
        assert joined.without_unseen(text).text == text or joined.has_unseen(text)
    for text in ("\x9b0m", "\x90q\x9c", "\x9d0;x\x07", "\x1b7"):
        assert joined.has_unseen(f"a{text}") and joined.without_unseen(f"a{text}").text == "a"


@pytest.mark.parametrize("text", ["plain", "é ü", "中文 ─", "\ud800 half", "\x85", "a\u0301", "\u00a0"], ids=ascii)
def test_what_a_reader_sees_stays(text: str) -> None:
    assert not joined.has_unseen(text) and not joined.without_unseen(text).changed

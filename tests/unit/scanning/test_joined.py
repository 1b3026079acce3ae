"""A text as a reader sees it, in pieces so small that every boundary falls somewhere."""

from __future__ import annotations

import re

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
    "<!-- <b> -->",
    '<q a="b>">',
    "<td>",
    "<!>",
    "&Tab;",
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
def test_pieces_give_the_matches_of_the_whole(what: re.Pattern[str]) -> None:
    @given(st.lists(st.sampled_from(PARTS), max_size=12).map("".join))
    def same(text: str) -> None:
        expected = [match.span() for match in what.finditer(text)]
        assert [match.span() for match in joined._matches(what, text)] == expected

    same()


def test_a_long_run_of_invisible_characters_is_one_match() -> None:
    text = "a" + "\u200b" * (5 * LONGEST) + "b"
    assert joined.without_unseen(text).text == "ab"
    assert [match.span() for match in joined._matches(joined._UNSEEN, text)] == [(1, len(text) - 1)]

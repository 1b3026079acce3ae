"""What a reader does not see, and what a browser joins: all of it, and no more."""

from __future__ import annotations

import time

import pytest

from jupyter_qsec.scanning import joined

IGNORABLE: list[int | range] = [
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


@pytest.mark.parametrize(
    "markup",
    [
        *(
            "<ins>",
            "</del>",
            "<bdi/>",
            "<LABEL>",
            "<q\n>",
            "<x-y>",
            "<x-y/>",
            "<pre-x>",
            "<svg:tspan>",
            "<img src=x>",
            '<a"b>',
        ),
        *('<font color="a>b">', "<i title = 'a>b'>", "<i a='\">' b=\"'>\">", "<i a=b'>", '<i ">', "<data/value=3>"),
        *(
            "<!-- <b> -->",
            "<!-- x - -- -> --!>",
            "<!-->",
            "<!--->",
            "<!--<!-- -->",
            "<!x>",
            "<?x?>",
            "</ x>",
            "</>",
            "<![CDATA[",
        ),
        *("&ZeroWidthSpace;", "&shy;", "&shy", "&#173;", "&#0000000173;", "&#xAD", "&#x0000000ad;", "&NoBreak;"),
        f"<span style='{'x' * 500}' title='{'y' * 500}' class='z'>",
    ],
)
def test_what_browsers_join_is_joined(markup: str) -> None:
    assert joined.without_unseen(joined.rendered(f"a{markup}Z").text).text == "aZ"


@pytest.mark.parametrize(
    "markup",
    [
        *(
            "<td>",
            "</td><td class='x'>",
            "<TH\n>",
            "<tr>",
            "<p>",
            "<p/>",
            "<div id=x>",
            "<li>",
            "<br/>",
            "<hr>",
            "<h3>",
            "<pre>",
        ),
        *(
            "<option>",
            "<script>",
            "<style>",
            "<textarea>",
            "<title>",
            "<figure>",
            "<form>",
            "</text><text x='1'>",
            "<g>",
        ),
        *(" < ", "<3>", "< b >", "&qqqqqqq;", "&#;", "&"),
    ],
)
def test_what_browsers_show_apart_stays_apart(markup: str) -> None:
    assert joined.rendered(f"a{markup}Z").text == f"a{markup}Z"


def test_a_reference_without_its_semicolon_takes_nothing_from_what_follows() -> None:
    assert joined.rendered("a&ampKIA &fjlig; &copyright").text == "a&KIA fj \u00a9right"


@pytest.mark.parametrize(
    "unit",
    [
        *(
            "<a ",
            '<a "="',
            "<a ='",
            "<!--",
            "<!",
            "</ ",
            "<",
            "&a",
            "&#1",
            f'<a "="{"x" * 500}',
            f"<!--{'x' * 500}",
            f"<!{'-' * 99}",
        ),
        *(f"<a {'x=' * 30}", '<a "="<!--', "\x90", "\x1bP", "\x1b]\x90", "\x9b0", "\u200b\x1b", "\x1b["),
    ],
    ids=ascii,
)
def test_what_begins_and_never_ends_takes_linear_time(unit: str) -> None:
    """Each character is gone over some thirty times at most: half a second a megabyte, not minutes."""
    text = unit * ((1 << 18) // len(unit))
    begun = time.process_time()
    joined.rendered(text)
    joined.without_unseen(text)
    joined.unseen_so_far(text)
    assert time.process_time() - begun < 10


@pytest.mark.parametrize(
    "marks",
    [
        *("*", "**", "***", "~~", "`", "**`", "$", "$$", "[", "](http://localhost/x)", "][ref]", "**[](x)"),
        *('](http://localhost/x "title")', "](a_(b))", "]( x )", f"]({'u' * 600})", "~", "![](x)", "]()"),
        *(r"\textcolor{red}{", r"\color{red}", r"\colorbox{white}{", r"\href{http://localhost}{", r"\class{x}{"),
        *(
            r"\style{color:red}{",
            r"\hspace{0pt}",
            r"\kern0pt ",
            r"\rule{0pt}{0pt}",
            "{}_{}",
            "^{}",
            "%x\n",
            r"\raise1pt{",
        ),
        *("{", "}{", "}\\text{", r"\mathrm{", "}\\,{\\bf ", "\\!", r"\textbf{\textit{"),
    ],
)
def test_marks_within_a_word_are_looked_through(marks: str) -> None:
    assert joined.without_marks(f"AK{marks}IA").text == "AKIA"


@pytest.mark.parametrize(
    "text", ["a * b", "**a** b", "$a$ and $b$", "a [b](c) d", "`a` `b`", "\\frac {a} {b}", "- a\n* b", "a** b", "a {b}"]
)
def test_marks_between_words_stay(text: str) -> None:
    assert not joined.without_marks(text).changed


def test_an_escaped_mark_of_a_token_stays_without_its_escape() -> None:
    assert joined.without_marks("ghp\\_ab\\.c").text == "ghp_ab.c"


@pytest.mark.parametrize(
    "unit",
    [
        "\\a",
        "a*",
        "a](",
        "](x",
        "a{",
        "a[b](c",
        "\\text{a}",
        "`",
        "a][b",
        "a](a(",
        "](a)",
        "](a(b)",
        "a%",
        "a%\n",
        r"\color{a",
        r"\rule{a}{",
        r"a\kern1",
        "a![",
        "a~",
    ],
)
def test_marks_take_linear_time(unit: str) -> None:
    text = unit * ((1 << 18) // len(unit))
    begun = time.process_time()
    joined.without_marks(text)
    assert time.process_time() - begun < 10

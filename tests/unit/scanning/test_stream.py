"""Streams: a secret is caught however it was cut, and everything else flows."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jupyter_qsec.scanning.engine import Engine
from jupyter_qsec.scanning.live import LiveSecrets
from jupyter_qsec.scanning.shapes import SHAPES
from jupyter_qsec.scanning.stream import MAX_HELD, MAX_SECONDS, SHOWN_LATE, StreamRedactor
from tests.unit.scanning.planted import AWS_KEY, AWS_TOKEN, BENIGN, JWT, LONG_JWT, PLANTED, RSA_KEY

SCANNER = Engine.default()
LONGEST_LEAK = 12
"""A secret without a telling beginning is held only from its twelfth character on."""
ALL_SHAPES = {shape.kind for shape in SHAPES}
SHAPES_HELD_LATE = {shape.kind for shape in SHAPES if shape.hold_after > 1}


class Seconds:
    """A monotonic clock that moves only when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def passed(chunks: Iterable[str], scanner: Engine = SCANNER) -> list[str]:
    """What comes out after each chunk, and at the end."""
    stream = StreamRedactor(scanner, clock=Seconds())
    out = [stream.feed(chunk).text for chunk in chunks]
    return [*out, stream.flush().text]


def cut(text: str, places: Iterable[int]) -> list[str]:
    marks = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[a:b] for a, b in pairwise(marks)]


def leaks(secret: str, output: str) -> bool:
    """Whether more than a few characters in a row of the secret occur in the output."""
    size = LONGEST_LEAK + 1
    return any(secret[n : n + size] in output for n in range(max(1, len(secret) - size + 1)))


@pytest.mark.parametrize("end", ["", "\n"], ids=["end=''", "lines"])
def test_a_key_in_three_prints_becomes_one_marker(end: str) -> None:
    pieces = [piece + end for piece in (AWS_KEY[:7], AWS_KEY[7:14], AWS_KEY[14:])]
    assert "".join(passed(["key: ", *pieces, "done\n"])).replace("\n", "") == "key: [REDACTED:aws-access-key]done"


@pytest.mark.parametrize(
    ("kind", "secret", "text"), PLANTED, ids=[f"{n}-{kind}" for n, (kind, _, _) in enumerate(PLANTED)]
)
def test_a_secret_that_comes_character_by_character(kind: str, secret: str, text: str) -> None:
    output = "".join(passed([*f"x = 1\n{text}\nbye\n"]))
    assert not leaks(secret, output)
    assert f"[REDACTED:{kind}]" in output or f"[REDACTED:{SCANNER.scan(text)[0].kind}]" in output
    if text.startswith(secret) and len(secret) < MAX_HELD and kind not in SHAPES_HELD_LATE:
        assert output.startswith("x = 1\n[REDACTED:")


@settings(max_examples=400)
@given(st.sampled_from(PLANTED), st.text("ab= \n'\"", max_size=30), st.lists(st.integers(0, 5000), max_size=12))
def test_no_split_lets_a_secret_through(planted: tuple[str, str, str], around: str, places: list[int]) -> None:
    _, secret, text = planted
    whole = f"{around}\n{text}\n{around}"
    output = "".join(passed(cut(whole, places)))
    assert not leaks(secret, output)
    if planted[0] not in SHAPES_HELD_LATE:
        assert output == SCANNER.redact(whole).text


@pytest.mark.parametrize(
    "unseen",
    [
        *(
            "\x1b[1;31m",
            "\x1b(B",
            "\x1b]0;x\x07",
            "\x1b]0;x\x1b\\",
            "\u200b",
            "\r\n",
            "\x1b7",
            "\x1bPq\x1b\\",
            "\x1b_x\x1b\\",
        ),
        *("\x9b1;31m", "\x9d0;x\x07", "\x90q\x9c", "\ufe0f", "\U000e0041"),
    ],
    ids=ascii,
)
def test_a_print_that_ends_within_what_nobody_sees_lets_no_secret_through(unseen: str) -> None:
    for at in range(4, len(AWS_KEY)):
        text = f"{AWS_KEY[:at]}{unseen}{AWS_KEY[at:]} end\n"
        for place in range(at, at + len(unseen) + 1):
            assert "".join(passed([text[:place], text[place:]])) == "[REDACTED:aws-access-key] end\n"


@pytest.mark.parametrize(
    "unseen", ["\x1b[1;31m", "\x1b]0;x\x07\x1b(B", "\u200b\u00ad", "\x1bPq\x1b\\\x9b0m\ufe0f"], ids=ascii
)
@pytest.mark.parametrize("secret", [LONG_JWT, AWS_TOKEN], ids=["jwt", "aws"])
def test_a_secret_that_is_too_long_to_hold_goes_on_behind_what_nobody_sees(secret: str, unseen: str) -> None:
    for at in (300, 310, len(secret) - 50):
        text = f"token {secret[:at]}{unseen}{secret[at:]}{unseen} end\n"
        for size in (1, 7, 50, 311, at + 1, at + len(unseen)):
            assert "".join(passed(cut(text, range(0, len(text), size)))) == SCANNER.redact(text).text


def test_a_colour_that_ends_a_long_secret_is_shown_when_its_time_is_over() -> None:
    clock = Seconds()
    stream = StreamRedactor(SCANNER, clock=clock)
    assert stream.feed(f"{LONG_JWT}\x1b[").text == "[REDACTED:jwt]"
    assert stream.feed("0m").text == "" and stream.pending()
    clock.now += MAX_SECONDS
    assert stream.release_due().text == "\x1b[0m" and not stream.pending()
    assert stream.feed(" ok\n").text == " ok\n"


@pytest.mark.parametrize("end", ["\x1b", "\x1b[", "\x1b]0;", "\x1bPq", "\x9b", "\r"], ids=ascii)
def test_what_ends_so_and_holds_no_secret_flows(end: str) -> None:
    assert passed([f"45% done{end}"])[0] == f"45% done{end}"


@settings(max_examples=150)
@given(st.sampled_from(BENIGN), st.lists(st.integers(0, 50_000), max_size=12))
def test_what_holds_no_secret_arrives_as_it_was(benign: tuple[str, str], places: list[int]) -> None:
    text = benign[1][:8000]
    if not SCANNER.scan(text):
        assert "".join(passed(cut(text, places))) == text


@settings(max_examples=300)
@given(st.lists(st.text(max_size=20), max_size=12))
@example(["-----BEGIN ", 'RSA PRIVATE KEY-----"', " in text\n"])
@example(["Epoch A", "KIA is a car\n", "eyJ", " ghp_", "\x1b[3", "1mtoken", ' = "', "x", '"\n'])
@example(["\ud800", "AKIA\udfff"])
def test_any_text_without_secrets_arrives_as_it_was(chunks: list[str]) -> None:
    text = "".join(chunks)
    if not SCANNER.scan(text):
        assert "".join(passed(chunks)) == text


@settings(max_examples=200)
@given(st.sampled_from(PLANTED), st.lists(st.tuples(st.integers(1, 60), st.booleans()), min_size=1, max_size=40))
def test_after_a_release_the_rest_is_still_redacted(
    planted: tuple[str, str, str], steps: list[tuple[int, bool]]
) -> None:
    """However often time runs out, a secret never comes out whole once it can be told from other text."""
    _, secret, text = planted
    clock = Seconds()
    stream = StreamRedactor(SCANNER, clock=clock)
    out, at = [], 0
    for size, late in steps:
        out.append(stream.feed(text[at : at + size]).text)
        at += size
        if late:
            clock.now += 1.0
            out.append(stream.release_due().text)
    out += [stream.feed(text[at:]).text, stream.feed("\n").text, stream.flush().text]
    told_by_what_follows = not SCANNER.scan(text[: text.index(secret) + len(secret)])
    assert told_by_what_follows or secret not in "".join(out)
    assert not stream.pending() and stream.deadline is None


def test_progress_bars_flow_at_once() -> None:
    bars = [f"\r{n:3d}%|{'█' * (n // 10):10s}| {n}/100 [00:{n:02d}<00:{99 - n:02d}, 1.00it/s]" for n in range(100)]
    assert passed(bars) == [*bars, ""]


@pytest.mark.parametrize(
    "chunk", ["step 12\n", "\rETA 00:12 ", "loss=0.25, ", "a b c.", "{'00': 498, '11': 502}", ">>> "]
)
def test_ordinary_output_is_never_held(chunk: str) -> None:
    assert passed([chunk] * 3) == [*([chunk] * 3), ""]


def test_lines_before_a_possible_secret_flow_at_once() -> None:
    assert passed(["one\ntwo\nAKIA", "three\n"])[0] == "one\ntwo\n"


def test_held_text_goes_out_at_its_deadline_and_not_before() -> None:
    clock = Seconds()
    stream = StreamRedactor(SCANNER, clock=clock)
    assert (stream.feed("see AKIA").text, stream.pending(), stream.deadline) == ("see ", True, 1000.0 + MAX_SECONDS)
    clock.now += MAX_SECONDS / 2
    assert (stream.feed("I").text, stream.deadline) == ("", 1000.0 + MAX_SECONDS)
    assert stream.release_due().text == "" and stream.pending()
    clock.now += MAX_SECONDS
    assert (stream.release_due().text, stream.pending(), stream.deadline) == ("AKIA", True, None)
    assert (stream.feed("O").text, stream.deadline) == ("", 1000.0 + 2.5 * MAX_SECONDS)
    clock.now += MAX_SECONDS
    assert stream.release_due().text == "", "four characters of a secret, however often its time is over"
    assert stream.feed("SFODNN7EXAMPLD!\n").text == "[REDACTED:aws-access-key]!\n"


def test_a_form_behind_a_colour_is_held_like_one_without() -> None:
    digits = "9f86d081884c7d659a2feaa0c55ad015"
    stream = StreamRedactor(SCANNER, clock=Seconds())
    out = [stream.feed(f"\x1b[0m{digits}").text, stream.feed("-us12 bye\n").text, stream.flush().text]
    assert "".join(out) == SCANNER.redact(f"\x1b[0m{digits}-us12 bye\n").text
    assert digits[:LONGEST_LEAK] not in "".join(out)


def slowly(text: str, engine: Engine = SCANNER) -> str:
    """What comes out, without markers, when the time is over after each character."""
    clock = Seconds()
    stream = StreamRedactor(engine, clock=clock)
    out = []
    for character in text:
        out.append(stream.feed(character).text)
        clock.now += 1.0
        out.append(stream.release_due().text)
    return re.sub(r"\[REDACTED:[a-z0-9-]+\]", "", "".join([*out, stream.flush().text]))


@pytest.mark.parametrize(("kind", "secret", "text"), [one for one in PLANTED if one[0] not in ALL_SHAPES])
def test_of_a_secret_that_is_printed_slowly_four_characters_show(kind: str, secret: str, text: str) -> None:
    assert secret[: SHOWN_LATE + 1] not in slowly(f"x = 1\n{text}\nbye\n")


def test_of_a_live_secret_that_is_printed_slowly_four_characters_show() -> None:
    token = "qsl_4f9Kd-2Lw_7TzQm8VbX1"
    live = LiveSecrets()
    live.add(token, "lease-token")
    for shape in (token, base64.b64encode(token.encode()).decode(), token.encode().hex()):
        assert shape[: SHOWN_LATE + 1] not in slowly(f"it is {shape} here\n", Engine.default(live=live))


@pytest.mark.parametrize(
    "text", ["waiting for the password", "processed 12345678901", "the token is near, key later", "12:30 d41d8cd98f00"]
)
def test_what_is_no_secret_shows_when_its_time_is_over(text: str) -> None:
    clock = Seconds()
    stream = StreamRedactor(SCANNER, clock=clock)
    out = stream.feed(text).text
    clock.now += 1.0
    assert out + stream.release_due().text == text


def test_never_more_than_the_bound_is_held() -> None:
    stream = StreamRedactor(SCANNER, clock=Seconds())
    text = "eyJ" + "a" * 5000
    out = ""
    for n, character in enumerate(text):
        out += stream.feed(character).text
        assert n + 1 - len(out) <= MAX_HELD


@pytest.mark.parametrize(
    "secret", [JWT, LONG_JWT, AWS_TOKEN, "DEV-" + "0a" * 200, f"https://x/?token={'a1b2c3' * 100}"[17:]]
)
def test_an_open_ended_secret_is_swallowed_to_its_last_character(secret: str) -> None:
    lead = "https://x/?token=" if secret.startswith("a1") else ""
    for size in (1, 50, 255, 256, 257, 400):
        chunks = [lead, *(secret[n : n + size] for n in range(0, len(secret), size)), " end\n"]
        output = "".join(passed(chunks))
        assert output.startswith(f"{lead}[REDACTED:") and output.endswith("] end\n") and not leaks(secret, output)


def test_a_secret_that_goes_on_after_a_flush_is_still_swallowed() -> None:
    stream = StreamRedactor(SCANNER, clock=Seconds())
    head, tail = JWT[:80], JWT[80:]
    assert stream.feed(head).text == ""
    flushed = stream.flush()
    assert flushed.text == "[REDACTED:jwt]" and flushed.secrets == (("jwt", head),)
    assert not stream.pending() and stream.deadline is None
    finished = stream.feed(f"{tail} end\n")
    assert finished.text == " end\n" and finished.secrets == ()


def test_a_secret_too_long_to_hold_is_told_whole_when_its_end_comes_or_time_is_up() -> None:
    for end in (" end\n", ""):
        clock = Seconds()
        stream = StreamRedactor(SCANNER, clock=clock)
        parts = [stream.feed(LONG_JWT[n : n + 100]) for n in range(0, len(LONG_JWT), 100)]
        assert stream.pending() and stream.deadline is not None
        clock.now += 1.0
        parts += [stream.feed(end) if end else stream.release_due()]
        assert "".join(part.text for part in parts) == f"[REDACTED:jwt]{end}"
        assert [secret for part in parts for secret in part.secrets] == [("jwt", LONG_JWT)]
        assert not stream.pending() and stream.deadline is None


def test_a_key_printed_line_by_line_between_other_messages() -> None:
    stream = StreamRedactor(SCANNER, clock=Seconds())
    out = []
    for line in f"{RSA_KEY}\nbye\n".splitlines(keepends=True):
        out += [stream.feed(line).text, stream.flush().text]
    assert "".join(out) == "[REDACTED:private-key]\nbye\n"


def test_an_end_line_cut_anywhere_ends_the_key() -> None:
    whole = f"{RSA_KEY}\nbye\n"
    start = whole.index("-----END")
    for place in range(start, len(whole) - 4):
        assert "".join(passed([whole[:place], whole[place:]])) == "[REDACTED:private-key]\nbye\n"


def test_what_was_found_is_told_once_with_its_place_in_the_stream() -> None:
    stream = StreamRedactor(SCANNER, clock=Seconds())
    first, second = AWS_KEY[:8], AWS_KEY[8:]
    parts = [stream.feed(f"a\nb {first}"), stream.feed(f"{second} and more\n"), stream.feed("c\n"), stream.flush()]
    matches = [match for part in parts for match in part.matches]
    assert [(match.kind, match.start, match.end) for match in matches] == [("aws-access-key", 4, 24)]
    assert [secret for part in parts for secret in part.secrets] == [("aws-access-key", AWS_KEY)]


def test_a_live_secret_is_caught_across_chunks() -> None:
    live = LiveSecrets()
    live.add("zq-Kw9!xM27 plain", "lease-token")
    output = passed(["so: zq-K", "w9!xM2", "7 plain ok"], SCANNER.with_live(live))
    assert output == ["so: ", "", "[REDACTED:lease-token] ok", ""]


def test_without_memory_of_the_last_chunk_the_key_would_come_through() -> None:
    """What the stream is for: each piece alone holds no secret."""
    pieces = [AWS_KEY[:7], AWS_KEY[7:14], AWS_KEY[14:]]
    assert "".join(SCANNER.redact(piece).text for piece in pieces) == AWS_KEY
    assert AWS_KEY not in "".join(passed(pieces))


@pytest.mark.parametrize("text", ["비밀번호: kT9xQ2mWz7", "пароль: kT9xQ2mWz7", "password = \u201ckT9xQ2mWz7\u201d"])
def test_words_of_other_scripts_come_in_pieces(text: str) -> None:
    assert "kT9x" not in "".join(passed([*f"x\n{text}\ny"]))

"""Of a secret that comes with pauses, also as long as its marker is out, no more than four characters show."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import pytest

from jupyter_qsec.scanning.engine import Engine, Redaction
from jupyter_qsec.scanning.live import LiveSecrets
from jupyter_qsec.scanning.stream import SHOWN_LATE, StreamRedactor
from tests.unit.scanning.planted import AWS_KEY, AWS_TOKEN, JWT, LONG_JWT

SCANNER = Engine.default()
LIVE_TOKEN = "qsl_4f9Kd-2Lw_7TzQm8VbX1aB3dE5gH7jK9mN"
BODY = "PPqE2asBRlfRDBAWp0MDSmqkgdf4wHD4B9xfnP4bgtI3yyiMLaKBBsTb7X9Dr0XU1K2kP3qYWa0U"
UNSEEN = ["\x1b[0m", "\x1b[1;31m", "\x1b]0;x\x07", "\u200b", "\x1b(B"]


def live_engine() -> Engine:
    live = LiveSecrets()
    live.add(LIVE_TOKEN, "lease-token")
    return SCANNER.with_live(live)


class Printer:
    """What comes out of a stream, and what it tells."""

    def __init__(self, engine: Engine = SCANNER) -> None:
        self._now = 0.0
        self._stream = StreamRedactor(engine, clock=lambda: self._now)
        self._parts: list[Redaction] = []

    def prints(self, *pieces: str) -> None:
        self._parts += [self._stream.feed(piece) for piece in pieces]

    def waits(self) -> None:
        self._now += 1.0
        self._parts.append(self._stream.release_due())

    def displays(self) -> None:
        """Another message of the same cell."""
        self._parts.append(self._stream.flush())

    @property
    def shown(self) -> str:
        return "".join(part.text for part in self._parts)

    @property
    def told(self) -> list[tuple[str, str]]:
        return [secret for part in self._parts for secret in part.secrets]


def with_pauses(pieces: Sequence[str], engine: Engine = SCANNER) -> Printer:
    printer = Printer(engine)
    for piece in pieces:
        printer.prints(piece)
        printer.waits()
    printer.displays()
    return printer


def most_shown(secret: str, shown: str) -> int:
    """How many characters in a row."""
    shown = re.sub(r"\[REDACTED:[a-z0-9-]+\]", "\0", shown)
    sizes = range(len(secret), 0, -1)
    return next((n for n in sizes if any(secret[a : a + n] in shown for a in range(len(secret) - n + 1))), 0)


@pytest.mark.parametrize("between", ["\n", "\r\n", " ", *UNSEEN, "-", ", "], ids=ascii)
@pytest.mark.parametrize("before", ["token = '", "password=", "key: ", "Authorization: Bearer ", ""])
def test_the_live_token_shows_no_rest_when_a_marker_was_out_before_the_pause(before: str, between: str) -> None:
    engine = live_engine()
    for at in range(1, len(LIVE_TOKEN), 2):
        for place in {0, 1, len(between)}:
            pieces = [before + LIVE_TOKEN[:at] + between[:place], f"{between[place:]}{LIVE_TOKEN[at:]} bye\n"]
            printer = with_pauses(pieces, engine)
            assert most_shown(LIVE_TOKEN, printer.shown) <= SHOWN_LATE, ascii(pieces)
            assert printer.shown.endswith(" bye\n") and len(printer.told) == len(set(printer.told))


@pytest.mark.parametrize("unseen", UNSEEN, ids=ascii)
@pytest.mark.parametrize(
    "before", ["Authorization: Bearer ", "password=", "export AWS_SESSION_TOKEN=", "sqlcmd -S db -U sa -P "]
)
def test_a_pause_within_what_nobody_sees_ends_no_secret(before: str, unseen: str) -> None:
    for place in range(len(unseen) + 1):
        for pause in Printer.waits, Printer.displays:
            printer = Printer()
            printer.prints(f"{before}{BODY[:28]}{unseen[:place]}")
            pause(printer)
            printer.prints(f"{unseen[place:]}{BODY[28:]} bye\n")
            assert most_shown(BODY, printer.shown) <= SHOWN_LATE, (place, pause)
            assert printer.shown.endswith(" bye\n") and len(printer.told) == 1


@pytest.mark.parametrize("secret", [LONG_JWT, AWS_TOKEN], ids=["jwt", "aws"])
def test_half_a_control_sequence_behind_a_secret_waits_for_its_other_half(secret: str) -> None:
    printer = Printer()
    printer.prints(f"{secret[:400]}\x1b[")
    printer.waits()
    assert printer.shown.startswith("[REDACTED:") and printer.shown.endswith("]")
    printer.prints("0m")
    printer.waits()
    assert printer.shown.endswith("]\x1b[0m")
    printer.prints(f"{secret[400:]} bye\n")
    assert printer.shown.endswith("]\x1b[0m bye\n") and len(printer.told) == 1


@pytest.mark.parametrize("end", ["\x1b[", "\x1b", "\x1b]0;ti", "#", "(#", " "], ids=ascii)
def test_what_waits_behind_a_secret_is_neither_lost_nor_shown_twice(end: str) -> None:
    secret = f"{JWT[:-4]}q\b{JWT[-4:]}"
    for pauses in ([Printer.waits], [Printer.displays], [Printer.waits, Printer.displays]):
        printer = Printer()
        printer.prints(f"{secret}{end}")
        for pause in pauses:
            pause(printer)
        printer.prints("\nand more\n")
        printer.displays()
        assert printer.shown == f"[REDACTED:jwt]{end}\nand more\n" and [kind for kind, _ in printer.told] == ["jwt"]


def test_a_secret_of_any_length_ends_where_it_ends_however_it_is_split_and_wherever_pauses_are() -> None:
    for secret in (JWT, LONG_JWT, f"password={BODY * 20}"):
        text = f"see {secret} one\ntwo {BODY[:10]}\n"
        whole = SCANNER.redact(text)
        for size in (7, 50, 300, 1100):
            marks = [*range(0, len(text), size), len(text)]
            pieces = [text[a:b] for a, b in pairwise(marks)]
            printer = with_pauses(pieces)
            end = whole.text[whole.text.index("[REDACTED") :]
            assert printer.shown.endswith(end) and len(printer.told) == 1
            assert len(printer.shown) <= len(whole.text) + SHOWN_LATE


def test_many_secrets_that_end_one_after_another_are_each_told_once() -> None:
    printer = Printer()
    for n in range(200):
        printer.prints(f"password={BODY[n % 40 :][:30]}{n}")
        printer.waits()
        printer.prints("\n")
    assert printer.shown == "password=[REDACTED:assigned-secret]\n" * 200 and len(printer.told) == 200


@pytest.mark.parametrize("line_break", ["\n", "\r\n"], ids=ascii)
def test_a_key_broken_over_lines_shows_four_characters_before_a_pause(line_break: str) -> None:
    for at in range(5, len(AWS_KEY)):
        printer = with_pauses([f"see {AWS_KEY[:at]}{line_break}", f"{AWS_KEY[at:]}{line_break}"])
        assert most_shown(AWS_KEY, printer.shown) <= SHOWN_LATE, at
        assert printer.shown.endswith(f"[REDACTED:aws-access-key]{line_break}") and len(printer.told) == 1
    thrice = with_pauses(
        [AWS_KEY[:8] + line_break, AWS_KEY[8:12], AWS_KEY[12:19] + line_break, AWS_KEY[19:] + line_break]
    )
    assert most_shown(AWS_KEY, thrice.shown) <= SHOWN_LATE


@pytest.mark.parametrize(
    "text", ["done\n", "loss: 0.25\r\n", "eyes on AK\n", "model saved to s3\n", "0f3a9c\n"], ids=ascii
)
def test_lines_that_hold_no_secret_go_out_whole_before_a_pause(text: str) -> None:
    printer = Printer()
    printer.prints(text)
    printer.waits()
    assert printer.shown == text


@pytest.mark.parametrize("first", [1, 3])
@pytest.mark.parametrize("width", range(1, 9))
def test_more_may_be_taken_back_at_once_than_ever_before(first: int, width: int) -> None:
    for at in range(5, len(AWS_KEY)):
        head = f"AK{'xyz'[:first]}{chr(8) * first}{AWS_KEY[2:at]}{'abcdefgh'[:width]}"
        printer = Printer()
        printer.prints(head, "\b" * width + AWS_KEY[at:] + "\n")
        assert printer.shown == "[REDACTED:aws-access-key]\n", at
        late = with_pauses([head, "\b" * width + AWS_KEY[at:] + "\n"])
        assert most_shown(AWS_KEY, late.shown.replace("\b", "").replace("xyz"[:first], "")) <= SHOWN_LATE, at


def test_bars_are_live_also_when_something_was_taken_back_in_their_line() -> None:
    bars = [f"\r{n:3d}%|{'█' * (n // 10):10s}| {n}/100 [00:{n:02d}<00:{99 - n:02d}, 1.00it/s]" for n in range(100)]
    stream = StreamRedactor(live_engine(), clock=lambda: 0.0)
    stream.feed("step 12\b\b13 ")
    assert [stream.feed(bar).text for bar in bars] == bars


@pytest.mark.parametrize(
    "bars",
    [
        [f"{chr(8) * 42}{n:3d}/100 [{'=' * (n // 5):20s}] - loss: 0.{n:04d}" for n in range(100)],
        ["working |", *(f"\b{mark}" for mark in "/-\\|" * 20)],
    ],
    ids=["keras", "spinner"],
)
def test_bars_that_take_back_are_shown_when_their_time_is_over(bars: list[str]) -> None:
    printer = Printer()
    for n, bar in enumerate(bars):
        printer.prints(bar)
        printer.waits()
        assert printer.shown == "".join(bars[: n + 1])

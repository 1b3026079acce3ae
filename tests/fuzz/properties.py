"""What must hold for every text and every split of it. Without atheris, so that pytest tries it, too."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise

from jupyter_qsec.scanning.engine import Engine, replace
from jupyter_qsec.scanning.finding import Match
from jupyter_qsec.scanning.live import LiveSecrets
from jupyter_qsec.scanning.mimebundle import redact_json
from jupyter_qsec.scanning.overprinted import goes_back
from jupyter_qsec.scanning.scanner import Scanner
from jupyter_qsec.scanning.shapes import SHAPES
from jupyter_qsec.scanning.stream import StreamRedactor
from tests.fuzz.viewers import VIEWERS

KEY = "AKIA" + "QSEC7PLANTED5Q2X"
TOKEN = "qsl_4f9Kd-2Lw_7TzQm8VbX1"
PIECES = (
    *("password", " = ", '"', "'", "\n", "\r\n", "token", "is", "-----BEGIN PRIVATE KEY-----", "eyJ", "<b>", "&#65;"),
    *(
        "\x1b[0m",
        "\x1b[1;31m",
        "\x1b]0;x\x07",
        "\x1b",
        "\b",
        "\b",
        "\r",
        "x\b",
        "\u200b",
        "\u00ad",
        "\u6f22",
        "AKIA",
        "ghp_",
        "://",
        "@",
        "-",
        " ",
    ),
    *("\r", "x\b", "..\r", "\u6f22"),
    *("aws_secret_access_key", "\\n", "secret:", KEY, KEY[:9], KEY[9:], TOKEN, TOKEN[:9], TOKEN[9:], TOKEN[::-1]),
)
"""What means something to rules."""
LIVE = LiveSecrets()
LIVE.add(TOKEN, "lease-token")
ENGINE = Engine.default(live=LIVE)
SCANNER = Scanner(engine=ENGINE)
_TOLD_LATE = {shape.kind for shape in SHAPES if shape.hold_after > 1}
"""Kinds that no beginning tells: of them some characters are out before they are recognised."""


def text_of(number: Callable[[int, int], int], unicode: Callable[[int], str]) -> str:
    """Pieces and between them arbitrary characters. `number` gives one between two bounds, `unicode` so many characters
    or fewer."""
    parts = []
    for _ in range(number(0, 12)):
        parts.append(PIECES[number(0, len(PIECES) - 1)])
        parts.append(unicode(number(0, 24)))
    return "".join(parts)


def split(text: str, places: Iterable[int]) -> list[str]:
    """The text cut at these places."""
    marks = sorted({0, len(text), *places})
    return [text[a:b] for a, b in pairwise(marks)]


def check(text: str, pieces: list[str]) -> None:
    """`pieces` together are the text."""
    matches = ENGINE.scan(text)
    at = 0
    for match in matches:
        assert at <= match.start < match.end <= len(text)
        at = match.end
    redacted = ENGINE.redact(text).text
    printed = replace(text, ENGINE.scan_printed(text)).text
    stream = StreamRedactor(ENGINE, clock=lambda: 0.0)
    shown = "".join(stream.feed(piece).text for piece in pieces) + stream.flush().text
    for output in (redacted, printed, shown):
        assert TOKEN not in output
        assert KEY not in output
    for view in VIEWERS:
        assert not any(secret in view(printed) for secret in (TOKEN, KEY))
    if not goes_back(text):
        assert printed == redacted
    if not goes_back(text) and not any(map(late_in(text), matches)):
        assert shown == redacted
    redact_json({"data": {"text/html": text, "text/plain": [text, text]}, "token": text}, ENGINE)
    for finding in SCANNER.scan_text(text):
        assert TOKEN not in repr(finding)


def late_in(text: str) -> Callable[[Match], bool]:
    """Tells of a match whether it may be recognised after its first characters are out, if it comes in pieces."""
    return lambda match: match.kind in _TOLD_LATE or "\n" in text[match.start : match.end]

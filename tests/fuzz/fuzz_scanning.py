"""The scanner under atheris: coverage leads to texts that nobody thought of. Started by `make fuzz`, not by pytest.

What must hold for every text and every split of it: nothing raises; matches are sorted and within the text; a planted
key is never shown, and a text without secrets arrives as it was.
"""

from __future__ import annotations

import sys
from itertools import pairwise

import atheris

with atheris.instrument_imports(include=["jupyter_qsec.scanning"]):
    from jupyter_qsec.scanning.engine import Engine
    from jupyter_qsec.scanning.live import LiveSecrets
    from jupyter_qsec.scanning.mimebundle import redact_json
    from jupyter_qsec.scanning.scanner import Scanner
    from jupyter_qsec.scanning.stream import StreamRedactor

KEY = "AKIA" + "QSEC7PLANTED5Q2X"
TOKEN = "qsl_4f9Kd-2Lw_7TzQm8VbX1"
PIECES = (
    *(
        "password",
        " = ",
        '"',
        "'",
        "\n",
        "token",
        "is",
        "\x1b[0m",
        "\u200b",
        "-----BEGIN PRIVATE KEY-----",
        "eyJ",
        "<b>",
    ),
    *(
        "&#65;",
        "AKIA",
        "ghp_",
        "://",
        "@",
        "-",
        " ",
        "aws_secret_access_key",
        "\\n",
        "secret:",
        KEY,
        TOKEN,
        TOKEN[::-1],
    ),
)
LIVE = LiveSecrets()
LIVE.add(TOKEN, "lease-token")
ENGINE = Engine.default(live=LIVE)
SCANNER = Scanner(engine=ENGINE)


def text_of(data: atheris.FuzzedDataProvider) -> str:
    """Arbitrary characters between pieces that mean something to rules."""
    parts = []
    for _ in range(data.ConsumeIntInRange(0, 12)):
        parts.append(PIECES[data.ConsumeIntInRange(0, len(PIECES) - 1)])
        parts.append(data.ConsumeUnicode(data.ConsumeIntInRange(0, 24)))
    return "".join(parts)


def one(raw: bytes) -> None:
    """One input of the fuzzer."""
    data = atheris.FuzzedDataProvider(raw)
    text = text_of(data)
    at = 0
    matches = ENGINE.scan(text)
    for match in matches:
        assert at <= match.start < match.end <= len(text)
        at = match.end
    redacted = ENGINE.redact(text).text
    assert TOKEN not in redacted
    assert KEY not in redacted
    marks = sorted({0, len(text), *(data.ConsumeIntInRange(0, len(text)) for _ in range(data.ConsumeIntInRange(0, 6)))})
    stream = StreamRedactor(ENGINE, clock=lambda: 0.0)
    shown = "".join(stream.feed(text[a:b]).text for a, b in pairwise(marks)) + stream.flush().text
    assert TOKEN not in shown
    assert KEY not in shown
    if not matches:
        assert shown == text
    redact_json({"data": {"text/html": text, "text/plain": [text, text]}, "token": text}, ENGINE)
    for finding in SCANNER.scan_text(text):
        assert TOKEN not in repr(finding)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()

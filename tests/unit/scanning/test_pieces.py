"""However a text is cut, what comes out and what is told is as for the whole."""

from __future__ import annotations

import pytest

from jupyter_qsec.scanning.engine import Engine, Redaction
from jupyter_qsec.scanning.rules import RULES
from jupyter_qsec.scanning.shapes import SHAPES
from jupyter_qsec.scanning.stream import MAX_SECONDS, StreamRedactor
from tests.unit.scanning.examples import filled

SCANNER = Engine.default()
SIZES = 1, 3, 5, 11, 29
AROUND = "{}", "x = 1\n{}\nbye\n", "see {} and more"
OF_RULES = [pytest.param(text, id=f"{rule.kind}-{n}") for n, rule in enumerate(RULES) for text in rule.examples]
MAY_BE_LONGER = (
    "curl -s -u ada:{a12}",
    "CREATE ROLE ada LOGIN PASSWORD {a12}",
    "ConvertTo-SecureString -String '{a12}",
    "%define token {h40}",
    "see ?sig={a43}%3D",
)
"""They end within what could be more of the secret."""
OF_SHAPES = [pytest.param(shape.example, shape.hold_after, id=f"{shape.kind}-{n}") for n, shape in enumerate(SHAPES)]
"""The exceptions: no word gives a shape away, so what comes before `hold_after` characters fit goes out."""


def texts(template: str) -> list[str]:
    return [around.replace("{}", filled(template, 7)) for around in AROUND]


def in_pieces(text: str, size: int) -> Redaction:
    """All that comes out, and all that is told, when no time passes."""
    stream = StreamRedactor(SCANNER, clock=lambda: 0.0)
    parts = [stream.feed(text[at : at + size]) for at in range(0, len(text), size)]
    parts.append(stream.flush())
    return Redaction(
        "".join(part.text for part in parts),
        tuple(match for part in parts for match in part.matches),
        tuple(secret for part in parts for secret in part.secrets),
    )


@pytest.mark.parametrize("template", OF_RULES)
def test_what_a_rule_finds_comes_out_in_pieces_as_in_one(template: str) -> None:
    for text in texts(template):
        whole = SCANNER.redact(text)
        for size in SIZES:
            assert in_pieces(text, size) == whole, size


@pytest.mark.parametrize("start", ["b", "f", "bf"])
def test_a_secret_may_begin_like_a_literal_of_bytes(start: str) -> None:
    text = f"BUNDLE_GEMS__CONTRIBSYS__COM={start}{filled('{h8}', 7)[len(start) :]}:{filled('{h8}', 8)}\n"
    for size in SIZES:
        assert in_pieces(text, size) == SCANNER.redact(text)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("template", "hold_after"), OF_SHAPES)
def test_of_a_shape_only_what_says_nothing_yet_comes_out(template: str, hold_after: int, size: int) -> None:
    for text in texts(template):
        whole, cut = SCANNER.redact(text), in_pieces(text, size)
        assert (cut.matches, cut.secrets) == (whole.matches, whole.secrets)
        start = whole.text.index("[REDACTED")
        shown = len(cut.text) - len(whole.text)
        assert cut.text == whole.text[:start] + text[start : start + shown] + whole.text[start:]
        assert shown < hold_after


@pytest.mark.parametrize("start", ["~", ".", "_", "~."])
def test_a_shape_that_begins_with_a_mark_is_held_too(start: str) -> None:
    rest = filled("{a33}", 7)
    text = f"see {start}{'abc'[len(start) :]}8Q~{rest} bye\n"
    for size in SIZES:
        shown = in_pieces(text, size).text
        assert shown.endswith("[REDACTED:azure-client-secret] bye\n") and rest[:8] not in shown


@pytest.mark.parametrize("template", MAY_BE_LONGER)
def test_a_secret_that_ends_the_output_goes_out_at_its_deadline(template: str) -> None:
    now, text = [0.0], filled(template, 7)
    stream = StreamRedactor(SCANNER, clock=lambda: now[0])
    fed = stream.feed(text)
    assert "[REDACTED" not in fed.text and stream.deadline == MAX_SECONDS
    now[0] = MAX_SECONDS
    due = stream.release_due()
    assert Redaction(fed.text + due.text, due.matches, due.secrets) == SCANNER.redact(text)
    assert not stream.pending()


@pytest.mark.parametrize("template", MAY_BE_LONGER)
def test_a_secret_that_is_printed_slowly_is_marked_and_told_once(template: str) -> None:
    now = [0.0]
    stream = StreamRedactor(SCANNER, clock=lambda: now[0])
    parts = []
    for character in f"{filled(template, 7)} bye\n":
        parts.append(stream.feed(character))
        now[0] += MAX_SECONDS
        parts.append(stream.release_due())
    assert "".join(part.text for part in parts).count("[REDACTED") == 1
    assert sum(len(part.matches) for part in parts) == 1 and not stream.pending()

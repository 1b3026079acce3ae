"""What the scanner finds, what it leaves alone, and what it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_qsec.scanning import plugins
from jupyter_qsec.scanning.engine import Engine, Work
from jupyter_qsec.scanning.rules import RULES
from jupyter_qsec.scanning.shapes import SHAPES
from tests.unit.scanning.planted import AWS_KEY, AWS_SECRET, BENIGN, JWT, PLANTED, RSA_KEY

SCANNER = Engine.default()


@pytest.mark.parametrize(
    ("kind", "secret", "text"), PLANTED, ids=[f"{n}-{kind}" for n, (kind, _, _) in enumerate(PLANTED)]
)
def test_a_planted_secret_is_found_by_kind_and_removed(kind: str, secret: str, text: str) -> None:
    (match,) = SCANNER.scan(text)
    assert (match.kind, text[match.start : match.end]) == (kind, secret)
    redaction = SCANNER.redact(text)
    assert redaction.text == text.replace(secret, f"[REDACTED:{kind}]")
    assert redaction.secrets == ((kind, secret),)
    assert secret not in repr(redaction)


@pytest.mark.parametrize(("text",), [(text,) for _, text in BENIGN], ids=[name for name, _ in BENIGN])
def test_nothing_is_found_where_nothing_is(text: str) -> None:
    assert [(match.kind, text[match.start : match.end]) for match in SCANNER.scan(text)] == []


@pytest.mark.parametrize("text", [text for kind, _, text in PLANTED if kind != "private-key"])
def test_a_secret_is_found_between_other_text(text: str) -> None:
    around = f"первая строка é\n{'x = 1' * 50}\n{text}\nlast  ∀ line\n"
    expected = [
        around[len(around) - len("\nlast  ∀ line\n") - len(text) :][m.start : m.end] for m in SCANNER.scan(text)
    ]
    assert [around[m.start : m.end] for m in SCANNER.scan(around)] == expected


@pytest.mark.parametrize(
    "text",
    [
        'set_password("Tr0ub4dor3x")',
        'get_secret("Tr0ub4dor3x!")',
        'get_token_or_password("xK9mQ2pLw7Rt")',
        'secret = get_secret("prod"); password = "Tr0ub4dor3x"',
        "secret:xK9mQ2pLw7Rt-a1b2c3",
        "secret: MyTestSecret-a1b2c3",
        "client_secret:MyTestSecret-a1b2c3",
    ],
)
def test_what_only_begins_like_the_name_of_a_secret_is_one(text: str) -> None:
    assert len(SCANNER.scan(text)) == 1


def test_redacting_twice_changes_nothing() -> None:
    for _, _, text in PLANTED:
        once = SCANNER.redact(text).text
        assert SCANNER.redact(once).text == once


def test_a_key_broken_over_lines_is_found_whole() -> None:
    assert (
        SCANNER.redact(f"{AWS_KEY[:7]}\n{AWS_KEY[7:14]}\n{AWS_KEY[14:]}\nDone\n").text
        == "[REDACTED:aws-access-key]\nDone\n"
    )


def test_colours_of_a_terminal_hide_nothing() -> None:
    text = f'\x1b[31mpassword\x1b[0m = \x1b[32m"hunter22"\x1b[0m {AWS_KEY[:5]}\x1b[1m{AWS_KEY[5:]}'
    assert [match.kind for match in SCANNER.scan(text)] == ["assigned-secret", "aws-access-key"]


def test_of_two_readings_the_more_specific_names_the_kind() -> None:
    assert [match.kind for match in SCANNER.scan(f'secret = "{AWS_KEY}"')] == ["aws-access-key"]


def test_many_secrets_on_one_line_are_all_found() -> None:
    text = " ".join([AWS_KEY, f"secret_key='{AWS_SECRET}'", JWT, "password='hunter2' pwd='hunter3'"])
    assert [match.kind for match in SCANNER.scan(text)] == [
        *("aws-access-key", "aws-secret-key", "jwt", "assigned-secret", "assigned-secret")
    ]


@pytest.mark.parametrize(
    "text",
    [
        f"key = '{AWS_KEY}'  # pragma: allowlist secret",
        f"# pragma: allowlist nextline secret\nkey = '{AWS_KEY}'",
        f"const key = '{AWS_KEY}' // pragma: whitelist secret",
        f"<!-- pragma: allowlist nextline secret -->\n<a>{AWS_KEY}</a>",
    ],
)
def test_an_allowed_secret_is_left_alone_only_where_comments_count(text: str) -> None:
    assert SCANNER.scan(text, allow=True) == []
    assert len(SCANNER.scan(text)) == 1


def test_a_comment_allows_its_own_line_only() -> None:
    text = f"a = 1  # pragma: allowlist secret\nkey = '{AWS_KEY}'\n"
    assert len(SCANNER.scan(text, allow=True)) == 1


DENIAL = {
    "spaces": " " * 800 + "\n",
    "quoted spaces": '"' + " " * 1_000 + "password" + " " * 1_000,
    "password and spaces": ("password" + " " * 200) * 400,
    "password assignments": 'password="' * 4_000,
    "open quotes": "secret = '" + "a b " * 10_000,
    "keywords": "token" * 40_000,
    "keyword assignments": "token=" * 20_000,
    "keys of keys": "IONQ_API_KEY=" * 10_000,
    "headers of tokens": "eyJ" * 40_000,
    "dotted tokens": "eyJhbGciOiJIUzI1NiJ9." * 6_000,
    "armour without end": "-----BEGIN RSA PRIVATE KEY-----" * 4_000,
    "armour in quotes": '"-----BEGIN RSA PRIVATE KEY-----" ' * 4_000,
    "urls": "://a:" * 20_000,
    "dashes": "-----" * 20_000,
    "one long word": "a" * 200_000,
    "base64": "QUtJQUlPU0ZPRE5ON0" * 10_000,
    "breaks": "AKIA\n" * 20_000,
    "keys in a row": "AKIAQ2Z7" * 20_000,
    "escapes": "\x1b[31m" * 20_000,
}


@pytest.mark.parametrize("escape", ["\x1b[0m", "\x1b[38:5:1m", "\x1b(B", "\x1b[?25l", "\x1b[1 q", "\x1b]0;x\x07"])
def test_a_terminal_sequence_within_a_key_hides_nothing(escape: str) -> None:
    assert AWS_KEY[9:] not in SCANNER.redact(f"{AWS_KEY[:9]}{escape}{AWS_KEY[9:]}").text


@pytest.mark.parametrize("text", DENIAL.values(), ids=DENIAL.keys())
def test_hostile_text_costs_no_more_than_its_length(text: str) -> None:
    work = Work()
    SCANNER.hits(text, work)
    assert work.candidates <= len(text)
    assert work.attempts <= 3 * len(text)
    assert work.grown_characters <= 3 * len(text)
    assert work.plugin_characters <= 4 * len(text) + plugins.MAX_WINDOW


def test_a_line_of_ten_megabytes_is_scanned() -> None:
    line = "0123456789abcdef " * 620_000
    text = f"{line}{AWS_KEY} {line[:100]}"
    work = Work()
    assert [hit.kind for hit in SCANNER.hits(text, work)] == ["aws-access-key"]
    assert work.plugin_characters < 100


def test_plugins_never_see_more_than_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def watched(window: str) -> bool:
        seen.append(len(window))
        return False

    scanner = Engine(plugins=dict.fromkeys(plugins.lazy_plugins(), watched))
    for text in DENIAL.values():
        scanner.scan(text[:100_000])
    assert seen and max(seen) <= plugins.MAX_WINDOW


def test_the_plugins_decide() -> None:
    """With plugins that confirm nothing, what they are responsible for is not found."""
    blind = Engine(plugins=dict.fromkeys(plugins.lazy_plugins(), lambda window: False))
    cloudant = f"cloudant_password = '{'a1' * 32}'"
    assert blind.scan(AWS_KEY) == [] and "cloudant-credentials" not in {match.kind for match in blind.scan(cloudant)}
    assert [match.kind for text in (AWS_KEY, cloudant) for match in SCANNER.scan(text)] == [
        "aws-access-key",
        "cloudant-credentials",
    ]


@settings(max_examples=150)
@given(st.text(max_size=300))
def test_any_text_is_scanned_into_sorted_matches_within_it(text: str) -> None:
    at = 0
    for match in SCANNER.scan(text):
        assert at <= match.start < match.end <= len(text)
        at = match.end


@settings(max_examples=100)
@given(st.text(max_size=80), st.sampled_from(PLANTED), st.text(max_size=80))
def test_no_secret_survives_redaction_in_any_surroundings(
    before: str, planted: tuple[str, str, str], after: str
) -> None:
    _, secret, text = planted
    redacted = SCANNER.redact(f"{before}\n{text}\n{after}").text
    assert secret not in redacted


def test_a_private_key_without_its_end_takes_the_rest() -> None:
    assert SCANNER.redact(f"a\n{RSA_KEY[:200]}\nrest\n").text == "a\n[REDACTED:private-key]"


def test_building_a_scanner_does_not_import_detect_secrets() -> None:
    """A relay starts with every kernel; only a candidate that a plugin decides about pays for the plugins."""
    code = (
        "import sys; from jupyter_qsec.scanning.engine import Engine; s = Engine.default(); s.scan('x = 1');"
        "assert 'detect_secrets' not in sys.modules; s.scan('AKIAQSEC7PLANTED5Q2X');"
        "assert 'detect_secrets' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_every_plugin_that_a_rule_names_can_be_loaded() -> None:
    plugins.warm()
    assert {rule.plugin for rule in RULES} | {shape.plugin for shape in SHAPES} <= {"", *plugins.lazy_plugins()}


@pytest.mark.parametrize(
    "text",
    [
        "비밀번호: kT9xQ2mWz7",
        "密码\uff1akT9xQ2mWz7",
        "пароль: kT9xQ2mWz7",
        "password = \u201ckT9xQ2mWz7\u201d",
    ],
)
def test_words_and_quotes_of_other_scripts_are_read(text: str) -> None:
    (match,) = SCANNER.scan(text)
    assert text[match.start : match.end] == "kT9xQ2mWz7"


def test_a_scanner_without_rules_finds_nothing_and_ends() -> None:
    assert Engine((), (), plugins={}).scan("one\ntwo\n") == []


@pytest.mark.parametrize("character", [chr(code) for code in range(32, 127)])
def test_a_run_of_one_character_costs_nothing(character: str) -> None:
    work = Work()
    assert SCANNER.hits(character * 3000, work) == [] and work.candidates == 0


@pytest.mark.parametrize(
    "text",
    [
        "AKIAIOSFODNN7EXAMPLE",
        "aws_access_key_id = AKIAI44QH8DHBEXAMPLE",
        "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        'SECRET = "je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY"',
        "the secret is wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    ],
)
def test_the_keys_of_awss_documentation_are_no_findings(text: str) -> None:
    assert Engine.default().scan(text) == []

"""Findings tell where and what kind, never the secret."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.scanning.finding import Finding, Fingerprinter, preview
from jupyter_qsec.scanning.report import as_json, as_text, describe
from jupyter_qsec.scanning.sarif import as_sarif
from jupyter_qsec.scanning.scanner import Scanner
from tests.unit.scanning.planted import PLANTED

PRINTER = Fingerprinter(b"k" * 32)


@given(st.text(min_size=1, max_size=60))
def test_a_preview_shows_at_most_four_characters_and_a_quarter(secret: str) -> None:
    shown = preview(secret).removesuffix("****")
    assert len(shown) <= min(4, len(secret) // 4)
    assert shown.isascii() and (shown == "" or shown.isprintable())


@given(st.sampled_from(PLANTED), st.text(max_size=40))
def test_no_form_of_a_report_holds_the_secret(planted: tuple[str, str, str], before: str) -> None:
    _, secret, text = planted
    findings = Scanner().scan_text(f"{before}\n{text}", filename="f.txt")
    assert findings
    for form in (repr(findings), as_json(findings), as_text(findings), as_sarif(findings), describe(findings)):
        assert secret not in form and secret[4:14] not in form


def test_fingerprints_need_the_key_and_tell_kinds_apart() -> None:
    one = PRINTER.fingerprint("jwt", "secret")
    assert one == PRINTER.fingerprint("jwt", "secret") and len(one) == 32
    assert (
        len({one, PRINTER.fingerprint("npm-token", "secret"), Fingerprinter(b"x" * 32).fingerprint("jwt", "secret")})
        == 3
    )
    with pytest.raises(InvalidRequestError):
        Fingerprinter(b"short")


def test_json_has_the_promised_keys() -> None:
    finding = Finding("a.ipynb", "2", "source", 3, "jwt", "eyJh****", "ab" * 16, "id-1", 9)
    assert json.loads(as_json([finding])) == [
        {
            "path": "a.ipynb",
            "cell": "2",
            "place": "source",
            "part": "",
            "line": 3,
            "column": 9,
            "file_line": 0,
            "pointer": "",
            "kind": "jwt",
            "severity": "medium",
            "preview": "eyJh****",
            "fingerprint": "ab" * 16,
            "commit": "",
        }
    ]
    assert as_text([finding]) == "a.ipynb: cell 2, source, line 3: jwt eyJh****"


def test_a_long_list_is_described_in_short() -> None:
    findings = [Finding("a", "", "file", n, "jwt", "****", "") for n in range(9)]
    assert describe(findings).endswith("line 4: jwt (****); and 4 more")

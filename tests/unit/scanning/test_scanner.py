"""The scanner as other programs use it."""

from __future__ import annotations

import pickle

import pytest

from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.scanning.scanner import Scanner, ScannerConfig
from tests.unit.scanning.planted import AWS_KEY

NOTEBOOK = {"cells": [{"cell_type": "code", "source": f"key = '{AWS_KEY}'", "outputs": [], "metadata": {}}]}


def test_a_configuration_can_be_sent_to_another_process() -> None:
    config = ScannerConfig(allow_paths=("docs/*",), allow_fingerprints=frozenset({"ab" * 16}))
    there = pickle.loads(pickle.dumps(config))
    assert there == config
    fingerprints = [Scanner(c).scan_text(AWS_KEY)[0].fingerprint for c in (config, there, ScannerConfig())]
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]


def test_a_configuration_never_shows_its_key() -> None:
    assert "kkkkkkkk" not in repr(ScannerConfig(b"k" * 32))


def test_a_short_key_is_refused() -> None:
    with pytest.raises(InvalidRequestError):
        Scanner(ScannerConfig(b"short"))


def test_texts_are_redacted_and_findings_placed() -> None:
    text, (finding,) = Scanner().redact_text(f"a = 1\nkey = '{AWS_KEY}'\n", filename="a.py")
    assert text == "a = 1\nkey = '[REDACTED:aws-access-key]'\n"
    assert (finding.path, finding.place, finding.where(), finding.column) == ("a.py", "file", "line 2", 8)


def test_what_was_allowed_stays_in_the_text() -> None:
    source = f"key = '{AWS_KEY}'\n"
    config = ScannerConfig()
    (finding,) = Scanner(config).scan_text(source)
    allowing = Scanner(ScannerConfig(config.fingerprint_key, allow_fingerprints=frozenset({finding.fingerprint})))
    assert allowing.redact_text(source) == (source, [])
    assert allowing.redact_notebook(NOTEBOOK) == (NOTEBOOK, [])


@pytest.mark.parametrize(
    ("glob", "path", "allowed"),
    [
        ("docs/*", "docs/a.md", True),
        ("docs/*", "docs/deep/a.md", True),
        ("docs/*", "./docs/a.md", True),
        ("docs/*", "/home/me/project/docs/a.md", True),
        ("*.lock", "deep/poetry.lock", True),
        ("a.ipynb", "deep/a.ipynb", True),
        ("docs/*", "mydocs/a.md", False),
        ("a.ipynb", "ba.ipynb", False),
        ("a.ipynb", "a.ipynb/b.py", False),
        ("docs\\*", "docs/a.md", True),
    ],
)
def test_globs_name_files_in_which_nothing_is_looked_for(glob: str, path: str, allowed: bool) -> None:
    scanner = Scanner(ScannerConfig(allow_paths=("never", glob)))
    assert (scanner.scan_text(AWS_KEY, filename=path) == []) is allowed
    assert (scanner.scan_notebook(NOTEBOOK, filename=path) == []) is allowed


def test_without_globs_every_path_counts() -> None:
    assert Scanner().scan_text(AWS_KEY) and Scanner().scan_text(AWS_KEY, filename="a")

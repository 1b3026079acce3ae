"""The file of registered secrets."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from jupyter_qsec.client.home import QsecHome
from jupyter_qsec.client.registry import RegisteredHere, SecretsFile
from jupyter_qsec.domain.errors import ConflictError, InvalidRequestError, NotFoundError
from jupyter_qsec.scanning.scanner import Scanner, ScannerConfig

VALUE = "correct/horse+Battery=staple"


@pytest.fixture
def home(tmp_path: Path) -> QsecHome:
    return QsecHome(tmp_path / "home")


def test_what_was_added_is_found_and_what_was_removed_is_not(home: QsecHome) -> None:
    file, here = SecretsFile(home), RegisteredHere(home)
    assert here.scan(VALUE) == [] and file.read() == []
    file.add("lab-database", VALUE)
    file.add("another-one", VALUE[::-1] + "x")
    assert "lab-database" in {match.kind for match in here.scan(VALUE)} and here.hold_from(f"a {VALUE[:5]}") == 2
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600 and VALUE.encode() not in file.path.read_bytes()
    file.remove("lab-database")
    assert [secret.name for secret in file.read()] == ["another-one"]
    assert "lab-database" not in {match.kind for match in here.scan(VALUE)}


def test_names_are_unique_and_must_exist(home: QsecHome) -> None:
    file = SecretsFile(home)
    file.add("lab-database", VALUE)
    with pytest.raises(ConflictError, match="lab-database already"):
        file.add("lab-database", VALUE + "2")
    with pytest.raises(NotFoundError):
        file.remove("no-such")
    assert len(file.read()) == 1


def test_a_damaged_or_open_file_lets_nothing_pass(home: QsecHome) -> None:
    file, here = SecretsFile(home), RegisteredHere(home)
    file.add("lab-database", VALUE)
    file.path.chmod(0o644)
    with pytest.raises(InvalidRequestError, match="open to others"):
        file.read()
    file.path.chmod(0o600)
    file.path.write_bytes(file.path.read_bytes()[:-5])
    for _ in range(2):
        with pytest.raises(InvalidRequestError, match=r"registered-secrets\.json.*delete it"):
            here.scan("any text")


def test_another_process_finds_them_too(home: QsecHome) -> None:
    SecretsFile(home).add("lab-database", VALUE)
    config = ScannerConfig(home.fingerprint_key(), registered=tuple(SecretsFile(home).read()))
    (finding,) = Scanner(config).scan_text(f"x = {VALUE[::-1]}")
    assert (finding.kind, finding.severity.label) == ("lab-database", "critical")


def test_no_draft_stays_behind(home: QsecHome, monkeypatch: pytest.MonkeyPatch) -> None:
    file = SecretsFile(home)
    file.add("lab-database", VALUE)

    def refused(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refused)
    with pytest.raises(OSError, match="No space"):
        file.add("another-one", VALUE + "2")
    assert [secret.name for secret in file.read()] == ["lab-database"]
    assert not [path for path in home.path.iterdir() if path.name.startswith(".")]

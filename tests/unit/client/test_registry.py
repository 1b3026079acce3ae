"""The file of registered secrets."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from jupyter_qsec.client.home import QsecHome
from jupyter_qsec.client.registry import SHARED, RegisteredHere, Registry, SecretsFile, SharedSecretsFile, shared_sets
from jupyter_qsec.domain.errors import ConflictError, InvalidRequestError, NotFoundError
from jupyter_qsec.scanning.scanner import Scanner, ScannerConfig

VALUE = "correct/horse+Battery=staple"


@pytest.fixture
def home(tmp_path: Path) -> QsecHome:
    return QsecHome(tmp_path / "home")


def test_what_was_added_is_found_and_what_was_removed_is_not(home: QsecHome) -> None:
    file, here = SecretsFile(home), RegisteredHere(home)
    assert here.scan(VALUE) == [] and file.names() == []
    file.add("lab-database", VALUE)
    file.add("another-one", VALUE[::-1] + "x")
    assert "lab-database" in {match.kind for match in here.scan(VALUE)} and here.hold_from(f"a {VALUE[:5]}") == 2
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600 and VALUE.encode() not in file.path.read_bytes()
    file.remove("lab-database")
    assert [secret.name for secret in file.names()] == ["another-one"]
    assert "lab-database" not in {match.kind for match in here.scan(VALUE)}


def test_names_are_unique_and_must_exist(home: QsecHome) -> None:
    file = SecretsFile(home)
    file.add("lab-database", VALUE)
    with pytest.raises(ConflictError, match="lab-database already"):
        file.add("lab-database", VALUE + "2")
    with pytest.raises(NotFoundError):
        file.remove("no-such")
    assert len(file.names()) == 1


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
    config = ScannerConfig(home.fingerprint_key(), registered=Registry(home).sets())
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
    assert [secret.name for secret in file.names()] == ["lab-database"]
    assert not [path for path in home.path.iterdir() if path.name.startswith(".")]


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SharedSecretsFile:
    """A file that this process was told of."""
    file = SharedSecretsFile(tmp_path / "shared.json")
    monkeypatch.setenv(SHARED, str(file.path))
    return file


def test_what_is_shared_is_found_beside_what_is_registered_here(home: QsecHome, shared: SharedSecretsFile) -> None:
    shared.add("from-the-hub", VALUE[::-1] + "h")
    SecretsFile(home).add("lab-database", VALUE)
    here = RegisteredHere(home)
    assert {match.kind for match in here.scan(f"{VALUE} {VALUE[::-1]}h")} >= {"lab-database", "from-the-hub"}
    shared.remove("from-the-hub")
    assert "from-the-hub" not in {match.kind for match in here.scan(f"{VALUE[::-1]}h")}
    assert [secret.name for secret in SecretsFile(home).names()] == ["lab-database"]


def test_a_shared_file_is_read_by_others_and_written_by_its_owner_alone(shared: SharedSecretsFile) -> None:
    shared.add("from-the-hub", VALUE)
    assert stat.S_IMODE(shared.path.stat().st_mode) == 0o640
    assert VALUE.encode() not in shared.path.read_bytes()
    shared.path.chmod(0o644)
    shared.add("another-one", VALUE + "2")
    assert stat.S_IMODE(shared.path.stat().st_mode) == 0o644, "its owner said who reads it"
    shared.path.chmod(0o664)
    with pytest.raises(InvalidRequestError, match="only its owner may write it"):
        shared_sets()


def test_a_shared_file_that_is_named_and_missing_or_damaged_lets_nothing_pass(
    home: QsecHome, shared: SharedSecretsFile
) -> None:
    here = RegisteredHere(home)
    with pytest.raises(InvalidRequestError, match="does not exist"):
        here.scan("any text")
    shared.path.touch(mode=0o640)
    shared.path.write_text('{"version": 1, "secrets": []}')
    with pytest.raises(InvalidRequestError, match=r"shared\.json.*malformed"):
        here.scan("any text")


def test_a_shared_file_in_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="cannot be written"):
        SharedSecretsFile(tmp_path / "no" / "such.json").add("from-the-hub", VALUE)
    assert shared_sets({}) == ()

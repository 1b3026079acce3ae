"""The file of seen signatures between an end and the next start."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jupyter_qsec.gateway import replaymemory
from jupyter_qsec.gateway.replaymemory import Memory, MemoryFile

NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
KEY = b"k" * 32
KEPT = {
    "braket": Memory(NOON, NOON - timedelta(hours=1), {29_539_440: {b"a" * 32: 1.25, b"b" * 32: 2.5}, 29_539_441: {}}),
    "s3": Memory(NOON, NOON - timedelta(minutes=4), {29_539_441: {b"a" * 32: 3.0}}),
    "sts": Memory(NOON, NOON, {}),
}


def file(folder: Path, key: bytes = KEY) -> MemoryFile:
    return MemoryFile(folder / "signatures", lambda: key)


def test_what_was_kept_is_taken_once(tmp_path: Path) -> None:
    file(tmp_path).keep(KEPT, "one")
    assert (tmp_path / "signatures").stat().st_mode & 0o777 == 0o600
    taken = file(tmp_path).take("one")
    assert taken.keys() == KEPT.keys()
    assert taken["s3"] == KEPT["s3"]
    assert taken["braket"].seen == {29_539_440: {b"a" * 32: 1.25, b"b" * 32: 2.5}}
    assert list(tmp_path.iterdir()) == []
    assert file(tmp_path).take("one") == {}


@pytest.mark.parametrize("change", ["flipped", "cut", "longer", "empty", "another key", "open to others"])
def test_a_file_that_is_not_whole_tells_nothing(tmp_path: Path, change: str) -> None:
    file(tmp_path).keep(KEPT, "one")
    path = tmp_path / "signatures"
    content = path.read_bytes()
    changed = {
        "flipped": content[:-1] + bytes([content[-1] ^ 1]),
        "cut": content[:-48],
        "longer": content + b"x" * 48,
        "empty": b"",
    }
    path.write_bytes(changed.get(change, content))
    if change == "open to others":
        path.chmod(0o644)
    assert file(tmp_path, b"x" * 32 if change == "another key" else KEY).take("one") == {}


def test_what_cannot_be_removed_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be believed again at the start after the next kill."""
    file(tmp_path).keep(KEPT, "one")

    def fails(*_: object) -> None:
        raise OSError("the disk is read-only")

    monkeypatch.setattr(replaymemory, "sync_directory", fails)
    assert file(tmp_path).take("one") == {}


def test_what_stays_there_is_not_believed_after_another_gateway_has_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file(tmp_path).keep(KEPT, "one")

    def fails(*_: object) -> None:
        raise OSError("the disk is read-only")

    with monkeypatch.context() as stuck:
        stuck.setattr(Path, "unlink", fails)
        assert file(tmp_path).take("one") == {}
    for last in ("two", ""):  # it ended in order, or was killed
        assert file(tmp_path).take(last) == {}
        file(tmp_path).keep(KEPT, "one")


def test_another_version_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as later:
        later.setattr(replaymemory, "VERSION", 2)
        file(tmp_path).keep(KEPT, "one")
    assert file(tmp_path).take("one") == {}


def test_a_disk_that_takes_no_file_does_not_keep_the_gateway_from_ending(tmp_path: Path) -> None:
    MemoryFile(tmp_path / "nowhere" / "signatures", lambda: KEY).keep(KEPT, "one")

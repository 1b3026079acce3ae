"""Private files appear whole, for their owner alone, and leave no drafts behind."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from jupyter_qsec.adapters import privatefiles
from jupyter_qsec.adapters.privatefiles import create_private, replace_private
from jupyter_qsec.domain.errors import StateDirectoryError


def names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def test_who_comes_first_decides_what_the_file_holds(tmp_path: Path) -> None:
    assert create_private(tmp_path / "token", b"first") == b"first"
    assert create_private(tmp_path / "token", b"second") == b"first"
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600
    assert names(tmp_path) == ["token"]


def test_a_file_that_another_program_makes_meanwhile_is_never_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The notebook's side makes the same files, and takes no lock that the gateway knows of."""
    path = tmp_path / "token"
    reads = privatefiles.read_private

    def look_and_be_overtaken(asked: Path, limit: int) -> bytes | None:
        found = reads(asked, limit)
        if found is None:
            path.touch(0o600)
            path.write_bytes(b"theirs")
        return found

    monkeypatch.setattr(privatefiles, "read_private", look_and_be_overtaken)
    assert create_private(path, b"ours") == b"theirs" == path.read_bytes()
    assert names(tmp_path) == ["token"]


def test_a_replaced_file_is_private_again(tmp_path: Path) -> None:
    replace_private(tmp_path / "port", b"1")
    replace_private(tmp_path / "port", b"2")
    assert (tmp_path / "port").read_bytes() == b"2"
    assert stat.S_IMODE((tmp_path / "port").stat().st_mode) == 0o600
    assert names(tmp_path) == ["port"]


@pytest.mark.parametrize("make", [create_private, replace_private])
def test_what_cannot_be_written_leaves_no_draft(
    tmp_path: Path, make: Callable[[Path, bytes], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StateDirectoryError, match="No space left"):
        make(tmp_path / "token", b"content")
    assert names(tmp_path) == []

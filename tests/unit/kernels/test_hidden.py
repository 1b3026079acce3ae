"""Which paths are hidden."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest

from jupyter_qsec.kernels import folders
from jupyter_qsec.kernels.hidden import bus_sockets, hidden_paths, outermost, probe_targets


@pytest.mark.parametrize(
    "name", [".aws", ".config/gcloud", ".azure", ".qcs", ".qiskit", ".config/dwave", ".qbraid", ".s3cfg", ".awsvault"]
)
def test_a_credential_directory_is_hidden_when_it_exists(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    environ = {"HOME": str(tmp_path)}
    assert str(path) not in hidden_paths(environ)
    path.mkdir(parents=True)
    assert str(path.resolve()) in hidden_paths(environ)


def test_a_file_that_a_variable_names_is_hidden(tmp_path: Path) -> None:
    file = tmp_path / "key.json"
    file.write_text("{}")
    assert str(file.resolve()) in hidden_paths({"HOME": "/x", "GOOGLE_APPLICATION_CREDENTIALS": str(file)})
    assert os.devnull not in hidden_paths({"HOME": "/x", "AWS_CONFIG_FILE": os.devnull})


def test_a_link_is_followed_to_what_it_hides(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / ".aws").symlink_to(tmp_path / "real")
    assert str((tmp_path / "real").resolve()) in hidden_paths({"HOME": str(tmp_path)})


def test_only_outermost_paths_are_kept(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "ab").mkdir()
    root = str(tmp_path.resolve())
    assert outermost([str(inner), str(tmp_path / "a"), str(tmp_path / "ab"), str(tmp_path / "missing"), "", "/"]) == [
        f"{root}/a",
        f"{root}/ab",
    ]


def test_bus_addresses_are_understood() -> None:
    environ = {
        "DBUS_SESSION_BUS_ADDRESS": "unix:path=/run/bus,guid=1;unix:abstract=/tmp/dbus-x;tcp:host=a",
        "XDG_RUNTIME_DIR": "/nonexistent",
    }
    assert bus_sockets(environ)[:2] == ["/run/bus", "@/tmp/dbus-x"]


def test_the_probe_tries_the_files_of_a_directory_too(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "token").write_text("x")
    tried = {path for path, _, _ in probe_targets([str(tmp_path)])}
    assert tried == {str(tmp_path), str(tmp_path / "sub"), str(tmp_path / "sub" / "token")}


def test_the_parent_of_kernel_folders_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: "/tmp")
    folder = folders.make_folder()
    try:
        for path in (folder.parent, folder.path, folder.io, folder.lease):
            assert stat.S_IMODE(path.stat().st_mode) == 0o700
        assert len(f"{folder.socket_stem}-5") <= 100
    finally:
        folder.io.rmdir()
        folder.lease.rmdir()
        folder.path.rmdir()


def test_a_parent_that_somebody_prepared_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = Path(os.path.realpath("/tmp")) / f"qsec-test-{os.getpid()}"
    short.mkdir()
    try:
        (short / f"qsec-{os.getuid()}").symlink_to(tmp_path)
        monkeypatch.setattr(tempfile, "gettempdir", lambda: str(short))
        assert folders.private_parent().parent != short
    finally:
        (short / f"qsec-{os.getuid()}").unlink()
        short.rmdir()

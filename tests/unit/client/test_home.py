"""The state directory: private, checked, and made only once however many start at the same time."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jupyter_qsec.client.home import QsecHome, free_port
from jupyter_qsec.domain.errors import StateDirectoryError, UnavailableError


@pytest.fixture
def home(tmp_path: Path) -> QsecHome:
    return QsecHome(tmp_path / "deep" / "qsec").ensure()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_environment_variable_names_the_directory(tmp_path: Path) -> None:
    assert QsecHome.default({"JUPYTER_QSEC_HOME": str(tmp_path)}).path == tmp_path


def test_without_it_the_directory_is_below_jupyters_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    assert QsecHome.default({}).path == tmp_path / "qsec"


def test_a_new_directory_is_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        home = QsecHome(tmp_path / "qsec").ensure()
    finally:
        os.umask(before)
    assert mode(home.path) == 0o700


def test_files_are_private_whatever_the_umask(home: QsecHome) -> None:
    before = os.umask(0)
    try:
        home.choose_port(), home.control_token(), home.fingerprint_key()
    finally:
        os.umask(before)
    assert [mode(path) for path in (home.port_file, home.control_token_file, home.fingerprint_key_file)] == [0o600] * 3
    assert sorted(path.name for path in home.path.iterdir()) == ["control.token", "fingerprint.key", "port"]


@pytest.mark.parametrize("others", [0o750, 0o705, 0o770, 0o701])
def test_a_directory_that_others_can_enter_is_refused_with_the_remedy(tmp_path: Path, others: int) -> None:
    (tmp_path / "qsec").mkdir()
    (tmp_path / "qsec").chmod(others)
    with pytest.raises(StateDirectoryError, match=r"open to others.*chmod 700"):
        QsecHome(tmp_path / "qsec").ensure()


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "qsec").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateDirectoryError, match="symbolic link"):
        QsecHome(tmp_path / "qsec").ensure()


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "qsec").write_text("")
    with pytest.raises(StateDirectoryError, match="not a directory"):
        QsecHome(tmp_path / "qsec").ensure()


def test_another_users_directory_is_refused(home: QsecHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(StateDirectoryError, match="belongs to another user"):
        home.check()


def test_a_directory_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateDirectoryError, match="JUPYTER_QSEC_HOME"):
        QsecHome(tmp_path / "file" / "qsec").ensure()


def test_a_token_that_others_can_read_is_refused(home: QsecHome) -> None:
    home.control_token()
    home.control_token_file.chmod(0o644)
    with pytest.raises(StateDirectoryError, match=r"open to others.*chmod 600"):
        home.control_token()


def test_a_planted_link_is_never_followed(home: QsecHome, tmp_path: Path) -> None:
    (tmp_path / "planted").write_text("x" * 40)
    home.control_token_file.symlink_to(tmp_path / "planted")
    with pytest.raises(StateDirectoryError):
        home.control_token()


def test_many_that_start_at_once_agree(home: QsecHome) -> None:
    with ThreadPoolExecutor(16) as pool:
        tokens = set(pool.map(lambda _: home.control_token(), range(64)))
        ports = set(pool.map(lambda _: home.choose_port(), range(64)))
        keys = set(pool.map(lambda _: home.fingerprint_key(), range(64)))
    assert (len(tokens), len(ports), len(keys)) == (1, 1, 1)
    assert not [path for path in home.path.iterdir() if path.name.startswith(".")], "no drafts are left"


def test_what_was_made_stays(home: QsecHome) -> None:
    again = QsecHome(home.path)
    assert (home.choose_port(), home.control_token(), home.fingerprint_key()) == (
        again.choose_port(),
        again.control_token(),
        again.fingerprint_key(),
    )
    assert home.gateway_url == f"http://127.0.0.1:{home.port()}"


@pytest.mark.parametrize("content", ["", "no port", "0", "70000", "-1"])
def test_a_port_file_without_a_port_is_an_error(home: QsecHome, content: str) -> None:
    home.port_file.write_text(content)
    home.port_file.chmod(0o600)
    with pytest.raises(StateDirectoryError, match="holds no port"):
        home.port()


def test_a_free_port_can_be_bound() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", free_port()))


def write_gateway_json(home: QsecHome, **fields: object) -> None:
    home.gateway_file.write_text(
        json.dumps({"version": 1, "pid": os.getpid(), "port": 4711, "instance": "ab", "started_at": None} | fields)
    )
    home.gateway_file.chmod(0o600)


def test_a_gateway_runs_only_while_its_lock_is_held(home: QsecHome) -> None:
    write_gateway_json(home, started_at="2026-03-01T12:00:00Z")
    assert home.running_gateway() is None
    home.gateway_lock.touch(0o600)
    with home.gateway_lock.open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        info = home.running_gateway()
        assert info is not None
        assert (info.pid, info.port, info.instance) == (os.getpid(), 4711, "ab")
        info, token = home.connect_checked()
        assert (info.url, info.trust(), token) == ("http://127.0.0.1:4711", None, home.control_token())
    assert home.running_gateway() is None
    with pytest.raises(UnavailableError, match="jupyter qsec gateway"):
        home.connect_checked()


def test_a_dead_gateways_file_counts_for_nothing_even_when_the_lock_is_held(home: QsecHome) -> None:
    write_gateway_json(home, pid=2**22 + 1)
    home.gateway_lock.touch(0o600)
    with home.gateway_lock.open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert home.running_gateway() is None


@pytest.mark.parametrize("content", ["", "[]", "{", '{"pid": "x", "port": 1, "instance": ""}', "[" * 50_000])
def test_a_damaged_gateway_file_is_no_gateway(home: QsecHome, content: str) -> None:
    home.gateway_file.write_text(content)
    home.gateway_file.chmod(0o600)
    assert home.gateway_info() is None

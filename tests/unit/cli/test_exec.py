"""`exec` as a process wrapper: exit codes, signals, and what it refuses. The whole path is tested end to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from jupyter_qsec.cli.exec_ import run_command
from jupyter_qsec.cli.main import run

ENVIRONMENT = dict(os.environ)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["true"], 0),
        ([sys.executable, "-c", "raise SystemExit(7)"], 7),
        ([sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"], 137),
        (["/no/such/program"], 127),
        (["/"], 126),
    ],
)
def test_the_commands_exit_code_is_ours(command: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(command, ENVIRONMENT) == code
    if code in (126, 127):
        assert capsys.readouterr().err.startswith(f"jupyter-qsec: {command[0]}: ")


WAITS = """
import signal, sys, time
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGINT):
    signal.signal(number, lambda n, f: sys.exit(40 + n))
print("ready", flush=True)
time.sleep(60)
"""
WRAPPER = """
import os, sys
from jupyter_qsec.cli.exec_ import run_command
sys.exit(run_command([sys.executable, "-c", os.environ["WAITS"]], dict(os.environ)))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGINT])
def test_signals_are_for_the_command(number: signal.Signals) -> None:
    wrapper = subprocess.Popen(
        [sys.executable, "-c", WRAPPER],
        env=ENVIRONMENT | {"WAITS": WAITS},
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )
    try:
        assert wrapper.stdout is not None
        assert wrapper.stdout.readline() == b"ready\n"
        wrapper.send_signal(number)
        assert wrapper.wait(20) == 40 + number
    finally:
        wrapper.kill()
        wrapper.communicate()


def test_the_handlers_before_are_restored() -> None:
    before = signal.getsignal(signal.SIGTERM)
    run_command(["true"], ENVIRONMENT)
    assert signal.getsignal(signal.SIGTERM) is before
    assert threading.current_thread() is threading.main_thread()


def test_a_leased_process_gets_no_second_lease(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("JUPYTER_QSEC_KERNEL", "1")
    monkeypatch.setenv("JUPYTER_QSEC_HOME", str(tmp_path / "qsec"))
    assert run(["exec", "--", "true"]) == 2
    assert "runs under a lease already" in capsys.readouterr().err


def test_an_unusable_state_directory_runs_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.delenv("JUPYTER_QSEC_KERNEL", raising=False)
    monkeypatch.setenv("JUPYTER_QSEC_HOME", str(tmp_path / "qsec"))
    (tmp_path / "qsec").mkdir()
    (tmp_path / "qsec").chmod(0o755)
    witness = tmp_path / "ran"
    assert run(["exec", "--", "touch", str(witness)]) == 2
    assert "chmod 700" in capsys.readouterr().err
    assert not witness.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--max-ttl", "1s"], "Invalid value for '--max-ttl': 1s is too short: at least 10s."),
        (["--max-ttl", "13h"], "Invalid value for '--max-ttl': 13h is too long: at most 12h."),
        (["--ttl", "9"], "Invalid value for '--ttl': 9 is too short: at least 10s."),
        (["--max-ttl", "90s"], "Invalid value for '--max-ttl': 90s is less than --ttl 5m: give more"),
    ],
)
def test_times_out_of_bounds_are_told_in_the_words_of_the_options(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert run(["exec", *arguments, "--", "true"]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("command", [["gateway", "--keystore", "file"], ["exec", "--", "true"]])
def test_why_a_gateway_does_not_start_is_told_once(tmp_path: Path, command: list[str]) -> None:
    home = tmp_path / "qsec"
    home.mkdir(mode=0o700)
    (home / "tenants.toml").touch(0o600)
    (home / "tenants.toml").write_text("broken [")
    environment = {name: value for name, value in ENVIRONMENT.items() if name != "JUPYTER_QSEC_KERNEL"}
    done = subprocess.run(
        [sys.executable, "-c", "from jupyter_qsec.cli.main import main; main()", *command],
        env=environment | {"JUPYTER_QSEC_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("is not valid TOML") == 1 and done.stderr.count("\n") == 1, done.stderr
    assert ".." not in done.stderr

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

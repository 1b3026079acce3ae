"""Real processes that write into one database; all are ended, whatever happens."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path


class Writers:
    def __init__(self, home: Path, url: str = "") -> None:
        """`url` names a PostgreSQL database; without it they write into the SQLite file in `home`."""
        self._home = home
        self._url = url
        self.processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Writers:
        return self

    def __exit__(self, *_exception: object) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()

    def start(self, name: str, count: int) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.contract.writer_process", str(self._home), name, str(count), self._url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        self.processes.append(process)
        return process

    def go(self) -> None:
        """Let all begin at the same moment."""
        for process in self.processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()

    def run_and_kill(self, name: str, after: int) -> list[str]:
        """Let one write until `after` tasks are acknowledged, and kill it; all that it said were acknowledged."""
        process = self.start(name, 0)
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        process.stdin.write("go\n")
        process.stdin.flush()
        said = [process.stdout.readline().strip() for _ in range(after)]
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate(timeout=60)
        complete, _, _ = rest.rpartition("\n")
        return said + complete.split()

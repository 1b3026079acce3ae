"""A real Dask cluster: a scheduler and workers as processes, on loopback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil

from jupyter_qsec.adapters.providers.daskaddress import Certificates
from jupyter_qsec.adapters.providers.dasklog import logging_kept
from jupyter_qsec.application.ports import ExecutionLimits
from tests.fakes.waiting import wait_for

_ROOT = Path(__file__).parents[2]
_SIMULATOR = "jupyter_qsec.adapters.providers.worker"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class DaskCluster:
    """With certificates it speaks TLS."""

    def __init__(self, directory: Path, files: Certificates | None = None) -> None:
        self.directory = directory
        self._tls: list[str] = []
        if files is not None:
            named = {"--tls-ca-file": files.authority, "--tls-cert": files.certificate, "--tls-key": files.key}
            self._tls = [text for option, path in named.items() for text in (option, str(path))]
        self._port = free_port()
        self.url = f"{'tls' if files else 'tcp'}://127.0.0.1:{self._port}"
        self.scheduler: subprocess.Popen[bytes] | None = None
        self.workers: list[subprocess.Popen[bytes]] = []
        self._logs = 0

    def start(self, workers: int) -> DaskCluster:
        for _ in range(workers):
            self.start_worker()  # meanwhile: it waits for the scheduler by itself
        self.start_scheduler()
        return self

    def start_scheduler(self) -> None:
        options = ["--host", "127.0.0.1", "--port", str(self._port), "--protocol", self.url.partition(":")[0]]
        options += ["--dashboard-address", "127.0.0.1:0"]
        self.scheduler = self._launch("scheduler", *options)
        pid = self.scheduler.pid
        wait_for(lambda: self._port in ports_of(pid), "the scheduler")

    def start_worker(self) -> subprocess.Popen[bytes]:
        options = ("--host", "127.0.0.1", "--nthreads", "1", "--no-nanny", "--no-dashboard", "--memory-limit", "0")
        worker = self._launch("worker", self.url, *options, "--local-directory", str(self.directory))
        self.workers.append(worker)
        return worker

    def kill_worker(self, pid: int) -> None:
        [worker] = [worker for worker in self.workers if worker.pid == pid]
        self.workers.remove(worker)
        _end(worker)

    def kill_scheduler(self) -> None:
        """Workers that lose their scheduler end by themselves."""
        if self.scheduler is not None:
            _end(self.scheduler)
            self.scheduler = None
        while self.workers:
            _end(self.workers.pop())

    close = kill_scheduler

    def log(self) -> str:
        """All that scheduler and workers have written."""
        return "".join(path.read_text() for path in self.directory.glob("*.log"))

    def _launch(self, role: str, *options: str) -> subprocess.Popen[bytes]:
        self._logs += 1
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DASK_")}
        environment |= {"PYTHONPATH": str(_ROOT), "DASK_CONFIG": str(self.directory)}
        with (self.directory / f"{role}-{self._logs}.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.fakes.dask_process", role, *options, *self._tls],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=_ROOT,
            )


def simulators_of(worker: int, limits: ExecutionLimits) -> list[psutil.Process]:
    """The simulators with these limits that a Dask worker has started and not ended."""
    found = []
    for child in psutil.Process(worker).children():
        with suppress(psutil.NoSuchProcess):
            command = child.cmdline()
            if _SIMULATOR in command and command[-1] == str(limits.max_memory_bytes):
                found.append(child)
    return found


def ports_of(pid: int) -> set[int]:
    """Where a process listens."""
    return {link.laddr.port for link in psutil.Process(pid).net_connections("tcp") if link.status == psutil.CONN_LISTEN}


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(10)
    if process.stdin is not None:
        process.stdin.close()


def certificates(folder: Path, name: str) -> Certificates:
    """An authority of its own, made on the first call."""
    files = Certificates(*(folder / f"{name}-{part}.pem" for part in ("ca", "cert", "key")))
    if not files.key.exists():
        with logging_kept():
            from distributed import Security
        made = Security.temporary()
        files.authority.write_text(made.tls_ca_file)
        files.certificate.write_text(made.tls_client_cert)
        files.key.write_text(made.tls_client_key)
    return files

"""A PostgreSQL server of one's own: in a folder that is deleted, reached by a Unix socket, ended with the tests."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

import pg8000.native

_PLACES = ("/usr/lib/postgresql/*/bin", "/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin")
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",  # processes are killed here, never the machine
    "synchronous_commit": "on",
    "max_connections": "100",
    "shared_buffers": "32MB",
}
PORT = 5432
TEMPLATE = "qsec_template"


def binaries() -> Path | None:
    """The folder of the newest server on this machine."""
    found = [Path(place) for place in [shutil.which("initdb")] if place]
    folders = [path.parent.resolve() for path in found]
    for pattern in _PLACES:
        folders += sorted(Path("/").glob(pattern.lstrip("/")), key=lambda path: [*map(int, _digits(path))])
    usable = [folder for folder in folders if (folder / "postgres").exists() and (folder / "initdb").exists()]
    return usable[-1] if usable else None


def _digits(path: Path) -> list[str]:
    return "".join(char if char.isdigit() else " " for char in str(path)).split()


def _account() -> str | None:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        return "nobody"


class PostgresServer:
    """Start it, stop it as an administrator or as a power cut would, start it again."""

    def __init__(self, programs: Path, settings: Mapping[str, str] | None = None, port: int = PORT) -> None:
        """`settings` are set after our own. `port` is in the name of the socket, too."""
        self.port = port
        self.settings = {**_SETTINGS, **(settings or {})}
        self._programs = programs
        self.account = _account()
        self.folder = Path(tempfile.mkdtemp(prefix="qsec-pg-"))
        self._process: subprocess.Popen[str] | None = None
        self._drain: threading.Thread | None = None
        self._numbers = itertools.count()
        if self.account:
            shutil.chown(self.folder, self.account)
        options = ["--auth=trust", "--username=qsec", "--encoding=UTF8", "--locale=C", "--no-sync"]
        subprocess.run(
            [programs / "initdb", "-D", self.folder / "data", *options],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
            env=self._environ(),
            user=self.account,
        )

    @staticmethod
    def _environ() -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "LC_ALL": "C"}

    def start(self) -> None:
        settings = [part for name, value in self.settings.items() for part in ("-c", f"{name}={value}")]
        settings += ["-c", f"unix_socket_directories={self.folder}", "-p", str(self.port)]
        process = subprocess.Popen(
            [self._programs / "postgres", "-D", self.folder / "data", *settings],
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
            env=self._environ(),
            user=self.account,
        )
        self._process = process
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if "ready to accept connections" in line:
                break
        else:
            raise AssertionError("PostgreSQL did not start: " + "".join(said))
        self._drain = threading.Thread(target=process.stderr.read)
        self._drain.start()

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT ends connections, SIGQUIT ends at once and leaves recovery to the next start."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            process.wait(timeout=60)
            assert self._drain is not None
            self._drain.join()
            assert process.stderr is not None
            process.stderr.close()

    def delete(self) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder)

    def url(self, database: str) -> str:
        return f"postgresql://qsec@/{database}?host={self.folder}"

    def run(self, *statements: str, database: str = "postgres") -> None:
        with pg8000.native.Connection(
            "qsec", unix_sock=f"{self.folder}/.s.PGSQL.{self.port}", database=database, ssl_context=False
        ) as connection:
            for statement in statements:
                connection.run(statement)

    def new_database(self, template: str = TEMPLATE) -> str:
        """The name of a fresh database."""
        name = f"test_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop_database(self, name: str) -> None:
        self.run(f"DROP DATABASE {name} WITH (FORCE)")

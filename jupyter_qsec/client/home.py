"""The state directory as the notebook wing sees it: where things are, who may read them, which port the gateway has.

Layout and modes are those of `docs/interfaces.md`. Everything here is made race-free: two servers and a command line
may start on the same directory at the same moment and agree on one port and one token.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import socket
import ssl
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from jupyter_qsec.client import drafts
from jupyter_qsec.domain.errors import StateDirectoryError, UnavailableError

HOST = "127.0.0.1"
_MAX_SMALL_FILE = 64 * 1024
# Below the ephemeral ranges of Linux and macOS, so that an outgoing connection or a kernel's ZMQ socket of this machine
# does not sit on the persisted port by accident while no gateway runs.
_PORT_RANGE = range(20_000, 32_000)


@dataclass(frozen=True, slots=True)
class GatewayInfo:
    """The content of `gateway.json`: the gateway that runs, or ran last when it was killed."""

    pid: int
    port: int
    instance: str
    started_at: datetime | None
    certificate: str = ""
    """Its certificate in PEM form, when it speaks TLS."""

    @property
    def url(self) -> str:
        return f"{'https' if self.certificate else 'http'}://{HOST}:{self.port}"

    def trust(self) -> ssl.SSLContext | None:
        """That very certificate, under whatever name: it is known from a file that the gateway alone could write."""
        if not self.certificate:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        try:
            context.load_verify_locations(cadata=self.certificate)
        except (ssl.SSLError, ValueError):
            raise UnavailableError("gateway.json holds no usable certificate.", remedy="Restart the gateway.") from None
        return context


@dataclass(frozen=True, slots=True)
class QsecHome:
    """One state directory."""

    path: Path

    @classmethod
    def default(cls, environ: Mapping[str, str] = os.environ) -> QsecHome:
        """`JUPYTER_QSEC_HOME`, else `qsec` below the Jupyter data directory."""
        chosen = environ.get("JUPYTER_QSEC_HOME", "")
        if chosen:
            return cls(Path(chosen).expanduser().absolute())
        from jupyter_core.paths import jupyter_data_dir  # here: a scanner-only run never needs it

        return cls(Path(jupyter_data_dir()).absolute() / "qsec")

    # -- places
    @property
    def gateway_lock(self) -> Path:
        return self.path / "gateway.lock"

    @property
    def supervisor_lock(self) -> Path:
        return self.path / "supervisor.lock"

    @property
    def gateway_file(self) -> Path:
        return self.path / "gateway.json"

    @property
    def port_file(self) -> Path:
        return self.path / "port"

    @property
    def control_token_file(self) -> Path:
        return self.path / "control.token"

    @property
    def fingerprint_key_file(self) -> Path:
        return self.path / "fingerprint.key"

    @property
    def state_db(self) -> Path:
        return self.path / "state.db"

    @property
    def has_state(self) -> bool:
        """Whether there is a state database: the file, or the server that the environment names."""
        return bool(os.environ.get("JUPYTER_QSEC_DATABASE_URL")) or self.state_db.exists()

    @property
    def results(self) -> Path:
        return self.path / "results"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def keys(self) -> Path:
        return self.path / "keys"

    @property
    def backups(self) -> Path:
        """Files as they were before `scan --fix`; they hold secrets."""
        return self.path / "backups"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    # -- the directory itself
    def ensure(self) -> QsecHome:
        """Make the directory when it is missing, and refuse one that others could read or replace.

        Raises `StateDirectoryError` with what to do about it.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):
                self.path.mkdir(mode=0o700)
        except OSError as error:
            raise StateDirectoryError(
                f"The state directory {self.path} cannot be made: {error.strerror}.",
                remedy="Point JUPYTER_QSEC_HOME to a directory that you may write to.",
            ) from error
        self.check()
        return self

    def check(self) -> None:
        """Raise `StateDirectoryError` unless the directory exists and is private to this user."""
        try:
            status = os.lstat(self.path)
        except OSError as error:
            raise StateDirectoryError(
                f"The state directory {self.path} cannot be read: {error.strerror}.",
                remedy="It is made when a gateway starts, for example by 'jupyter qsec gateway'.",
            ) from error
        if stat.S_ISLNK(status.st_mode):
            raise StateDirectoryError(
                f"The state directory {self.path} is a symbolic link.",
                remedy="Point JUPYTER_QSEC_HOME to the directory itself.",
            )
        if not stat.S_ISDIR(status.st_mode):
            raise StateDirectoryError(f"The state directory {self.path} is not a directory.", remedy="Move it away.")
        if status.st_uid != os.geteuid():
            raise StateDirectoryError(
                f"The state directory {self.path} belongs to another user (uid {status.st_uid}).",
                remedy="Point JUPYTER_QSEC_HOME to a directory of your own.",
            )
        if status.st_mode & 0o077:
            raise StateDirectoryError(
                f"The state directory {self.path} is open to others (mode {stat.S_IMODE(status.st_mode):04o}).",
                remedy=f"Run: chmod 700 {self.path}",
            )
        if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK):
            raise StateDirectoryError(
                f"The state directory {self.path} cannot be written (mode {stat.S_IMODE(status.st_mode):04o}).",
                remedy=f"Run: chmod 700 {self.path}",
            )

    # -- small files
    def port(self) -> int | None:
        """The gateway's persisted port, or `None` when none was chosen yet."""
        text = self._read(self.port_file)
        if text is None:
            return None
        try:
            port = int(text.decode("ascii").strip())
        except ValueError:
            port = 0
        if not 0 < port < 65_536:
            raise StateDirectoryError(f"{self.port_file} holds no port.", remedy="Delete it and start again.")
        return port

    def choose_port(self, preferred: int | None = None) -> int:
        """The persisted port; at the first call `preferred`, else one that is free, is persisted."""
        port = self.port()
        if port is None:
            self._create(self.port_file, f"{preferred or free_port()}\n".encode())
            port = self.port()
        if port is None:
            raise StateDirectoryError(f"{self.port_file} vanished while it was made.", remedy="Try again.")
        return port

    def replace_port(self) -> int:
        """Persist another port, because a foreign program sits on the old one. Only for the holder of
        `supervisor.lock`."""
        port = free_port()
        try:
            drafts.replace(self.port_file, f"{port}\n".encode())
        except OSError as error:
            raise StateDirectoryError(
                f"{self.port_file} cannot be written: {error.strerror}.", remedy="See 'jupyter qsec doctor'."
            ) from error
        return port

    def control_token(self) -> str:
        """The bearer token of the control API; made once, by whoever comes first."""
        content = self._read(self.control_token_file)
        if content is None:
            content = self._create(self.control_token_file, secrets.token_urlsafe(32).encode("ascii"))
        token = content.decode("ascii", "replace").strip()
        if len(token) < 32 or not token.isascii() or not token.isprintable():
            raise StateDirectoryError(
                f"{self.control_token_file} holds no token.", remedy="Delete it and restart the gateway."
            )
        return token

    def fingerprint_key(self) -> bytes:
        """32 bytes that key the fingerprints of findings; made once."""
        key = self._read(self.fingerprint_key_file)
        if key is None:
            key = self._create(self.fingerprint_key_file, secrets.token_bytes(32))
        if len(key) != 32:
            raise StateDirectoryError(f"{self.fingerprint_key_file} holds no key.", remedy="Delete it.")
        return key

    def gateway_info(self) -> GatewayInfo | None:
        """What `gateway.json` says, or `None` when it is missing or makes no sense."""
        content = self._read(self.gateway_file)
        if content is None:
            return None
        try:
            value = json.loads(content)
            return GatewayInfo(
                pid=int(value["pid"]),
                port=int(value["port"]),
                instance=str(value["instance"]),
                started_at=_moment(value.get("started_at")),
                certificate=str(value.get("certificate") or ""),
            )
        except (ValueError, TypeError, KeyError, RecursionError):
            return None

    def running_gateway(self) -> GatewayInfo | None:
        """The gateway that runs on this directory now, or `None`.

        Only a process of this user can hold the lock inside a 0700 directory, and the holder owns the listening socket:
        so a token sent to that port cannot reach another user's program that took a port left free.
        """
        info = self.gateway_info()
        if info is None or not _alive(info.pid) or not is_locked(self.gateway_lock):
            return None
        return info

    @property
    def gateway_url(self) -> str:
        """`http://127.0.0.1:PORT`, choosing the port when none was chosen yet."""
        return f"http://{HOST}:{self.choose_port()}"

    def connect_checked(self) -> tuple[GatewayInfo, str]:
        """The gateway that runs now and its control token; `UnavailableError` when none does."""
        self.check()
        info = self.running_gateway()
        if info is None:
            raise UnavailableError(
                "No gateway runs on this state directory.",
                remedy="Start one with 'jupyter qsec gateway', JupyterLab, or 'jupyter qsec exec'.",
            )
        return info, self.control_token()

    def _read(self, path: Path) -> bytes | None:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateDirectoryError(
                f"{path} cannot be read: {error.strerror}.", remedy="See 'jupyter qsec doctor'."
            ) from error
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if status.st_uid != os.geteuid() or status.st_mode & 0o077:
                raise StateDirectoryError(f"{path} is open to others.", remedy=f"Run: chmod 600 {path}")
            return file.read(_MAX_SMALL_FILE)

    def _create(self, path: Path, content: bytes) -> bytes:
        """Put a complete 0600 file there unless somebody was faster; either way, what the file holds now."""
        self.ensure()
        try:
            # A hard link appears with its whole content and never replaces what is there.
            with drafts.drafted(path, content) as draft, suppress(FileExistsError):
                os.link(draft, path)
        except OSError as error:
            raise StateDirectoryError(
                f"{path} cannot be written: {error.strerror}.", remedy="See 'jupyter qsec doctor'."
            ) from error
        present = self._read(path)
        if present is None:
            raise StateDirectoryError(f"{path} vanished while it was made.", remedy="Try again.")
        return present


def free_port() -> int:
    """A port on loopback that is free at this moment."""
    for candidate in (*(secrets.choice(_PORT_RANGE) for _ in range(64)), 0):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind((HOST, candidate))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise UnavailableError("No port is free on the loopback interface.", remedy="End some programs and try again.")


def lock(path: Path) -> int | None:
    """An open descriptor that holds the `flock` of this path until it is closed; `None` when somebody else does."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateDirectoryError(
            f"{path} cannot be opened: {error.strerror}.", remedy="See 'jupyter qsec doctor'."
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def is_locked(path: Path) -> bool:
    """Whether another open file holds the `flock` of this path."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def _alive(pid: int) -> bool:
    """Whether a process of this user with that id exists."""
    if pid <= 1:
        return False
    try:
        os.kill(pid, 0)
    except (OSError, OverflowError):
        return False
    return True


def _moment(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        return datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError:
        return None

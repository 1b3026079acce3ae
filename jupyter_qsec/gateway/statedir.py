"""The state directory as the running gateway holds it: checked, locked, with port, token and announcement.

Layout and modes are those of `docs/interfaces.md`. The notebook wing may create port and token at the same moment; both
sides make files that appear whole and never replace one that is there.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
from contextlib import suppress
from pathlib import Path

from jupyter_qsec.adapters.privatefiles import (
    create_private,
    ensure_private_directory,
    open_private,
    read_private,
    replace_private,
)
from jupyter_qsec.domain.errors import StateDirectoryError

_SMALL = 4096
_LEAST_FREE_BYTES = 1 << 20


class StateDirectory:
    """One locked state directory. `StateDirectoryError` says what is wrong and what to do."""

    def __init__(self, home: Path, *, locked: bool = True) -> None:
        """`locked=False`: for a process whose supervisor holds the lock."""
        self.home = home
        ensure_private_directory(home)
        if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
            raise StateDirectoryError(f"The state directory {home} cannot be written.", remedy=f"chmod 700 {home}")
        self._lock = self._take_lock() if locked else None
        disk = os.statvfs(home)
        if disk.f_bavail * disk.f_frsize < _LEAST_FREE_BYTES:
            raise StateDirectoryError(f"The disk of the state directory {home} is full.", remedy="Free some space.")

    def _take_lock(self) -> int:
        descriptor = open_private(self.home / "gateway.lock", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise StateDirectoryError(f"gateway.lock cannot be locked: {error.strerror}.") from error
            raise StateDirectoryError(
                f"Another gateway{self._whose()} runs on the state directory {self.home}.",
                remedy="Use that one, or give this one a state directory of its own (JUPYTER_QSEC_HOME).",
            ) from None
        return descriptor

    def _whose(self) -> str:
        with suppress(StateDirectoryError, ValueError, KeyError, TypeError):
            return f" (process {int(json.loads(read_private(self.home / 'gateway.json', _SMALL) or b'')['pid'])})"
        return ""

    def saved_port(self) -> int | None:
        """The port of an earlier start, or `None`."""
        content = read_private(self.home / "port", _SMALL)
        if content is None:
            return None
        text = content.strip()
        if not text.isdigit() or not 1 <= int(text) <= 65535:
            raise StateDirectoryError(f"{self.home / 'port'} does not hold a port.", remedy="Remove the file.")
        return int(text)

    def save_port(self, port: int) -> None:
        """Keep the port for the next start."""
        if self.saved_port() != port:
            replace_private(self.home / "port", f"{port}\n".encode())

    def announce(self, port: int, instance: str, started_at: str, certificate: str = "") -> None:
        """Write `gateway.json`; `certificate` is what callers of this account meet there, in PEM form."""
        document = {"version": 1, "pid": os.getpid(), "port": port, "instance": instance, "started_at": started_at}
        if certificate:
            document["certificate"] = certificate
        replace_private(self.home / "gateway.json", json.dumps(document).encode())

    def control_token(self) -> str:
        """The bearer token of the control API: the one that is there, or a new one of 256 random bits."""
        path = self.home / "control.token"
        content = create_private(path, secrets.token_urlsafe(32).encode())
        token = content.decode("ascii", "replace").strip()
        if len(token) < 32 or not token.isascii() or not token.isprintable():
            raise StateDirectoryError(f"{path} holds no token.", remedy="Remove the file; a new one will be made.")
        return token

    def close(self) -> None:
        """Take the announcement away and give up the lock."""
        if self._lock is None:
            return
        with suppress(OSError):
            (self.home / "gateway.json").unlink()
        os.close(self._lock)

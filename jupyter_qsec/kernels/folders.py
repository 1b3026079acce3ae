"""Private folders of kernels: one 0700 parent per user, so that a confined kernel's view can hide all but its own."""

from __future__ import annotations

import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

_MAX_SOCKET_PATH = 100
"""Unix socket paths end at 104 bytes on macOS and 108 on Linux."""
_LONGEST_NAME = "/k-abcdefgh/io/k-5"


@dataclass(frozen=True, slots=True)
class KernelFolder:
    """The folder of one kernel process. `io` is the kernel's to write, `lease` is only ever written from outside."""

    path: Path

    @property
    def parent(self) -> Path:
        """The parent of all kernels' folders of this user."""
        return self.path.parent

    @property
    def io(self) -> Path:
        return self.path / "io"

    @property
    def lease(self) -> Path:
        return self.path / "lease"

    @property
    def token_file(self) -> Path:
        return self.lease / "token"

    @property
    def connection_file(self) -> Path:
        return self.io / "connection.json"

    @property
    def socket_stem(self) -> str:
        """`ip` of a connection over IPC: sockets are named `STEM-1` and so on."""
        return str(self.io / "k")


def make_folder() -> KernelFolder:
    """A new folder. `OSError` when no private place can be made."""
    path = Path(tempfile.mkdtemp(prefix="k-", dir=private_parent()))
    folder = KernelFolder(path)
    folder.io.mkdir(mode=0o700)
    folder.lease.mkdir(mode=0o700)
    return folder


def private_parent() -> Path:
    """`qsec-UID` in the temporary directory, made on demand; never one that somebody else could have prepared."""
    name = f"qsec-{os.getuid()}"
    for place in dict.fromkeys((tempfile.gettempdir(), "/tmp")):  # noqa: S108 - checked to be ours and private below
        parent = Path(os.path.realpath(place)) / name
        if len(os.fsencode(parent)) + len(_LONGEST_NAME) > _MAX_SOCKET_PATH:
            continue
        try:
            parent.mkdir(mode=0o700, exist_ok=True)
            status = parent.lstat()
        except OSError:
            continue
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid():
            if stat.S_IMODE(status.st_mode) != 0o700:
                parent.chmod(0o700)
            return parent
    raise PermissionError(f"No temporary directory takes a private folder {name!r} with a short path.")

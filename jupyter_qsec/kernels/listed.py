"""Which folders a kernel may use when its access to files is by list."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc", "/opt", "/nix", "/proc", "/sys", "/run/systemd")
_TEMPORARY = ("/tmp", "/var/tmp", "/dev")  # noqa: S108 - not used, but left open: programs keep temporary files there


@dataclass(frozen=True, slots=True)
class Listed:
    """Real paths. What is writable is readable, too."""

    readable: tuple[str, ...]
    writable: tuple[str, ...]
    closed: tuple[str, ...]
    """Folders outside of all of these, in which the probe tries to list and to write."""

    def to_json(self) -> dict[str, list[str]]:
        return {"readable": list(self.readable), "writable": list(self.writable), "closed": list(self.closed)}


def listed_folders(
    cwd: str | None, program: str, environ: Mapping[str, str], readable: Iterable[str], writable: Iterable[str]
) -> Listed:
    """The working directory, temporary folders and the `writable` ones; the system, the environment's packages and the
    `readable` ones. Folders that do not exist are left out."""
    home = environ.get("HOME", "")
    where = cwd or os.getcwd()  # noqa: PTH109 - a plain string is wanted
    can_write = _real([where, *_TEMPORARY, environ.get("TMPDIR", ""), *_expanded(writable, home, where)])
    found = shutil.which(program, path=environ.get("PATH")) or program
    packages = [sys.prefix, sys.base_prefix, *_prefixes(found), *environ.get("PYTHONPATH", "").split(os.pathsep)]
    packages.append(str(Path(__file__).parents[2]))  # ours, which may be installed from a checkout
    if home:
        packages.append(f"{home}/.local/lib")  # where pip puts packages of one's own
    can_read = _real([*_SYSTEM, *packages, *_expanded(readable, home, where)])
    closed = [path for path in _real([home, sys.prefix, "/"]) if not _within(path, can_write)]
    return Listed(can_read, can_write, tuple(closed))


def _prefixes(program: str) -> list[str]:
    """The environments of a program, as it is named and as it is."""
    return [str(Path(path).parent.parent) for path in (program, os.path.realpath(program)) if path.startswith("/")]


def _expanded(folders: Iterable[str], home: str, where: str) -> list[str]:
    return [os.path.join(where, home + folder[1:] if folder.startswith("~") else folder) for folder in folders]  # noqa: PTH118 - may be absolute


def _real(paths: Iterable[str]) -> tuple[str, ...]:
    real = (os.path.realpath(path) for path in paths if path)
    return tuple(dict.fromkeys(path for path in real if os.path.exists(path)))  # noqa: PTH110 - plain strings throughout


def _within(path: str, folders: Iterable[str]) -> bool:
    return any(path == folder or path.startswith(folder.rstrip("/") + "/") for folder in folders)

"""Tries, from inside, what a confined kernel must not be able to do. Only what was tried and failed counts."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress


def attempts(spec: dict[str, object]) -> list[str]:
    """What succeeded, as sentences; empty when every attempt failed."""
    got: list[str] = []
    got += [f"{target[0]} can be read" for target in _triples(spec, "targets") if _reached(*target)]
    got += [f"the socket {address} answers" for address in _strings(spec, "sockets") if _connected(address)]
    for pid in _numbers(spec, "processes"):
        got += _process(pid, _triples(spec, "targets"))
    got += _disks()
    got += _beyond_the_list(spec.get("listed"))
    return got


def _beyond_the_list(listed: object) -> list[str]:
    """Folders that are not on the list of those that can be used."""
    if not isinstance(listed, dict):
        return []
    got = []
    for folder in _strings(listed, "closed"):
        if not _under(folder, _strings(listed, "readable")):
            with suppress(OSError):
                os.scandir(folder).close()
                got.append(f"{folder} can be listed")
        name = f"{folder.rstrip('/')}/.qsec-probe-{os.getpid()}"
        with suppress(OSError):
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            os.unlink(name)  # noqa: PTH108 - starts faster
            got.append(f"{folder} can be written to")
    return got


def _under(path: str, folders: list[str]) -> bool:
    return any(path == folder or path.startswith(folder.rstrip("/") + "/") for folder in folders)


def _reached(path: str, device: int, inode: int) -> bool:
    """Whether the very file or directory that was meant can be opened for reading."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError:
        return False
    try:
        status = os.fstat(descriptor)
        return (status.st_dev, status.st_ino) == (device, inode)
    finally:
        os.close(descriptor)


def _connected(address: str) -> bool:
    """Whether a Unix socket takes a connection; abstract ones begin with `@`."""
    target = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as attempt:
        try:
            attempt.connect(target)
        except BlockingIOError:
            return True  # its queue is full, but it may be connected to
        except OSError:
            return False
    return True


def _process(pid: int, targets: list[tuple[str, int, int]]) -> list[str]:
    """A process outside: its environment, its memory, and the files as it sees them."""
    got = []
    for name in ("environ", "mem", "maps", "auxv"):
        with suppress(OSError), open(f"/proc/{pid}/{name}", "rb", buffering=0) as file:  # noqa: PTH123 - starts faster
            # `mem` opens or not; reading at address 0 fails anyway.
            if name == "mem" or file.read(1):
                got.append(f"/proc/{pid}/{name} of a guarded process can be read")
    for link in ("root", "cwd"):
        with suppress(OSError):
            os.stat(f"/proc/{pid}/{link}/.")  # noqa: PTH116 - starts faster
            got.append(f"/proc/{pid}/{link} of a guarded process can be entered")
    with suppress(OSError):  # the numbers may be listed, following one must fail
        for number in os.listdir(f"/proc/{pid}/fd")[:8]:  # noqa: PTH208 - starts faster
            os.readlink(f"/proc/{pid}/fd/{number}")  # noqa: PTH115 - starts faster
            got.append(f"/proc/{pid}/fd/{number} of a guarded process can be followed")
    for path, device, inode in targets[:8]:
        if _reached(f"/proc/{pid}/root{path}", device, inode):
            got.append(f"{path} can be read through /proc/{pid}/root")
    return got


def _disks() -> list[str]:
    got = []
    with suppress(OSError):
        for entry in os.scandir("/dev"):
            if stat.S_ISBLK(entry.stat(follow_symlinks=False).st_mode):
                with suppress(OSError):
                    os.close(os.open(entry.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
                    got.append(f"the disk {entry.path} can be read")
    return got


def _strings(spec: dict[str, object], name: str) -> list[str]:
    value = spec.get(name)
    return [str(item) for item in value] if isinstance(value, list) else []


def _numbers(spec: dict[str, object], name: str) -> list[int]:
    return [int(item) for item in _strings(spec, name)]


def _triples(spec: dict[str, object], name: str) -> list[tuple[str, int, int]]:
    value = spec.get(name)
    return [(str(item[0]), int(item[1]), int(item[2])) for item in value] if isinstance(value, list) else []

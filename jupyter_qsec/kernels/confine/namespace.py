"""A user and mount namespace in which hidden paths are covered and everything else is as it was."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from jupyter_qsec.kernels.confine import syscalls
from jupyter_qsec.kernels.confine.syscalls import (
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
    MS_SLAVE,
)

_QUIET = MS_NOSUID | MS_NODEV | MS_NOEXEC
_EMPTY_DIR, _EMPTY_FILE = ".empty", ".void"
# What of the user's runtime directory a plot window needs.
# Sound servers are left out: a client may have them load a library of its choice, outside.
_RUNTIME_KEPT = ("wayland-", "ICEauthority", "xauth_", ".mutter-Xwaylandauth", "gdm")


def enter() -> None:
    """Own namespaces, or `OSError` where the system does not let users have them."""
    uid, gid = os.getuid(), os.getgid()
    try:
        syscalls.unshare(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNS)
    except OSError:
        if uid != 0:
            raise
        syscalls.unshare(syscalls.CLONE_NEWNS)  # root of a container that may mount, without user namespaces
    else:
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{uid} {uid} 1")
        _write("/proc/self/gid_map", f"{gid} {gid} 1")
    syscalls.mount("none", "/", flags=MS_REC | MS_SLAVE)


def cover(spec: dict[str, object]) -> list[str]:
    """Cover the paths of the spec; what could not be covered, as sentences."""
    problems: list[str] = []
    parent, own, read_only = str(spec["parent"]), str(spec["own"]), str(spec["read_only"])
    problems += _pin([parent, *(str(path) for path in _list(spec, "hidden"))])
    kept = os.open(own, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    # All kernels' folders are below one parent: covering it and binding our own back hides those still to come, too.
    syscalls.mount("qsec", parent, "tmpfs", _QUIET, "mode=0700,size=64k,nr_inodes=64")
    empty, void = os.path.join(parent, _EMPTY_DIR), os.path.join(parent, _EMPTY_FILE)  # noqa: PTH118 - see landlock.py
    os.mkdir(own, 0o700)  # noqa: PTH102 - see landlock.py
    os.mkdir(empty, 0o500)  # noqa: PTH102 - see landlock.py
    os.close(os.open(void, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o000))
    syscalls.mount(f"/proc/self/fd/{kept}", own, flags=MS_BIND)
    os.close(kept)
    _bind_read_only(read_only, read_only)
    syscalls.mount("qsec", parent, flags=MS_REMOUNT | MS_BIND | MS_RDONLY | _QUIET)

    writable = {str(path) for path in _list(spec, "writable")}
    for path in _list(spec, "hidden"):
        if path == parent:
            continue
        try:
            _cover_one(path, path in writable, empty, void)
        except OSError as error:
            problems.append(f"{path} could not be hidden ({error.strerror or error})")
    problems += _cover_devices(void)
    if os.getuid() == 0 or os.access("/proc/sys/kernel/core_pattern", os.W_OK):
        # uid 0 owns the system's switches: without capabilities it could still write core_pattern and the like.
        try:
            _bind_read_only("/proc/sys", "/proc/sys")
        except OSError as error:
            problems.append(f"/proc/sys could not be made read-only ({error.strerror or error})")
    return problems


def _pin(paths: list[str]) -> list[str]:
    """Make the directories above the paths mount points where they could be renamed, because a mount point cannot.

    What is covered moves with its cover when a directory above it is renamed, but the next kernel would look for it
    where it was, and cover nothing.
    """
    problems: list[str] = []
    for path in sorted({above for hidden in paths for above in _above(hidden)}):
        if os.access(os.path.dirname(path), os.W_OK):  # noqa: PTH120 - see landlock.py
            try:
                syscalls.mount(path, path, flags=MS_BIND | MS_REC)
            except OSError as error:
                problems.append(f"{path} could not be kept in its place ({error.strerror or error})")
    return problems


def _above(path: str) -> list[str]:
    """The directories above a path, but not the root."""
    found = []
    while (path := os.path.dirname(path)) != "/":  # noqa: PTH120 - see landlock.py
        found.append(path)
    return found


def _cover_one(path: str, writable: bool, empty: str, void: str) -> None:
    mode = os.lstat(path).st_mode
    if not stat.S_ISDIR(mode):
        syscalls.mount(void, path, flags=MS_BIND)
    elif writable:
        syscalls.mount("qsec", path, "tmpfs", _QUIET, "mode=0700,size=16m")
    elif path.startswith("/run/user/"):
        _cover_runtime(path)
    else:
        syscalls.mount(empty, path, flags=MS_BIND)


def _cover_runtime(path: str) -> None:
    """The user's runtime directory: everything goes but what shows windows."""
    kept: list[tuple[str, int, bool]] = []
    for entry in os.scandir(path):
        if entry.name.startswith(_RUNTIME_KEPT) and not entry.is_symlink():
            with suppress(OSError):
                kept.append((entry.path, os.open(entry.path, os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW), entry.is_dir()))
    syscalls.mount("qsec", path, "tmpfs", _QUIET, "mode=0700,size=16m")
    for name, descriptor, is_dir in kept:
        with suppress(OSError):
            if is_dir:
                os.mkdir(name, 0o700)  # noqa: PTH102 - see landlock.py
            else:
                os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            syscalls.mount(f"/proc/self/fd/{descriptor}", name, flags=MS_BIND)
        os.close(descriptor)


def _cover_devices(void: str) -> list[str]:
    """A disk that can be opened for reading shows every file on it: for root, and for members of the group `disk`."""
    problems = []
    pending = ["/dev"]
    while pending:
        try:
            entries = list(os.scandir(pending.pop()))
        except OSError:
            continue
        for entry in entries:
            try:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                elif stat.S_ISBLK(entry.stat(follow_symlinks=False).st_mode) and os.access(entry.path, os.R_OK):
                    syscalls.mount(void, entry.path, flags=MS_BIND)
            except OSError as error:
                problems.append(f"{entry.path} could not be hidden ({error.strerror or error})")
    return problems


def _bind_read_only(source: str, target: str) -> None:
    syscalls.mount(source, target, flags=MS_BIND)
    # In a user namespace a remount must keep the flags that the mount came with.
    inherited = os.statvfs(target).f_flag & (_QUIET | MS_RDONLY)
    syscalls.mount("none", target, flags=MS_REMOUNT | MS_BIND | MS_RDONLY | inherited)


def _list(spec: dict[str, object], name: str) -> list[str]:
    value = spec[name]
    assert isinstance(value, list)  # noqa: S101 - the spec is the provisioner's own
    return value


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode("ascii"))
    finally:
        os.close(descriptor)

"""Landlock domains: around a namespace, where they keep processes apart, or alone, where they also keep files apart.

Access rights and ABI versions: the kernel's `Documentation/userspace-api/landlock.rst`.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from jupyter_qsec.kernels.confine import syscalls

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REMOVE_DIR, REMOVE_FILE, MAKE_CHAR, MAKE_DIR, MAKE_REG = 1 << 4, 1 << 5, 1 << 6, 1 << 7, 1 << 8
MAKE_SOCK, MAKE_FIFO, MAKE_BLOCK, MAKE_SYM, REFER, TRUNCATE = 1 << 9, 1 << 10, 1 << 11, 1 << 12, 1 << 13, 1 << 14

_ON_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE
_READS = EXECUTE | READ_FILE | READ_DIR
_WRITES = (
    WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SOCK | MAKE_FIFO | MAKE_SYM | REFER | TRUNCATE
)
_MOVES = REMOVE_DIR | REMOVE_FILE | REFER
_DEVICES = MAKE_CHAR | MAKE_BLOCK
_SCOPE_ABSTRACT_SOCKETS, _SCOPE_SIGNALS = 1 << 0, 1 << 1

FIRST_USABLE_ABI = 2
"""ABI 1 cannot allow renaming across directories, which ordinary programs do all the time."""


def _scoped(abi: int) -> int:
    return _SCOPE_ABSTRACT_SOCKETS | _SCOPE_SIGNALS if abi >= 6 else 0


def enter_domain(abi: int) -> None:
    """A domain that forbids no file: what it forbids is to trace, inspect and signal processes outside, to connect to
    abstract sockets outside, and to mount."""
    # REFER is refused by every domain that does not allow it, so it is handled and allowed everywhere.
    ruleset = syscalls.landlock_ruleset(REFER | _DEVICES, _scoped(abi))
    _allow(ruleset, "/", REFER)
    syscalls.landlock_restrict(ruleset)
    os.close(ruleset)


def enter_allow_list(abi: int, hidden: list[str], own: str) -> None:
    """A domain in which the `hidden` paths cannot be read: everything beside them and their ancestors can.

    Ancestors of hidden paths can be written below but not listed, and what is newly made directly in them cannot be
    read back: Landlock grants per existing file. Nor can anything directly in them be removed or renamed: the next
    kernel would look for what is hidden where it was, and grant it under its new name.
    """
    handled = _READS | _WRITES | _DEVICES
    if abi < 3:
        handled &= ~TRUNCATE
    ruleset = syscalls.landlock_ruleset(handled, _scoped(abi))
    everything = (_READS | _WRITES) & handled
    _allow(ruleset, "/", _WRITES & ~_MOVES & handled)
    ancestors = {parent for path in hidden for parent in _ancestors(path)}
    for parent in ancestors:
        with suppress(OSError):
            for entry in os.scandir(parent):
                path = os.path.join(parent, entry.name)  # noqa: PTH118 - pathlib would cost a third of the start
                if path not in ancestors and path not in hidden and not entry.is_symlink():
                    _allow(ruleset, path, everything)
    _allow(ruleset, own, everything)
    syscalls.landlock_restrict(ruleset)
    os.close(ruleset)


def enter_list(abi: int, readable: list[str], writable: list[str]) -> None:
    """A domain in which nothing but these folders can be read, and nothing but the writable ones be written. Programs
    can be executed wherever they can be read."""
    handled = READ_FILE | READ_DIR | _WRITES
    if abi < 3:
        handled &= ~TRUNCATE
    ruleset = syscalls.landlock_ruleset(handled, 0)
    for path in readable:
        _allow(ruleset, path, READ_FILE | READ_DIR)
    for path in writable:
        _allow(ruleset, path, handled)
    syscalls.landlock_restrict(ruleset)
    os.close(ruleset)


def _ancestors(path: str) -> list[str]:
    found = []
    while path != "/":
        path = os.path.dirname(path)  # noqa: PTH120 - as above
        found.append(path)
    return found


def _allow(ruleset: int, path: str, access: int) -> None:
    """Allow below a path that may have vanished meanwhile."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            access &= _ON_FILES
        if access:
            syscalls.landlock_allow(ruleset, descriptor, access)
    finally:
        os.close(descriptor)

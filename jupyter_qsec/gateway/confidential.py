"""Keeps this process's memory, environment and core dumps from other processes of the same account."""

from __future__ import annotations

import ctypes
import logging
import resource
import sys

_log = logging.getLogger(__name__)

_PR_SET_DUMPABLE = 4
_PR_GET_DUMPABLE = 3


def keep_confidential() -> bool:
    """Forbid core dumps, and on Linux attaching and reading `/proc/PID/{mem,environ,fd}` too; whether that took hold.

    Linux: `prctl(PR_SET_DUMPABLE, 0)`. macOS needs no such call: there, a process may only be inspected by one that
    holds a debugging entitlement or runs as root."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform != "linux":
        return True
    return _not_dumpable()


def _not_dumpable() -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 or libc.prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0) != 0:
        _log.error("this process stays dumpable: prctl failed")
        return False
    return True

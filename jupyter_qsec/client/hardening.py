"""Makes this process's memory and environment unreadable for other processes of the same user, kernels among them."""

from __future__ import annotations

import ctypes
import resource
import sys
from contextlib import suppress

_PR_GET_DUMPABLE = 3  # linux/prctl.h
_PR_SET_DUMPABLE = 4
_PT_DENY_ATTACH = 31  # sys/ptrace.h of macOS


def forbid_dumps() -> bool:
    """No core dumps, no debugger, no `/proc/PID/environ` or `mem` for others; whether the system granted it."""
    platform: str = sys.platform  # as a plain string: a type checker would otherwise drop the other system's branch
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if platform == "linux":
            libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)  # forbids core dumps too, and no child inherits it
            return int(libc.prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0)) == 0
        if platform == "darwin":
            with suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
            return int(libc.ptrace(_PT_DENY_ATTACH, 0, None, 0)) == 0
    except (OSError, AttributeError):
        return False
    return False

"""Whether this system lets programs make namespaces of their own. Tried in a child: there is no way back."""

from __future__ import annotations

import os
import sys

from jupyter_qsec.kernels.confine import syscalls


def namespaces_work(flags: int = syscalls.CLONE_NEWNS) -> bool:
    """Whether a user namespace with these others can be had."""
    if sys.platform != "linux":
        return False
    pid = os.fork()
    if pid == 0:
        try:
            syscalls.unshare(syscalls.CLONE_NEWUSER | flags)
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0

"""A hardened process: not dumpable, and still able to do its work."""

from __future__ import annotations

import subprocess
import sys

import pytest

HARDENED = """
import ctypes, resource, subprocess, sys
from jupyter_qsec.client.hardening import forbid_dumps
limit = resource.getrlimit(resource.RLIMIT_CORE)
before = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
granted = forbid_dumps()
after = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
child = subprocess.run([sys.executable, "-c", "print('works')"], capture_output=True, text=True, check=True)
print(before, granted, after, resource.getrlimit(resource.RLIMIT_CORE) == limit, child.stdout.strip())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl")
def test_it_takes_effect_and_processes_can_still_be_started() -> None:
    done = subprocess.run([sys.executable, "-c", HARDENED], capture_output=True, text=True, timeout=60, check=True)
    # The limit of core files stays: commands and kernels that this process starts may write theirs.
    assert done.stdout.split() == ["1", "True", "0", "True", "works"]

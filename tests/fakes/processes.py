"""Whether processes are there."""

from __future__ import annotations

import os
import time
from pathlib import Path


def gone(pid: int, seconds: float = 10) -> bool:
    """Whether it is, after that time at the latest."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat")
            if state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z":
                return True  # ended; whoever inherited it has not looked yet
        except (ProcessLookupError, FileNotFoundError):
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)

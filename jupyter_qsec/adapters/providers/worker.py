"""A simulator worker: `python -m jupyter_qsec.adapters.providers.worker`, started by the gateway, one task at a time.

It reads jobs from standard input and writes outcomes to what was standard output. It ends when the gateway ends: by the
parent-death signal on Linux, and everywhere when its input closes, which a thread watches while a task runs.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import queue
import resource
import signal
import sys
import threading
from pathlib import Path
from typing import BinaryIO

from jupyter_qsec.adapters.providers import frames
from jupyter_qsec.adapters.providers.documents import TaskFacts
from jupyter_qsec.adapters.providers.frames import Frame, FrameError, Kind

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_MAX_FILE_BYTES = 64 << 20
"""Compiled kernels are cached in files; nothing else is written."""


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)  # the gateway ended before the signal was set


def _limit(name: int, value: int) -> None:
    _, hard = resource.getrlimit(name)
    bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
    with contextlib.suppress(OSError, ValueError):  # macOS refuses some bounds; the gateway's time limit stays
        resource.setrlimit(name, (bound, bound))


def _limit_memory(max_bytes: int) -> None:
    """Allow `max_bytes` on top of what the interpreter and its libraries have mapped by now."""
    statm = Path("/proc/self/statm")
    mapped = int(statm.read_text().split()[0]) * resource.getpagesize() if statm.exists() else 2 << 30
    _limit(resource.RLIMIT_AS, mapped + max_bytes)


def _take_streams() -> tuple[BinaryIO, BinaryIO]:
    """Keep the pipes to the gateway and put the null device in their place: a stray print breaks nothing."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    return requests, answers


def _watch(requests: BinaryIO, jobs: queue.SimpleQueue[Frame]) -> None:
    while True:
        try:
            jobs.put(frames.read(requests, max_body=frames.MAX_JOB_BYTES))
        except (FrameError, OSError):
            os._exit(0)  # the gateway is gone: whatever runs here has no one to answer to


def _serve(jobs: queue.SimpleQueue[Frame], answers: BinaryIO) -> None:
    from jupyter_qsec.adapters.providers import simulation

    while True:
        frame = jobs.get()
        head = frame.head
        facts = TaskFacts(
            task_arn=head["task_arn"],
            device_arn=head["device_arn"],
            shots=head["shots"],
            created_at=head["created_at"],
            device_parameters=head["device_parameters"],
        )
        job = simulation.Job(head["backend"], frame.body.decode(), facts, head["max_qubits"], head["max_result_bytes"])
        outcome = simulation.run(job)
        if outcome.reason:
            answer = Frame(Kind.FAILED, {"reason": outcome.reason, "duration_ms": outcome.duration_ms})
        else:
            answer = Frame(Kind.DONE, {"duration_ms": outcome.duration_ms}, outcome.document)
        frames.write(answers, answer)


def main(parent: int, max_memory_bytes: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the gateway's terminal is for the gateway
    _die_with(parent)
    _limit(resource.RLIMIT_CORE, 0)
    requests, answers = _take_streams()
    jobs: queue.SimpleQueue[Frame] = queue.SimpleQueue()
    threading.Thread(target=_watch, args=(requests, jobs), daemon=True).start()
    try:
        from jupyter_qsec.adapters.providers import simulation

        simulation.warm_up()
    except Exception as problem:  # noqa: BLE001  # said to the gateway, which decides; this process ends
        frames.write(answers, Frame(Kind.FAILED, {"reason": f"{type(problem).__name__}: {problem}"[:300]}))
        os._exit(1)
    gc.freeze()  # what simulators are made of never becomes garbage
    _limit(resource.RLIMIT_FSIZE, _MAX_FILE_BYTES)
    _limit(resource.RLIMIT_NOFILE, 64)
    _limit_memory(max_memory_bytes)
    frames.write(answers, Frame(Kind.READY, {"pid": os.getpid()}))
    _serve(jobs, answers)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))

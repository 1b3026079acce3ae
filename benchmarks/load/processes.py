"""The processes below this one: their memory while they run, and their end for sure."""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import psutil

_PR_SET_CHILD_SUBREAPER = 36
_END_SECONDS = 15.0


def adopt_orphans() -> None:
    """On Linux: what a killed process below this one leaves becomes this one's child, and so is found and ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def below(pid: int | None = None) -> list[psutil.Process]:
    """Every process that descends from this one, or from another."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return [p for p in psutil.Process(pid).children(recursive=True) if _lives(p)]
    return []


def _lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


def end(processes: Sequence[psutil.Process], seconds: float = _END_SECONDS) -> None:
    """SIGTERM, and SIGKILL for what is still there. psutil compares start times, so that no number that was given
    anew is hit."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=5)


@contextlib.contextmanager
def nothing_left(seconds: float, on_overdue: Callable[[], None]) -> Iterator[None]:
    """Within, processes may be started; afterwards those that are left are ended. After `seconds` all are ended
    whatever this process waits for, and `on_overdue` is called in another thread."""
    adopt_orphans()
    before = {process.pid for process in below()}

    def started() -> list[psutil.Process]:
        return [process for process in below() if process.pid not in before]

    def overdue() -> None:
        for _ in range(3):  # supervisors start others in the place of what ends
            end(started(), 5)
        on_overdue()

    watchdog = threading.Timer(seconds, overdue)
    watchdog.daemon = True
    watchdog.start()
    try:
        yield
    finally:
        watchdog.cancel()
        for _ in range(3):
            if left := started():
                end(left)


def gateway_supervisor() -> psutil.Process:
    """The one below this process. `RuntimeError` when there is none."""
    for process in below():
        with contextlib.suppress(psutil.NoSuchProcess):
            words = process.cmdline()
            if "jupyter_qsec.gateway" in words and "--processes" in words:
                return process
    raise RuntimeError("no gateway with several processes runs")


def gateway_processes(supervisor: psutil.Process) -> list[psutil.Process]:
    """Those that serve, oldest first."""
    found = []
    for process in supervisor.children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if "--seat" in process.cmdline():
                found.append(process)
    return sorted(found, key=lambda process: process.create_time())


@dataclass(frozen=True)
class Sample:
    at: float
    megabytes: float
    descriptors: int


class Sampler:
    """Looks at the parts of a site every second, in a thread of its own."""

    def __init__(self, supervisor: psutil.Process, every: float = 1.0) -> None:
        self._supervisor = supervisor
        self._every = every
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
        self.samples: dict[int, list[Sample]] = {}
        """Of gateway processes, by process id."""
        self._processor: dict[tuple[str, int], tuple[float, float]] = {}
        """Processor seconds by part and process id: when it was seen first, and last."""

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._ended.set()
        self._thread.join(10)

    def processor(self) -> dict[str, float]:
        """Processor seconds by part; the last moments of what has ended are not known."""
        found: dict[str, float] = {}
        for (part, _), (first, last) in self._processor.items():
            found[part] = found.get(part, 0.0) + last - first
        return found

    def _run(self) -> None:
        while not self._ended.wait(self._every):
            for part, process in parts(self._supervisor):
                with contextlib.suppress(psutil.NoSuchProcess):
                    self._look(part, process)

    def _look(self, part: str, process: psutil.Process) -> None:
        times = process.cpu_times()
        used = times.user + times.system
        first, _ = self._processor.get((part, process.pid), (used, used))
        self._processor[part, process.pid] = first, used
        if part == "gateway":
            taken = Sample(time.monotonic(), process.memory_info().rss / 2**20, process.num_fds())
            self.samples.setdefault(process.pid, []).append(taken)


def parts(supervisor: psutil.Process) -> list[tuple[str, psutil.Process]]:
    """The processes of a site below this process, each with the part that it belongs to."""
    with contextlib.suppress(psutil.NoSuchProcess):
        serving = gateway_processes(supervisor)
        workers = [worker for process in serving for worker in process.children(recursive=True)]
        databases = [process for process in below() if process.name() == "postgres"]
        return [
            *[("gateway", process) for process in serving],
            *[("simulators", process) for process in workers],
            *[("PostgreSQL", process) for process in databases],
        ]
    return []


@dataclass(frozen=True)
class Growth:
    """How one process grew after its warm-up."""

    pid: int
    seconds: float
    megabytes: float
    """At the end."""
    megabytes_per_minute: float
    descriptors: tuple[int, int]
    """At the end of the warm-up and at the end."""


def growth(
    samples: Mapping[int, Sequence[Sample]], warm_up: float, least_seconds: float, since: float = float("-inf")
) -> list[Growth]:
    """By least squares over what was seen later than `warm_up` seconds after the process's first sample, and after
    `since`. Processes that were seen for too short a time are left out."""
    found = []
    for pid, taken in samples.items():
        rest = [sample for sample in taken if sample.at >= max(taken[0].at, since) + warm_up]
        if len(rest) < 3 or rest[-1].at - rest[0].at < least_seconds:
            continue
        slope = _slope([sample.at for sample in rest], [sample.megabytes for sample in rest])
        ends = (rest[0].descriptors, rest[-1].descriptors)
        found.append(Growth(pid, rest[-1].at - rest[0].at, rest[-1].megabytes, 60 * slope, ends))
    return found


def _slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True)) / sum((a - x) ** 2 for a in xs)

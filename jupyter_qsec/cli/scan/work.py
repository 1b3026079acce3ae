"""Many items: in this process when they are few, else on all processors, always in their order."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

from jupyter_qsec.cli.scan.examine import Examiner, Item, Outcome
from jupyter_qsec.cli.scan.git import BlobReader
from jupyter_qsec.domain.errors import UnavailableError
from jupyter_qsec.scanning.scanner import Scanner, ScannerConfig

ALONE = 100
"""Up to so many items one process is faster: others would have to start first."""
_PORTION = 16
_MOST_PROCESSES = 16

_examiner: Examiner | None = None
"""Of a process of the pool: built once, then used for every portion."""


def outcomes(items: Sequence[Item], config: ScannerConfig, repository: Path | None = None) -> Iterator[Outcome]:
    """What became of each item. `repository`: where blobs are read. Raises `UnavailableError` when a process dies."""
    processes = min(os.cpu_count() or 1, _MOST_PROCESSES)
    if len(items) <= ALONE or processes < 2:
        with _examiner_of(config, repository) as examiner:
            yield from map(examiner.examine, items)
        return
    portions = [items[start : start + _PORTION] for start in range(0, len(items), _PORTION)]
    pool = ProcessPoolExecutor(
        processes, multiprocessing.get_context("spawn"), initializer=_start, initargs=(config, repository)
    )
    try:
        for portion in pool.map(_examine, portions):
            yield from portion
    except BrokenProcessPool:
        raise UnavailableError("A process of the scan ended; what is listed is not all.") from None
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _examiner_of(config: ScannerConfig, repository: Path | None) -> Iterator[Examiner]:
    if repository is None:
        yield Examiner(Scanner(config))
        return
    with contextlib.closing(BlobReader(repository)) as blobs:
        yield Examiner(Scanner(config), blobs)


def _start(config: ScannerConfig, repository: Path | None) -> None:
    global _examiner
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt ends the process that started this one
    # The reader of blobs ends with this process, whose end closes its input.
    _examiner = Examiner(Scanner(config), BlobReader(repository) if repository is not None else None)


def _examine(portion: Sequence[Item]) -> list[Outcome]:
    if _examiner is None:
        raise UnavailableError("The process was not started for a scan.")
    return [_examiner.examine(item) for item in portion]

"""Worker processes, seen from the gateway: start one, hand it a job, end it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence

from jupyter_qsec.adapters.providers import frames
from jupyter_qsec.adapters.providers.frames import Frame, FrameError, Kind

START_SECONDS = 180.0
"""The first start on a machine compiles kernels; later ones take about two seconds."""
_KEPT_VARIABLES = (
    "CONDA_PREFIX",
    "DYLD_LIBRARY_PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "NUMBA_CACHE_DIR",
    "PATH",
    "PYTHONPATH",
    "PYTHONUSERBASE",
    "TMPDIR",
    "VIRTUAL_ENV",
)


class WorkerEndedError(Exception):
    """The process ended without an answer. `cause` says how, for the task's owner."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


def worker_environment(base: Mapping[str, str], threads: int) -> dict[str, str]:
    """What a worker may know: enough to find Python and its libraries; no credential, token or endpoint of anyone."""
    environment = {name: base[name] for name in _KEPT_VARIABLES if name in base}
    return environment | {
        "NUMBA_NUM_THREADS": str(threads),
        "OMP_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(threads),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def worker_command(max_memory_bytes: int) -> list[str]:
    # -P: nothing is imported from the working directory
    module = "jupyter_qsec.adapters.providers.worker"
    return [sys.executable, "-P", "-m", module, str(os.getpid()), str(max_memory_bytes)]


class Worker:
    """One process. `start` returns when its simulators are loaded and compiled."""

    def __init__(self, process: asyncio.subprocess.Process, max_result_bytes: int) -> None:
        self._process = process
        self._max_result_bytes = max_result_bytes
        self._killed = False

    @classmethod
    async def start(cls, command: Sequence[str], environment: Mapping[str, str], max_result_bytes: int) -> Worker:
        """Raises `WorkerEndedError` when the process does not become ready."""
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=dict(environment),
                cwd="/",
                limit=1 << 20,
            )
        except OSError as problem:
            raise WorkerEndedError(f"it could not be started ({problem.strerror})") from None
        worker = cls(process, max_result_bytes)
        try:
            async with asyncio.timeout(START_SECONDS):
                frame = await worker._receive()
        except TimeoutError:
            await worker.kill()
            raise WorkerEndedError("it was not ready in time") from None
        except BaseException:
            await worker.kill()
            raise
        if frame.kind is not Kind.READY:
            await worker.kill()
            raise WorkerEndedError(str(frame.head.get("reason", "it gave no reason")))
        return worker

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.returncode is None and not self._killed

    async def run(self, job: Frame) -> Frame:
        """The answer to a job; `WorkerEndedError` when the process ends first."""
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101  # the pipe was asked for above
        try:
            for piece in frames.encode(job):
                stdin.write(piece)
            await stdin.drain()
        except (ConnectionError, RuntimeError):
            raise WorkerEndedError(await self._cause()) from None
        return await self._receive()

    async def kill(self) -> None:
        """End the process now and wait until it is gone."""
        first, self._killed = not self._killed, True
        # Signalling a process that has ended already would steal its exit status from asyncio.
        if first and self._process.returncode is None and not await self._ended():
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        await self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()

    async def _receive(self) -> Frame:
        stdout = self._process.stdout
        assert stdout is not None  # noqa: S101  # the pipe was asked for above
        try:
            return await frames.receive(stdout, max_body=self._max_result_bytes)
        except FrameError:
            raise WorkerEndedError(await self._cause()) from None

    async def _ended(self) -> bool:
        """Whether the process is gone; one that has closed its output is given a second to go."""
        if self._process.stdout is not None and self._process.stdout.at_eof():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), timeout=1)
        return self._process.returncode is not None

    async def _cause(self) -> str:
        await self._ended()
        code = self._process.returncode
        if code is None:
            return "it broke the protocol"
        if code == -signal.SIGKILL:
            return "the operating system ended it, probably for want of memory"
        if code < 0:
            with contextlib.suppress(ValueError):
                return f"it crashed with {signal.Signals(-code).name}"
        return f"it ended with code {code}"

"""What runs at the other end, in Dask's scheduler and workers. Dask finds these by name, so the same version of this
package is installed there.

A simulation does not run in the Dask worker itself, because there nothing could end one that runs too long, its memory
could not be bounded without bounding Dask's, it would see the worker's environment and open connections, and a crash of
the simulator would take the worker along. The pool's processes have all those limits, so both executors have the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any

from distributed import Worker as DaskWorker
from distributed import WorkerPlugin, get_worker

from jupyter_qsec._version import __version__
from jupyter_qsec.adapters.providers.frames import Frame, Kind
from jupyter_qsec.adapters.providers.simulator import SimulatorExecutor
from jupyter_qsec.application.ports import ExecutionFailure, ExecutionLimits, ExecutionResult

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True, repr=False)
class Parcel:
    """One job for one worker. Its `repr` tells nothing, because Dask logs the arguments of tasks that fail."""

    key: str
    worker_id: str
    """Random: a worker that was started again at the same address has another one."""
    limits: ExecutionLimits
    head: Mapping[str, Any]
    body: bytes


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """What came of a parcel; as silent. `outcome` is `None` when the worker it was meant for is not there."""

    outcome: ExecutionResult | ExecutionFailure | None


def version_here() -> str:
    """Answers, from the other end, whether it has this package and which."""
    return __version__


async def make_ready(limits: ExecutionLimits, dask_worker: DaskWorker) -> tuple[str, str]:
    """Start this worker's simulators, unless they run; its version and id."""
    name = _Site.name_of(limits)
    if name not in dask_worker.plugins:
        await dask_worker.plugin_add(_Site(limits), name=name, catch_errors=False)
    return __version__, dask_worker.id


async def execute_here(parcel: Parcel) -> Answer:
    """Run the job. Never raises for a reason of its own, since Dask would log that."""
    worker = get_worker()
    site = worker.plugins.get(_Site.name_of(parcel.limits))
    if worker.id != parcel.worker_id or not isinstance(site, _Site):
        # Dask keeps the tasks of a worker that died for the one that comes back to its address.
        return Answer(None)
    try:
        return Answer(await site.run(worker, parcel))
    except Exception as problem:  # noqa: BLE001  # a defect costs one task and no word of its program
        _log.error("a job could not be carried through: %s", type(problem).__name__)
        return Answer(ExecutionFailure("The simulator failed."))


class _Site(WorkerPlugin):
    """The simulators of one Dask worker: a process for each of its threads, since that is how many tasks Dask runs."""

    def __init__(self, limits: ExecutionLimits) -> None:
        self._limits = limits

    @staticmethod
    def name_of(limits: ExecutionLimits) -> str:
        """Gateways with the same limits share the simulators."""
        return "-".join(("jupyter-qsec", *map(str, astuple(limits))))

    async def setup(self, worker: DaskWorker) -> None:
        # One thread each, like Dask's own: a machine's processors are shared by the workers that are started on it.
        self._pool = SimulatorExecutor(worker.state.nthreads, self._limits, threads=1)
        await self._pool.start()

    async def teardown(self, worker: DaskWorker) -> None:
        await self._pool.close()

    async def run(self, worker: DaskWorker, parcel: Parcel) -> ExecutionResult | ExecutionFailure:
        watching = asyncio.get_running_loop().create_task(self._end_when_unwanted(worker, parcel.key))
        try:
            return await self._pool.run(parcel.key, Frame(Kind.JOB, parcel.head, parcel.body))
        finally:
            watching.cancel()

    async def _end_when_unwanted(self, worker: DaskWorker, key: str) -> None:
        """Dask lets a task run to its end though nobody wants it any more; ours can take ten minutes."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            known = worker.state.tasks.get(key)
            if known is None or known.state != "executing":
                await self._pool.cancel(key)

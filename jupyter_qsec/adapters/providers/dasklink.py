"""Holds the connection to a Dask scheduler, makes it anew when it breaks, and follows which workers there are."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Mapping
from typing import Any

from distributed import Client, Security

from jupyter_qsec._version import __version__
from jupyter_qsec.adapters.providers.daskaddress import SCHEDULER, DaskCluster
from jupyter_qsec.adapters.providers.daskcrew import Crew, Member
from jupyter_qsec.adapters.providers.dasksite import make_ready, version_here
from jupyter_qsec.application.ports import ExecutionLimits
from jupyter_qsec.domain.errors import UnavailableError

_log = logging.getLogger(__name__)
_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 10.0
"""A scheduler that is silent for so long is taken for lost."""
_LOOK_SECONDS = 0.5
_WEIGH_SECONDS = 1.0
_WELCOME_SECONDS = 60.0
_PAUSES = (0.5, 1.0, 2.0, 5.0)


class DaskLink:
    def __init__(self, cluster: DaskCluster, limits: ExecutionLimits, crew: Crew) -> None:
        self._cluster = cluster
        self._limits = limits
        self._crew = crew
        self._client: Client | None = None
        self._following: asyncio.Task[None] | None = None
        self._welcomes: dict[str, asyncio.Task[None]] = {}
        self._complained: set[str] = set()
        """Addresses of workers that cannot be used, each told once."""
        self.connected = False

    async def open(self) -> None:
        """`UnavailableError` when the scheduler cannot be reached or used now; later it is waited for."""
        self._client = await self._connect()
        self._following = asyncio.get_running_loop().create_task(self._follow(), name="Dask scheduler")

    async def close(self) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        await self._let_go()

    async def _connect(self) -> Client:
        address, files = self._cluster.scheduler, self._cluster.certificates
        security = Security(require_encryption=False)
        if files is not None:
            security = Security(
                require_encryption=True,
                tls_ca_file=str(files.authority),
                tls_client_cert=str(files.certificate),
                tls_client_key=str(files.key),
            )
        client = Client(
            address,
            asynchronous=True,
            security=security,
            timeout=_CONNECT_SECONDS,
            set_as_default=False,
            direct_to_workers=False,  # results come by the scheduler: only that needs to be reachable
        )
        try:
            async with asyncio.timeout(_CONNECT_SECONDS + _ANSWER_SECONDS):
                await client
                version = await client.run_on_scheduler(version_here)
        except (OSError, TimeoutError) as problem:
            await _discard(client)
            raise UnavailableError(
                f"The Dask scheduler at {address} cannot be reached{_because(problem)}.",
                remedy=f"Start it, or correct or remove {SCHEDULER}.",
            ) from None
        except Exception as problem:  # noqa: BLE001  # whatever the other end raised, such as that it lacks this package
            await _discard(client)
            raise UnavailableError(
                f"The Dask scheduler at {address} cannot be used ({type(problem).__name__}).",
                remedy=f"Install jupyter_qsec[gateway,dask] {__version__} for it and its workers.",
            ) from None
        except BaseException:
            await _discard(client)
            raise
        if version != __version__:
            await _discard(client)
            raise UnavailableError(
                f"The Dask scheduler at {address} has jupyter_qsec {version}, this gateway {__version__}.",
                remedy="Install the same version for the gateway, the scheduler and the workers.",
            )
        self.connected = True
        _log.info("connected to the Dask scheduler at %s", address)
        return client

    async def _follow(self) -> None:
        while True:
            if self._client is not None:
                try:
                    await self._watch(self._client)
                except Exception as problem:  # noqa: BLE001  # whatever broke, it is mended by connecting again
                    _log.error("the Dask scheduler is lost (%s); tasks wait for it", type(problem).__name__)
                await self._let_go()
            self._client = await self._connect_again()

    async def weigh(self) -> None:
        """Have the crew know what other gateways run where. What cannot be learned now stays as it was."""
        client = self._client
        if client is None:
            return
        with contextlib.suppress(Exception):  # it only helps to choose: whatever is wrong shows when a task is sent
            async with asyncio.timeout(_WEIGH_SECONDS):
                processing = await client.processing()
            self._crew.weigh({address: len(keys) for address, keys in processing.items()})

    async def _let_go(self) -> None:
        self.connected = False
        self._crew.disband()
        for welcome in self._welcomes.values():
            welcome.cancel()
        await asyncio.gather(*self._welcomes.values(), return_exceptions=True)
        self._welcomes.clear()
        self._complained.clear()
        if self._client is not None:
            await _discard(self._client)
            self._client = None

    async def _connect_again(self) -> Client:
        told = ""
        pauses = iter(_PAUSES)
        pause = 0.0
        while True:
            try:
                return await self._connect()
            except UnavailableError as error:
                if error.message != told:
                    told = error.message
                    _log.error("%s", error.message)
                pause = next(pauses, pause)
                await asyncio.sleep(pause)

    async def _watch(self, client: Client) -> None:
        """Returns, or raises, when the connection is not what it was."""
        known = None
        while client.status == "running" and (scheduler := client.scheduler) is not None:
            async with asyncio.timeout(_ANSWER_SECONDS):
                identity = await scheduler.identity()
            if known not in (None, identity["id"]):
                raise ConnectionResetError("another scheduler at the same address")
            known = identity["id"]
            self._take_note(client, identity["workers"])
            await asyncio.sleep(_LOOK_SECONDS)
        raise ConnectionResetError("the client lost its stream")

    def _take_note(self, client: Client, workers: Mapping[str, Mapping[str, Any]]) -> None:
        present = {address: worker["status"] == "running" for address, worker in workers.items()}
        self._crew.keep(present)
        self._complained &= present.keys()
        self._welcomes = {address: welcome for address, welcome in self._welcomes.items() if not welcome.done()}
        for address, running in present.items():
            if running and address not in self._crew and address not in self._welcomes:
                welcome = self._welcome(client, address, int(workers[address]["nthreads"]))
                self._welcomes[address] = asyncio.get_running_loop().create_task(welcome)

    async def _welcome(self, client: Client, address: str, threads: int) -> None:
        try:
            async with asyncio.timeout(_WELCOME_SECONDS):
                answers = await client.run(make_ready, self._limits, workers=[address])
            version, worker_id = answers[address]
            problem = "" if version == __version__ else f"it has jupyter_qsec {version}"
        except Exception as error:  # noqa: BLE001  # whatever the other end raised
            problem, worker_id = type(error).__name__, ""
        if not problem:
            self._crew.join(Member(client, address, worker_id, threads))
            _log.info("the Dask worker at %s takes tasks, %d at once", address, threads)
            return
        if address not in self._complained:
            self._complained.add(address)
            _log.error("the Dask worker at %s cannot be used (%s)", address, problem)
        await asyncio.sleep(_ANSWER_SECONDS)  # and then it is asked again


async def _discard(client: Client) -> None:
    with contextlib.suppress(Exception):
        await client.close(timeout=2)


def _because(problem: BaseException) -> str:
    """What TLS did not like, somewhere below what Dask made of it."""
    cause: BaseException | None = problem
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return f": {getattr(cause, 'verify_message', '') or cause.reason}"
        cause = cause.__cause__ or cause.__context__
    return ""

"""The implementations of the ports `Store` and `Executor`. One more here runs under the whole contract."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_qsec.adapters.keys import NoteSigner
from jupyter_qsec.adapters.store import PostgresDatabase, SqliteDatabase, SqlStore
from jupyter_qsec.application.ports import Store
from tests.contract.executorbenches import Bench, DaskBench, PoolBench
from tests.fakes.clock import FakeClock
from tests.fakes.dask_cluster import DaskCluster
from tests.fakes.store import FakeStore

SharedStore = FakeStore | SqlStore
SIGNER = NoteSigner(b"contract" * 4, instance="contract")


def sqlite_store(directory: Path, signer: NoteSigner = SIGNER, *, shared: bool = False) -> SqlStore:
    database = SqliteDatabase(directory / "state.db")
    checkpoints = directory / "checkpoints"
    return SqlStore(database, signer=signer, clock=FakeClock(), checkpoint_dir=checkpoints, shared=shared)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A private directory for a state database."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    return home


def postgres_store(url: str, directory: Path, signer: NoteSigner = SIGNER, *, shared: bool = False) -> SqlStore:
    database = PostgresDatabase(url)
    checkpoints = directory / "checkpoints"
    return SqlStore(database, signer=signer, clock=FakeClock(), checkpoint_dir=checkpoints, shared=shared)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def shared_store(
    request: pytest.FixtureRequest, home: Path, jp_asyncio_loop: asyncio.AbstractEventLoop
) -> Iterator[SharedStore]:
    """A store whose tasks several workers share."""
    made: SharedStore
    if request.param == "postgresql":
        made = postgres_store(request.getfixturevalue("postgres_url"), home, shared=True)
    else:
        made = FakeStore(signer=SIGNER) if request.param == "memory" else sqlite_store(home, shared=True)
    jp_asyncio_loop.run_until_complete(made.open())
    yield made
    jp_asyncio_loop.run_until_complete(made.close())


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, home: Path, jp_asyncio_loop: asyncio.AbstractEventLoop) -> Iterator[Store]:
    made: Store
    if request.param == "postgresql":
        made = postgres_store(request.getfixturevalue("postgres_url"), home)
    else:
        made = FakeStore(signer=SIGNER) if request.param == "memory" else sqlite_store(home)
    jp_asyncio_loop.run_until_complete(made.open())
    yield made
    jp_asyncio_loop.run_until_complete(made.close())


@pytest.fixture(scope="session")
def pool_bench() -> Iterator[PoolBench]:
    with PoolBench() as bench:
        yield bench


@pytest.fixture(scope="session")
def running_dask_bench(dask_cluster: DaskCluster) -> Iterator[DaskBench]:
    with DaskBench(dask_cluster) as bench:
        yield bench


@pytest.fixture
def dask_bench(running_dask_bench: DaskBench) -> DaskBench:
    """Complete, whatever the test before did to it."""
    return running_dask_bench.complete()


@pytest.fixture(params=["pool", "dask"])
def bench(request: pytest.FixtureRequest) -> Bench:
    """The implementations of the `Executor` port."""
    found: Bench = request.getfixturevalue(f"{request.param}_bench")
    return found

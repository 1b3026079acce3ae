"""A Dask cluster for any test: one scheduler and two workers for each test process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.dask_cluster import DaskCluster


@pytest.fixture(scope="session")
def dask_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    """Tests that break it make it whole again."""
    cluster = DaskCluster(tmp_path_factory.mktemp("dask"))
    try:
        yield cluster.start(2)
    finally:
        cluster.close()

"""What Dask does to the log of a process that imports it, and what it may write there."""

from __future__ import annotations

import asyncio
import io
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_qsec.adapters.providers.dasklog import logging_kept

MARKER = "planted_7f3e9a"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the root logger's handlers get. `caplog` listens to loggers that do not propagate, too."""
    with logging_kept():
        import distributed  # noqa: F401
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    logging.getLogger().addHandler(handler)
    yield text
    logging.getLogger().removeHandler(handler)


def test_importing_dask_leaves_the_log_as_it_was() -> None:
    script = """
import logging
from jupyter_qsec.adapters.providers.dasklog import logging_kept
logging.basicConfig(level=logging.INFO)
names = [None, "tornado", "tornado.application", "tornado.access", "bokeh"]
def look():
    loggers = [logging.getLogger(name) for name in names]
    return [(logger.level, logger.handlers[:], logger.propagate) for logger in loggers]
before = look()
with logging_kept():
    import distributed
assert look() == before
dask = logging.getLogger("distributed.client")
assert not dask.handlers and dask.propagate
"""
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", script], check=True, cwd=root, timeout=60)


@pytest.mark.parametrize("name", ["distributed", "distributed.client", "distributed.protocol.pickle"])
def test_what_dask_logs_is_withheld(log: io.StringIO, name: str) -> None:
    logging.getLogger(name).error("Failed to deserialize %s", MARKER)
    assert MARKER not in log.getvalue()
    assert f"Dask logged a problem at {name}:" in log.getvalue()


def test_what_dask_left_to_the_event_loop_is_logged_without_its_arguments(log: io.StringIO) -> None:
    """The call that sends a task, when the connection has just been lost."""
    from distributed import Client

    async def send() -> None:
        client = Client("tcp://127.0.0.1:1", asynchronous=True, set_as_default=False, timeout=0.1)
        with pytest.raises(OSError, match="Timed out"):
            await client
        client.status = "running"
        client._send_to_scheduler({"op": "update-graph", "program": MARKER})
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        client.status = "closed"

    asyncio.run(send())
    assert "Exception in callback (arguments withheld): AttributeError" in log.getvalue()
    assert MARKER not in log.getvalue()

"""People at a hub: each with a single-user server, a kernel in it, and cells that run tasks by the plain SDK."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from jupyter_client.blocking.client import BlockingKernelClient

from benchmarks.load.ledger import Ledger
from benchmarks.load.site import ACCOUNTS
from tests.e2e.realserver import RealServer
from tests.fakes.waiting import wait_for
from tests.hub.realhub import RealHub

_START_SECONDS = 240.0
EVERY_SECONDS = 5.0
"""Between the starts of a person's cells."""
FIRST = """
from braket.aws import AwsDevice
from braket.circuits import Circuit
device = AwsDevice("arn:aws:braket:::device/quantum-simulator/amazon/sv1")
"""
CELL = """
task = device.run(Circuit().h(0).cnot(0, 1), shots=100)
print(task.id, sum(task.result().measurement_counts.values()))
"""


class Person:
    def __init__(self, name: str, tenant: str, client: BlockingKernelClient) -> None:
        self.tenant = tenant
        self._name = name
        self._client = client

    def work(self, ledger: Ledger, ended: threading.Event) -> None:
        """Run a cell again and again. What it raised and whose tasks it was told of goes into the ledger."""
        due = time.monotonic()
        while not ended.is_set():
            self.cell(ledger)
            due += EVERY_SECONDS
            ended.wait(max(0.0, due - time.monotonic()))

    def cell(self, ledger: Ledger) -> None:
        done = RealServer.run(self._client, CELL, timeout=120)
        if done.status != "ok":
            ledger.kernel_problems.append(f"a cell of {self._name}: {done.text.strip().splitlines()[-1][:300]}")
            return
        arn, shots = done.text.split()
        ledger.kernel_arns.append(arn)
        if f":{ACCOUNTS[self.tenant]}:" not in arn:
            ledger.leaks.append(f"a kernel of {self.tenant} was told of {arn}")
        if shots != "100":
            ledger.kernel_problems.append(f"a cell of {self._name} got {shots} of 100 shots")


@contextlib.contextmanager
def people(hub: RealHub | None, folder: Path, names: Sequence[str]) -> Iterator[list[Person]]:
    """Their servers and kernels, started one after the other: two at once would only wait for each other."""
    with contextlib.ExitStack() as ending:
        found = []
        for number, name in enumerate(names):
            assert hub is not None
            client = ending.enter_context(_kernel(hub, folder, name))
            first = RealServer.run(client, FIRST, timeout=120)
            if first.status != "ok":
                raise RuntimeError(f"the kernel of {name} does not work: {first.text[-500:]}")
            found.append(Person(name, ("one", "other")[number % 2], client))
        yield found


@contextlib.contextmanager
def _kernel(hub: RealHub, folder: Path, name: str) -> Iterator[BlockingKernelClient]:
    token = hub.user_token(name)[0]
    hub.drive("POST", f"/users/{name}/server")
    wait_for(lambda: hub.drive("GET", f"/users/{name}")["servers"].get("", {}).get("ready"), name, _START_SECONDS)
    with httpx.Client(
        base_url=f"{hub.url}/user/{name}/", headers={"Authorization": f"token {token}"}, timeout=120, trust_env=False
    ) as http:
        wait_for(
            lambda: http.get("jupyter-qsec/status").json()["gateway"]["state"] == "running", f"{name}'s gateway", 60
        )
        notebook = {"path": "load.ipynb", "name": "load", "type": "notebook", "kernel": {"name": "python3"}}
        answer = http.post("api/sessions", json=notebook)
        answer.raise_for_status()
        kernel_id = answer.json()["kernel"]["id"]
    runtime = folder / "homes" / name / ".local" / "share" / "jupyter" / "runtime"
    client = BlockingKernelClient(connection_file=str(runtime / f"kernel-{kernel_id}.json"))
    client.load_connection_file()
    client.start_channels(hb=False)
    try:
        client.wait_for_ready(timeout=120)
        yield client
    finally:
        client.stop_channels()


@contextlib.contextmanager
def at_work(persons: Sequence[Person], ledger: Ledger) -> Iterator[None]:
    """Within, all of them work; each ends with the cell that runs then. What broke is raised."""
    ended = threading.Event()
    with ThreadPoolExecutor(max(1, len(persons)), thread_name_prefix="person") as pool:
        works = [pool.submit(person.work, ledger, ended) for person in persons]
        try:
            yield
        finally:
            ended.set()
    for work in works:
        work.result()

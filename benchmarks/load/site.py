"""What the load runs against: PostgreSQL that waits for the disk, a gateway of several processes, with a hub before it
when there are people; and the two faults."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks import stack
from benchmarks.load.clients import Identity
from benchmarks.load.processes import gateway_processes, gateway_supervisor
from benchmarks.load.wire import Answer, Connections, Keys
from tests.contract.postgres import PostgresServer, binaries
from tests.fakes.waiting import wait_for
from tests.hub.realhub import RealHub, free_ports

ACCOUNTS = {"one": "100000000001", "other": "100000000002", "capped": "100000000003"}
CAPPED = "capped"
"""The tenant with a limit."""
_START_SECONDS = 120.0
_RETURN_SECONDS = 60.0


def capped(number: int) -> bool:
    """Whether the client of that number is of the capped tenant: one in eight is."""
    return number % 8 == 7


def tenants_toml(limit: int) -> str:
    """Two tenants without limits, and one whose limit is reached; the people of a hub are in the first two."""
    text = ""
    for tenant, account in ACCOUNTS.items():
        limits = f"limits = {{ tasks = {limit} }}\n" if tenant == CAPPED else ""
        text += (
            f'[[tenant]]\nid = "{tenant}"\naccount = "{account}"\npurpose = "research"\nenvironment = "dev"\n'
            f'max_running = 16\n{limits}[[tenant.project]]\nid = "load"\n'
        )
    return text + "".join(f'[[member]]\ngroup = "{name}"\ntenant = "{name}"\n' for name in ("one", "other"))


@dataclass(frozen=True)
class Outage:
    """From a fault until all was as before."""

    what: str
    begun: float
    back: float

    @property
    def seconds(self) -> float:
        return self.back - self.begun


@dataclass
class Site:
    database: PostgresServer
    database_url: str
    gateway: stack.Stack
    supervisor: psutil.Process
    processes: int
    limit: int
    """Of the capped tenant, in tasks a day."""
    people: Sequence[str] = ()
    hub: RealHub | None = None
    outages: list[Outage] = field(default_factory=list)
    verified: int = 0
    """Records of the audit log that were found in order."""

    # -- leases
    def identities(self, clients: int) -> list[Identity]:
        """Leased clients, some of the capped tenant, the others of the two in turn."""
        return [self._identity(CAPPED if capped(number) else ("one", "other")[number % 2]) for number in range(clients)]

    def _identity(self, tenant: str) -> Identity:
        issued = self.gateway.control("POST", "/leases", {"tenant": tenant, "label": "load", "ttl_seconds": 3600})
        keys = self.gateway.credentials(issued["token"])
        host = f"127.0.0.1:{self.gateway.port}"
        made = Keys(keys["AccessKeyId"], keys["SecretAccessKey"], keys["Token"], host)
        return Identity(tenant, ACCOUNTS[tenant], made)

    # -- faults
    async def kill_a_process(self) -> None:
        """kill -9 of the oldest gateway process; over when as many as before answer."""
        begun = time.monotonic()
        gateway_processes(self.supervisor)[0].kill()
        async with asyncio.timeout(_RETURN_SECONDS):
            while len(await self._instances()) < self.processes:  # noqa: ASYNC110 - other processes tell nobody
                await asyncio.sleep(0.2)
        self.outages.append(Outage("a gateway process killed", begun, time.monotonic()))

    async def restart_database(self) -> None:
        """As an administrator does it; over when the server takes connections."""
        begun = time.monotonic()
        await asyncio.to_thread(self.database.stop)
        await asyncio.to_thread(self.database.start)
        self.outages.append(Outage("PostgreSQL restarted", begun, time.monotonic()))

    async def _instances(self) -> set[bytes]:
        """Which processes answer on connections of their own."""
        token = (self.gateway.home / "control.token").read_text().strip()
        request = (
            f"GET /api/v1/status HTTP/1.1\r\nHost: 127.0.0.1:{self.gateway.port}\r\n"
            f"Authorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        ).encode()
        answers = [await self._ask(request) for _ in range(2 * self.processes)]
        return {answer.body.partition(b'"instance"')[2][:50] for answer in answers if answer.status == 200}

    async def _ask(self, request: bytes) -> Answer:
        with contextlib.suppress(OSError, EOFError, TimeoutError):
            return await Connections(self.gateway.port).exchange(request)
        return Answer(0)


@contextlib.contextmanager
def site(folder: Path, *, processes: int, people: int, limit: int) -> Iterator[Site]:
    """All of it, started and ended. `limit` is of the capped tenant, in tasks a day."""
    programs = binaries()
    if programs is None:
        raise RuntimeError("The load needs PostgreSQL (Debian: postgresql).")
    home = folder / "home"
    home.mkdir(mode=0o700)
    (home / "tenants.toml").touch(mode=0o600)
    (home / "tenants.toml").write_text(tenants_toml(limit))
    with contextlib.ExitStack() as ending:
        server = PostgresServer(programs, {"fsync": "on", "shared_buffers": "128MB"})
        ending.callback(server.delete)
        server.start()
        url = server.url("postgres")
        names = [f"person{number}" for number in range(people)]
        if names:
            hub, gateway = ending.enter_context(_hub(folder, home, url, processes, names))
        else:
            hub, gateway = None, ending.enter_context(_gateway(folder, home, url, processes))
        made = Site(server, url, gateway, gateway_supervisor(), processes, limit, names, hub)
        wait_for(lambda: len(asyncio.run(made._instances())) == processes, "all processes", _START_SECONDS)
        yield made


@contextlib.contextmanager
def _gateway(folder: Path, home: Path, url: str, processes: int) -> Iterator[stack.Stack]:
    """Without a hub."""
    command = [sys.executable, "-m", "jupyter_qsec.gateway", "serve", "--home", str(home), "--keystore", "file"]
    command += ["--workers", "1", "--processes", str(processes), "--with-parent"]
    with (folder / "gateway.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env=os.environ | {"JUPYTER_QSEC_DATABASE_URL": url},
        )
    try:
        yield stack.Stack(stack.ready_port(process), home, folder)
    finally:
        process.terminate()
        try:
            process.wait(45)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


@contextlib.contextmanager
def _hub(
    folder: Path, home: Path, url: str, processes: int, names: Sequence[str]
) -> Iterator[tuple[RealHub, stack.Stack]]:
    """A hub whose service the gateway is."""
    (port,) = free_ports(1)
    environ = {
        "LOAD_DATA": str(folder),
        "LOAD_HOME": str(home),
        "LOAD_PEOPLE": " ".join(names),
        "LOAD_GATEWAY_URL": f"http://127.0.0.1:{port}",
        "LOAD_PROCESSES": str(processes),
        "JUPYTER_QSEC_DATABASE_URL": url,
    }
    hub = RealHub(folder, Path(__file__).with_name("hubconfig.py"), environ)
    try:
        hub.start()
        wait_for((home / "gateway.json").exists, "the gateway", _START_SECONDS)
        yield hub, stack.Stack(port, home, folder)
    finally:
        hub.close()

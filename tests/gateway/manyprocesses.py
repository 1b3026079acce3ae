"""A gateway of several processes on PostgreSQL, and clients whose connection stays with one of them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self, TypeVar

import httpx

from tests.fakes.world import openqasm
from tests.gateway.livegateway import GatewayProcess


def layers(qubits: int, count: int) -> str:
    """The action of a program with so many layers of gates."""
    gates = "".join(f"h q[{number}];\n" for number in range(qubits)) * count
    return openqasm(f"OPENQASM 3.0;\nqubit[{qubits}] q;\n{gates}bit[{qubits}] b;\nb = measure q;\n")


T = TypeVar("T")
SLOW = layers(20, 8)
"""Runs for about a second."""
ENDLESS = layers(23, 40)
"""Runs for longer than any test waits."""


def wait_for(what: Callable[[], T | None], why: str, seconds: float = 30) -> T:
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, why
        time.sleep(0.05)
    return found


def children(pid: int) -> list[int]:
    """The processes that a process has started and that still run."""
    told = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], check=True, capture_output=True, text=True).stdout
    rows = [line.split() for line in told.splitlines()]
    return [int(child) for child, parent, state in rows if int(parent) == pid and not state.startswith("Z")]


def alive(pid: int) -> bool:
    command = ["ps", "-o", "stat=", "-p", str(pid)]  # fails when there is none
    state = subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")


class ProcessesGateway(GatewayProcess):
    """`serve --processes 2`."""

    @classmethod
    def on(cls, url: str, home: Path, *arguments: str) -> Self:
        environ = {**os.environ, "JUPYTER_QSEC_DATABASE_URL": url}
        return cls(home, ("--processes", "2", *arguments), environ)

    def pids(self) -> list[int]:
        """Of the gateway processes below the supervisor."""
        return children(self.process.pid)

    def instances(self) -> set[str]:
        """Of some requests on connections of their own."""
        return {self.get("/api/v1/status").json()["instance"] for _ in range(4)}

    def wait_until_full(self) -> None:
        """Until both processes serve."""
        wait_for(lambda: len(self.pids()) == 2 and len(self.instances()) == 2, "two processes serve")

    def clients(self) -> tuple[httpx.Client, httpx.Client]:
        """Two clients with an open connection each, to different processes."""
        found: dict[str, httpx.Client] = {}
        deadline = time.monotonic() + 30
        while len(found) < 2:
            assert time.monotonic() < deadline, "two processes serve"
            client = self.client()
            instance = client.get("/api/v1/status").json()["instance"]
            if instance in found:
                client.close()
            found.setdefault(instance, client)
        first, second = found.values()
        return first, second


PARENT = (
    "import subprocess, sys, time\n"
    "child = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, text=True)\n"
    "print(child.stdout.readline(), child.pid, flush=True)\n"
    "time.sleep(600)\n"
)


def parent_of(command: list[str], environ: dict[str, str]) -> subprocess.Popen[str]:
    """A process that starts a command, says the command's first line and its process id, and stays."""
    return subprocess.Popen([sys.executable, "-c", PARENT, *command], stdout=subprocess.PIPE, text=True, env=environ)

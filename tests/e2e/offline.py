"""Run as a program: goes where there is no network but loopback, starts a server there, runs the first notebook in it,
and prints what came of it as JSON."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jupyter_qsec.kernels.confine import syscalls
from tests.e2e.realserver import RealServer
from tests.e2e.tutorials import EXAMPLES, Learner, Notebook

FORBIDDEN = 77
"""What it ends with where the system does not let it leave the network."""
_CLONE_NEWNET = 0x40000000  # linux/sched.h
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1  # linux/sockios.h, linux/if.h

LOOKS_AROUND = """
import json, socket
with socket.socket() as attempt:
    attempt.settimeout(5)
    print(json.dumps([[name for _, name in socket.if_nameindex()], attempt.connect_ex(("192.0.2.1", 80))]))
"""
"""The address is one of the documentation's, which leads nowhere even where there is a network."""


def leave_the_network() -> None:
    """Into namespaces of our own, as the same user. `OSError` where that is forbidden."""
    uid, gid = os.getuid(), os.getgid()
    syscalls.unshare(syscalls.CLONE_NEWUSER | _CLONE_NEWNET)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        Path(f"/proc/self/{name}").write_text(text)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))


def story(server: RealServer) -> dict[str, Any]:
    """What each cell of the first notebook gave, and how its kernel stands."""
    server.wait_for_gateway()
    kernel_id = server.start_session("01-first-task.ipynb")
    client = server.client(kernel_id)
    learner = Learner(client, Notebook.read(EXAMPLES / "01-first-task.ipynb"))
    learner.run_all()
    (entry,) = [entry for entry in server.qsec("kernels")["kernels"] if entry["kernel_id"] == kernel_id]
    interfaces, attempt = json.loads(server.run(client, LOOKS_AROUND).text)
    return {
        "interfaces": interfaces,
        "attempt": attempt,
        "confinement": entry["confinement"],
        "texts": {cell_id: result.text for cell_id, result in learner.seen.items()},
        "messages": {cell_id: result.messages for cell_id, result in learner.seen.items()},
    }


def main(arguments: Sequence[str]) -> int:
    try:
        leave_the_network()
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return FORBIDDEN
    server = RealServer(Path(arguments[0]) / "home")
    server.start()
    try:
        told = story(server)
    finally:
        server.stop()
    json.dump(told, sys.stdout, default=str)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

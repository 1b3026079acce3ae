"""The hub that `make hub` starts, with all that belongs to it; as a program, where there is no network but loopback."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.e2e.offline import FORBIDDEN, leave_the_network
from tests.fakes.processes import gone
from tests.fakes.waiting import wait_for
from tests.hub.realhub import ROOT
from tests.hub.visitor import Visitor

PARTS = ("jupyterhub -f", "configurable-http-proxy", "jupyter_qsec.gateway serve", "singleuser")
"""What belongs to a hub at which somebody has a server, by words of the command lines."""
_TOLD = re.compile(r"Open (\S+) and log in as ada, bob or max\. The password is: (\S+)\n")


class MadeHub:
    """`make hub` in a terminal of its own, all of it set up already."""

    def __init__(self, folder: Path, **variables: str) -> None:
        """`variables`: those that `examples/hub/jupyterhub_config.py` reads."""
        self.data, self.variables = folder / "data", variables
        self._log = folder / "terminal"
        self._environ = {
            **{name: value for name, value in os.environ.items() if name == "PYTHONPATH"},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "QSEC_HUB_DATA": str(self.data),
            **variables,
        }
        self.url = self.password = ""
        self.processes: dict[int, str] = {}

    def start(self) -> MadeHub:
        with self._log.open("wb") as log:
            self._make = subprocess.Popen(
                # `-o`: the set-up is done, however old its files look here.
                ["make", "-o", "install", "hub"],
                cwd=ROOT,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self.url, self.password = wait_for(self._told, "the address and the password", 60)
            wait_for(lambda: "JupyterHub is now running" in self.said() or self._ended(), "the hub", 60)
            wait_for(lambda: (self.data / "qsec" / "gateway.json").exists() or self._ended(), "the gateway", 60)
        except AssertionError as error:
            self.close()
            raise AssertionError(f"{error}: {self.said()[-3000:]}") from None
        return self

    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def _told(self) -> tuple[str, str] | None:
        found = _TOLD.search(self.said())
        assert found or not self._ended()
        return (found.group(1), found.group(2)) if found else None

    def _ended(self) -> bool:
        assert self._make.poll() is None, "make has ended"
        return False

    def look(self) -> dict[int, str]:
        """Everything that runs below it now, with the command lines."""
        for process in psutil.Process(self._make.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                self.processes[process.pid] = " ".join(process.cmdline())
        return self.processes

    def part(self, words: str) -> list[str]:
        return [line for line in self.look().values() if words in line]

    def interrupt(self, seconds: float = 30) -> dict[int, str]:
        """Ctrl-C: the signal reaches the terminal's foreground group. What is still there after all."""
        self.look()
        os.killpg(self._make.pid, signal.SIGINT)
        self._make.wait(seconds)
        return {pid: line for pid, line in self.processes.items() if not gone(pid, 5)}

    def close(self) -> None:
        """Whatever is left, by its id."""
        with suppress(psutil.NoSuchProcess):
            self.look()
        for pid in (self._make.pid, *self.processes):
            if not gone(pid, 0):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self._make.wait(10)


def visit(hub: MadeHub, name: str, password: str) -> dict[str, Any]:
    """Somebody logs in at the address, looks at the dashboard, and starts a server, where the first notebook is."""
    with closing(Visitor(hub, name, password)) as visitor:
        first = visitor.log_in()
        if first.status_code != httpx.codes.OK:
            return {"login": first.status_code, "text": first.text}
        visitor.http.get("/hub/spawn")
        notebook = f"/user/{name}/lab/tree/01-first-task.ipynb"

        def opened() -> bool:
            page = visitor.http.get(notebook)
            return page.status_code == httpx.codes.OK and page.url.path == notebook

        wait_for(opened, f"the notebook of {name}", 60)
        content = visitor.http.get(f"/user/{name}/api/contents/01-first-task.ipynb").json()
        status = visitor.http.get(f"/user/{name}/jupyter-qsec/status").json()
        return {
            "login": first.status_code,
            "text": first.text,
            "cells": len(content["content"]["cells"]),
            "tenants": [tenant["id"] for tenant in status["tenants"]],
        }


def main(arguments: Sequence[str]) -> int:
    """With no variable but the directory, so on the ports that it has for everybody: here they are free."""
    try:
        leave_the_network()
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return FORBIDDEN
    hub = MadeHub(Path(arguments[0])).start()
    try:
        told = {
            "interfaces": [name for _, name in socket.if_nameindex()],
            "url": hub.url,
            "ada": visit(hub, "ada", hub.password),
            "left": list(hub.interrupt().values()),
        }
    finally:
        hub.close()
    json.dump(told, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

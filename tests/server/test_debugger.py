"""The debugger of a confined kernel, spoken to as JupyterLab does: over the control channel, while a cell stands still.

Requests: the Debug Adapter Protocol, and "Debugging" in jupyter-client's page on messages."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from jupyter_client.provisioning.factory import KernelProvisionerFactory

from jupyter_qsec.kernels.provisioner import install_default_provisioner
from tests.fakes.kernel_driver import CellResult, Kernel
from tests.fakes.namespaces import namespaces_work
from tests.server.conftest import KernelWorld

pytestmark = pytest.mark.kernel

KEY = "AKIA" + "QSEC7PLANTED5Q2X"
MARK = "[REDACTED:aws-access-key]"
CELL = "first = 20\nsecond = first + 1\nkey = 'AKIA' + 'QSEC7PLANTED5Q2X'\nthird = second * 2\nprint(third)\n"


class Debugger:
    """One client's session with the debugger of a kernel."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self._numbers = itertools.count(1)
        self.ask("initialize", clientID="qsec", adapterID="python", linesStartAt1=True, pathFormat="path")
        self.ask("attach")

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """One request and the body of its answer."""
        reply = self.kernel.request("debug_request", self._request(command, arguments), channel="control").reply
        assert reply["success"] is True, reply
        return dict(reply.get("body") or {})

    def break_at(self, code: str, *lines: int) -> None:
        path = self.ask("dumpCell", code=code)["sourcePath"]
        breakpoints = [{"line": line} for line in lines]
        answer = self.ask("setBreakpoints", source={"path": path}, breakpoints=breakpoints, sourceModified=False)
        assert [entry["verified"] for entry in answer["breakpoints"]] == [True] * len(lines)
        self.ask("configurationDone")

    def stopped(self) -> int:
        """Wait until the cell stands still; the thread's number."""
        event = self.kernel.later(lambda m: m["msg_type"] == "debug_event" and m["content"]["event"] == "stopped")
        assert event["content"]["body"]["reason"] == "breakpoint"
        return int(event["content"]["body"]["threadId"])

    def frame(self, thread: int) -> dict[str, Any]:
        return dict(self.ask("stackTrace", threadId=thread)["stackFrames"][0])

    def variables(self, frame: dict[str, Any]) -> dict[str, str]:
        scopes = self.ask("scopes", frameId=frame["id"])["scopes"]
        found = [self.ask("variables", variablesReference=scope["variablesReference"]) for scope in scopes]
        return {entry["name"]: entry["value"] for body in found for entry in body["variables"]}

    def go_on(self, thread: int, cell: str) -> CellResult:
        """Let the cell run to its end."""
        message = self.kernel.client.session.msg("debug_request", self._request("continue", {"threadId": thread}))
        self.kernel.client.control_channel.send(message)
        result = self.kernel.collect(cell)
        reply = self.kernel.client.get_control_msg(timeout=20)
        assert reply["parent_header"]["msg_id"] == message["header"]["msg_id"] and reply["content"]["success"] is True
        return result

    def _request(self, command: str, arguments: dict[str, Any]) -> dict[str, Any]:
        return {"type": "request", "seq": next(self._numbers), "command": command, "arguments": arguments}


@pytest.fixture(scope="module")
def debugger(kernel_world: KernelWorld, kernel: Kernel) -> Iterator[Debugger]:
    debugger = Debugger(kernel)
    yield debugger
    debugger.ask("disconnect", restart=False, terminateDebuggee=False)


@pytest.mark.skipif(not namespaces_work(), reason="needs Linux with user namespaces")
def test_the_kernel_is_confined(debugger: Debugger, kernel_world: KernelWorld) -> None:
    assert kernel_world.seen.reports[debugger.kernel.id].confinement_state == "confined"


def test_a_cell_stops_at_its_breakpoint_and_goes_on(debugger: Debugger) -> None:
    debugger.break_at(CELL, 4)
    cell = debugger.kernel.send(CELL)
    thread = debugger.stopped()
    frame = debugger.frame(thread)
    assert frame["line"] == 4
    assert debugger.variables(frame)["second"] == "21"
    assert debugger.ask("evaluate", expression="second + 1", frameId=frame["id"], context="repl")["result"] == "22"
    result = debugger.go_on(thread, cell)
    assert (result.status, result.text) == ("ok", "42\n")


def shown(debugger: Debugger) -> tuple[str, str]:
    """What variables and evaluation say of the key while the cell stands still."""
    debugger.break_at(CELL, 4)
    cell = debugger.kernel.send(CELL)
    thread = debugger.stopped()
    frame = debugger.frame(thread)
    variable = debugger.variables(frame)["key"]
    evaluated = debugger.ask("evaluate", expression="key", frameId=frame["id"], context="repl")["result"]
    assert debugger.go_on(thread, cell).status == "ok"
    return variable, evaluated


def test_what_it_shows_is_redacted(debugger: Debugger) -> None:
    assert shown(debugger) == (f"'{MARK}'", f"'{MARK}'")


def test_under_jupyters_own_provisioner_it_shows_the_key(kernel_world: KernelWorld) -> None:
    KernelProvisionerFactory.clear_instance()
    plain = Kernel()
    try:
        assert shown(Debugger(plain)) == (f"'{KEY}'", f"'{KEY}'")
    finally:
        plain.close()
        KernelProvisionerFactory.clear_instance()
        install_default_provisioner()


def test_without_breakpoints_the_cell_just_runs(debugger: Debugger) -> None:
    debugger.break_at(CELL)
    assert debugger.kernel.run(CELL).text == "42\n"

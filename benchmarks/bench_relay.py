"""What the relay and everything around a kernel's start cost, beside Jupyter's own provisioner in the same run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import suppress

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager
from jupyter_client.provisioning.factory import KernelProvisionerFactory

from benchmarks import stack
from benchmarks.table import Row
from jupyter_qsec.kernels.provisioner import install_default_provisioner

_STARTS = 7
_CELLS = 300
_PRINTS = 10_000
_SECONDS = 60.0


def rows() -> list[Row]:
    """Medians over starts and cells that alternate between stock and qsec. The gateway is real: a kernel's start waits
    for its lease, and the relay looks for that lease's secrets in everything."""
    with stack.running() as running:
        folders = {"JUPYTER_QSEC_HOME": str(running.home), "JUPYTER_RUNTIME_DIR": str(running.folder / "runtime")}
        with stack.within(folders):
            measured = _measured()
        known = running.control("GET", "/leases")["leases"]
        if len(known) <= _STARTS:
            raise RuntimeError(f"{_STARTS + 1} kernels took {len(known)} leases")
        return measured


def _measured() -> list[Row]:
    starts: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(_STARTS):
        for protected in (False, True):
            began = time.perf_counter()
            manager, client = _start(protected)
            starts[protected].append(time.perf_counter() - began)
            _stop(manager, client)
    stock, relayed = _start(False), _start(True)
    try:
        cells: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(_CELLS):
            cells[False].append(_first_output(stock[1]))
            cells[True].append(_first_output(relayed[1]))
        received = {
            name: _burst(client, code)
            for name, client, code in (
                ("stock", stock[1], _FLUSHED),
                ("flushed", relayed[1], _FLUSHED),
                ("plain", relayed[1], _PLAIN),
            )
        }
    finally:
        _stop(*stock)
        _stop(*relayed)
    return [
        _added("kernel start, added", starts, 100.0),
        _added("execute to first output, added", cells, 1.0),
        Row("prints lost of 10,000", _PRINTS - received["plain"], "", target="none", ok=received["plain"] == _PRINTS),
        Row(
            "prints lost of 10,000, each flushed",
            _PRINTS - received["flushed"],
            "",
            peer=f"stock {_PRINTS - received['stock']:,}",
            target="none",
            ok=received["flushed"] == _PRINTS,
        ),
    ]


def _added(name: str, seconds: dict[bool, list[float]], limit_ms: float) -> Row:
    stock, relayed = (statistics.median(seconds[protected]) * 1000 for protected in (False, True))
    added = relayed - stock
    return Row(
        name, added, "ms", f"stock {stock:.1f} ms", relayed / stock, f"{limit_ms:.0f} ms or less", added <= limit_ms
    )


def _start(protected: bool) -> tuple[KernelManager, BlockingKernelClient]:
    """Until the kernel answers, as a client sees it."""
    KernelProvisionerFactory.clear_instance()
    if protected:
        install_default_provisioner()
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel()
    client: BlockingKernelClient = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=_SECONDS)
    return manager, client


def _stop(manager: KernelManager, client: BlockingKernelClient) -> None:
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def _first_output(client: BlockingKernelClient) -> float:
    code = f"print({time.monotonic_ns()}, flush=True)"  # no cell is like the one before
    began = time.perf_counter()
    request = client.execute(code, store_history=False)
    elapsed = 0.0

    def note(kind: str, _: str) -> None:
        nonlocal elapsed
        if kind == "stream":
            elapsed = time.perf_counter() - began

    _until_idle(client, request, note)
    client.get_shell_msg(timeout=_SECONDS)
    return elapsed


_PLAIN = f"for n in range({_PRINTS}):\n    print(n)"
_FLUSHED = f"for n in range({_PRINTS}):\n    print(n, flush=True)"


def _burst(client: BlockingKernelClient, code: str) -> int:
    """How many of the printed lines came. The reply ends it, because a stock server may lose even `idle`."""
    lines: list[str] = []
    request = client.execute(code, store_history=False)
    client.get_shell_msg(timeout=_SECONDS)
    with suppress(TimeoutError):
        _until_idle(client, request, lambda kind, text: lines.append(text) if kind == "stream" else None, seconds=5.0)
    return "".join(lines).count("\n")


def _until_idle(
    client: BlockingKernelClient, request: str, take: Callable[[str, str], object], *, seconds: float = _SECONDS
) -> None:
    while True:
        if not client.iopub_channel.socket.poll(int(seconds * 1000)):
            raise TimeoutError
        message = client.get_iopub_msg(timeout=seconds)
        if message["parent_header"].get("msg_id") != request:
            continue
        take(message["msg_type"], str(message["content"].get("text", "")))
        if message["content"].get("execution_state") == "idle":
            return

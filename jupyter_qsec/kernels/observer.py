"""What the kernels tell whoever listens: the server extension, or a reporter where there is no server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from jupyter_qsec.client.held import HeldLease
from jupyter_qsec.domain.lease import MAX_TEXT

Action = Literal["redacted", "blocked", "warned", "reported"]


@dataclass(frozen=True, slots=True)
class KernelFinding:
    """A secret that the relay met. Never the secret itself."""

    found_at: datetime
    place: str
    """`source`, `output`, `error`, `reply`, `widget` or `input`."""
    line: int
    """1-based within the place."""
    kind: str
    preview: str
    fingerprint: str
    action: Action
    cell_id: str = ""
    """The notebook cell's id as the client sent it; empty when the client did not say."""
    message_id: str = ""
    """Id of the request that the finding belongs to."""


@dataclass(frozen=True, slots=True)
class KernelReport:
    """How a kernel was started."""

    kernel_id: str
    name: str
    """The kernelspec's name."""
    path: str
    """The notebook as the server named it, empty when unknown."""
    held: HeldLease | None
    lease_problem: str
    confinement_state: Literal["confined", "unconfined"]
    confinement_reasons: tuple[str, ...]

    @property
    def confinement(self) -> str:
        """As a lease records it: `confined`, or `unconfined: REASON`. Cut to what a lease takes, because the gateway
        refuses more, and with it every renewal."""
        if self.confinement_state == "confined":
            return "confined"
        return f"unconfined: {'; '.join(self.confinement_reasons)}"[:MAX_TEXT]


class KernelObserver(Protocol):
    """Called on the server's event loop when the kernel runs in a server, else on any thread. Must not raise."""

    def kernel_started(self, kernel_id: str, report: KernelReport) -> None:
        """Also after a restart, and again when something about the kernel changed; the newest report holds."""

    def findings(self, kernel_id: str, findings: list[KernelFinding]) -> None: ...

    def relay_ended(self, kernel_id: str) -> None:
        """The relay ended by itself, and the kernel was stopped with it; it may be started again."""

    def kernel_ended(self, kernel_id: str) -> None:
        """The kernel is gone for good, not restarted; its lease is being revoked."""


class _Nobody:
    def kernel_started(self, kernel_id: str, report: KernelReport) -> None:
        """Nobody listens."""

    def findings(self, kernel_id: str, findings: list[KernelFinding]) -> None:
        """Nobody listens."""

    def relay_ended(self, kernel_id: str) -> None:
        """Nobody listens."""

    def kernel_ended(self, kernel_id: str) -> None:
        """Nobody listens."""


# One per process, because Jupyter creates provisioners itself and gives them no way to be handed anything.
_observer: KernelObserver = _Nobody()


def register(observer: KernelObserver | None) -> None:
    """Make `observer` the one that is told; `None` ends that."""
    global _observer
    _observer = _Nobody() if observer is None else observer


def observer() -> KernelObserver:
    return _observer


def is_registered() -> bool:
    """Whether somebody listens."""
    return not isinstance(_observer, _Nobody)


def on_loop(loop: asyncio.AbstractEventLoop | None, call: Callable[[], None]) -> None:
    """Call on the given loop from any thread; directly when there is none or it has ended."""
    if loop is None or loop.is_closed():
        call()
        return
    try:
        loop.call_soon_threadsafe(call)
    except RuntimeError:  # it closed in between
        call()

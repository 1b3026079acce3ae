"""The server's kernel and session managers behind the small interface that limits and routes need."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from jupyter_core.utils import ensure_async

from jupyter_qsec.server.sessions import KernelActivity


class ServerKernels:
    """Implements `jupyter_qsec.server.sessions.Kernels` over a `ServerApp`."""

    def __init__(self, kernel_manager: Any, session_manager: Any) -> None:
        self._kernels, self._sessions = kernel_manager, session_manager

    def activities(self) -> list[KernelActivity]:
        found = []
        for kernel_id in list(self._kernels.list_kernel_ids()):
            try:
                kernel = self._kernels.get_kernel(kernel_id)
            except Exception:  # noqa: BLE001, S112 - it ended meanwhile; managers signal that by exceptions of their own
                continue
            last = getattr(kernel, "last_activity", None)
            found.append(
                KernelActivity(
                    kernel_id=kernel_id,
                    execution_state=str(getattr(kernel, "execution_state", "unknown")),
                    last_activity=_aware(last) if isinstance(last, datetime) else datetime.now(UTC),
                )
            )
        return found

    def name(self, kernel_id: str) -> str:
        """The kernelspec's name."""
        return str(getattr(self._kernels.get_kernel(kernel_id), "kernel_name", ""))

    def __contains__(self, kernel_id: object) -> bool:
        return isinstance(kernel_id, str) and kernel_id in self._kernels

    async def shut_down(self, kernel_id: str) -> None:
        if kernel_id in self._kernels:
            await ensure_async(self._kernels.shutdown_kernel(kernel_id))

    async def path(self, kernel_id: str) -> str:
        return (await self.paths()).get(kernel_id, "")

    async def paths(self) -> Mapping[str, str]:
        """Notebook by kernel id."""
        found: dict[str, str] = {}
        for session in await ensure_async(self._sessions.list_sessions()):
            kernel = session.get("kernel") or {}
            if kernel.get("id"):
                found[str(kernel["id"])] = str(session.get("path") or "")
        return found


def _aware(value: datetime) -> datetime:
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)

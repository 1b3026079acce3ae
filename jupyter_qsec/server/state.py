"""Everything that the extension's handlers need, in one object below the web application's settings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from jupyter_qsec._version import __version__
from jupyter_qsec.client import wire
from jupyter_qsec.client.held import HeldLease
from jupyter_qsec.domain.errors import ConflictError, InvalidRequestError, NotFoundError, QsecError
from jupyter_qsec.server.findings import FindingsBoard
from jupyter_qsec.server.kernelview import ServerKernels
from jupyter_qsec.server.registry import OUTSIDE, KernelRegistry
from jupyter_qsec.server.sessions import SessionWatch
from jupyter_qsec.server.supervisor import GatewayService

SETTING = "jupyter_qsec_state"


@dataclass(frozen=True, slots=True)
class ExtensionState:
    """The answers of the extension's REST interface."""

    gateway: GatewayService
    registry: KernelRegistry
    kernels: ServerKernels
    sessions: SessionWatch
    findings: FindingsBoard
    on_save: str

    async def status(self) -> dict[str, Any]:
        condition = self.gateway.condition
        told: dict[str, Any] = {}
        if condition.state.value == "running":
            with suppress(QsecError):  # it went away between the question and the call; the condition follows
                told = dict(await self.gateway.api().status())
        return {
            "version": __version__,
            "gateway": {
                "state": condition.state.value,
                "reason": condition.reason,
                "keystore": told.get("keystore", ""),
            },
            "principal": _pick(told.get("principal"), "id", "name"),
            "tenants": [
                {
                    "id": tenant["id"],
                    "name": tenant["name"],
                    "projects": [{"id": project["id"], "name": project["name"]} for project in tenant["projects"]],
                }
                for tenant in told.get("tenants", [])
            ],
            "on_save": self.on_save,
        }

    async def list_kernels(self) -> list[dict[str, Any]]:
        """Every kernel of the server, whoever started it."""
        activities = self.kernels.activities()
        await self._refresh([activity.kernel_id for activity in activities])
        await self.sessions.tick()
        paths = await self.kernels.paths()
        return [
            self.registry.entry(kernel_id, self.kernels.name(kernel_id), paths.get(kernel_id, ""))
            for kernel_id in (activity.kernel_id for activity in activities)
            if kernel_id in self.kernels
        ]

    async def kernel(self, kernel_id: str) -> dict[str, Any]:
        self._require(kernel_id)
        return self.registry.entry(kernel_id, self.kernels.name(kernel_id), await self.kernels.path(kernel_id))

    async def change_lease(self, kernel_id: str, action: str, tenant: str, project: str) -> dict[str, Any]:
        """`renew`, `revoke` or `new`; the kernel's entry afterwards."""
        self._require(kernel_id)
        held = self.registry.held(kernel_id)
        if held is None:
            raise ConflictError(OUTSIDE, remedy="Restart it to give it a place for a lease.")
        steps: dict[str, Callable[[], object]] = {
            "renew": held.renew,
            "revoke": lambda: held.revoke("revoked in the panel"),
            "new": lambda: held.new(tenant, project),
        }
        if action not in steps:
            raise InvalidRequestError("action must be one of renew, revoke, new.")
        await asyncio.to_thread(steps[action])
        return await self.kernel(kernel_id)

    async def keep_alive(self, kernel_id: str) -> dict[str, Any]:
        self._require(kernel_id)
        self.sessions.keep_alive(kernel_id)
        return await self.kernel(kernel_id)

    def _require(self, kernel_id: str) -> None:
        if kernel_id not in self.kernels:
            raise NotFoundError("There is no such kernel.")

    async def _refresh(self, kernel_ids: list[str]) -> None:
        """Look at the leases themselves: somebody else may have revoked them."""

        async def look(held: HeldLease, lease_id: str) -> None:
            with suppress(QsecError):  # what was known stays shown; the heartbeat notes the trouble
                answer = await self.gateway.api().send(wire.get(f"/api/v1/leases/{wire.segment(lease_id)}"))
                held.observe(wire.part(answer, "lease"))

        known = [(held, held.lease["id"]) for held in map(self.registry.held, kernel_ids) if held and held.lease]
        await asyncio.gather(*(look(held, lease_id) for held, lease_id in known))


def _pick(value: Any, *names: str) -> dict[str, Any] | None:
    return {name: value.get(name, "") for name in names} if isinstance(value, dict) else None

"""Tenants for tests."""

from __future__ import annotations

from collections.abc import Sequence

from jupyter_qsec.domain.quota import QuotaLimits
from jupyter_qsec.domain.tenant import Environment, Project, Purpose, Tenant

ALPHA = Tenant(
    id="alpha",
    name="Alpha",
    account="000000000111",
    purpose=Purpose.TUTORIAL,
    environment=Environment.SANDBOX,
    projects=(Project("first", "First", "cc-1"), Project("second", "Second")),
    limits=QuotaLimits(tasks=100, shots=100_000, simulator_minutes=10),
    max_running=2,
)
BETA = Tenant(
    id="beta",
    name="Beta",
    account="000000000222",
    purpose=Purpose.RESEARCH,
    environment=Environment.DEV,
    projects=(Project("only", "Only"),),
    weight=2,
    max_running=2,
)


class FakeCatalogue:
    """Implements the `Catalogue` port."""

    def __init__(self, *tenants: Tenant) -> None:
        self._tenants = {tenant.id: tenant for tenant in tenants or (ALPHA, BETA)}

    def tenants(self) -> Sequence[Tenant]:
        return tuple(self._tenants.values())

    def tenant(self, tenant_id: str) -> Tenant | None:
        return self._tenants.get(tenant_id)

    def put(self, tenant: Tenant) -> None:
        self._tenants[tenant.id] = tenant

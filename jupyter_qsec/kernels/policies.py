"""What is done about secrets in sources, tenant by tenant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from jupyter_qsec.scanning.policy import SourcePolicy


@dataclass(frozen=True, slots=True)
class SourcePolicies:
    """The policies of all tenants."""

    common: SourcePolicy = field(default_factory=SourcePolicy)
    tenants: Mapping[str, SourcePolicy] = field(default_factory=dict)

    @classmethod
    def of(cls, common: Mapping[str, str], tenants: Mapping[str, Mapping[str, str]]) -> SourcePolicies:
        """A tenant's settings change the common ones. Raises `InvalidRequestError`."""
        own = {tenant: SourcePolicy.of(common, settings) for tenant, settings in tenants.items()}
        return cls(SourcePolicy.of(common), own)

    def for_tenant(self, tenant: str) -> SourcePolicy:
        """The policy for this tenant. While nobody knows which it is, the strictest of all."""
        if tenant:
            return self.tenants.get(tenant, self.common)
        return self.common.stricter(*self.tenants.values())

"""Which identity source a token is for, by its form."""

from __future__ import annotations

from dataclasses import dataclass

from jupyter_qsec.application.ports import Identities, Identity
from jupyter_qsec.domain.errors import UnauthenticatedError


def is_workload_token(token: str) -> bool:
    """Whether it has the form of a signed JSON object (RFC 7515, 3.1). Proves nothing yet."""
    return token.startswith("eyJ") and token.count(".") == 2


@dataclass(frozen=True, slots=True)
class ByForm:
    """Implements the `Identities` port with a hub, workloads, or both."""

    hub: Identities | None
    workloads: Identities | None

    async def identify(self, token: str) -> Identity:
        source = self.workloads if self.workloads is not None and is_workload_token(token) else self.hub
        if source is None:
            raise UnauthenticatedError("The token is not known.", remedy="Show one of a workload of this gateway.")
        return await source.identify(token)


def identities_of(hub: Identities | None, workloads: Identities | None) -> Identities | None:
    """Those that there are; `None`: nobody but the operator and holders of leases may call."""
    return ByForm(hub, workloads) if workloads is not None else hub

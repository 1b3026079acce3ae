"""The lease that a process runs under already: below `jupyter qsec exec`, or in a kernel.

Such a process has nothing to ask for a lease with, and needs none: what it starts works on the same one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jupyter_qsec.client.api import ControlClient
from jupyter_qsec.client.endpoints import Endpoints, RemoteAddress
from jupyter_qsec.client.wire import Issued, LeaseAsk, LeaseRecord
from jupyter_qsec.domain.errors import ConflictError, LeaseExpiredError, UnavailableError

LEASED_VARIABLE = "JUPYTER_QSEC_KERNEL"
_TIMEOUT = 5.0
_MAX_TOKEN = 1024


@dataclass(frozen=True, slots=True)
class InheritedLease:
    """Implements `LeaseApi`: whoever asks for a lease gets this one. Its holder alone renews and revokes it."""

    endpoints: Endpoints
    token_file: Path
    """Its holder writes the token of another lease into it when this one has ended before its time."""

    @classmethod
    def of_environment(cls, environ: Mapping[str, str] = os.environ) -> InheritedLease | None:
        """`None`: this process runs under no lease. The variables are those of `docs/interfaces.md`."""
        gateway, credentials, token_file = (
            environ.get(name, "")
            for name in (
                "JUPYTER_QSEC_GATEWAY",
                "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            )
        )
        if not (environ.get(LEASED_VARIABLE) and gateway and credentials and token_file):
            return None
        return cls(Endpoints(gateway, credentials, environ.get("AWS_CA_BUNDLE", "")), Path(token_file))

    def issue_lease(self, ask: LeaseAsk) -> Issued:
        """The lease as it is: nothing that is asked for changes it. Raises what the gateway says of it."""
        token = self._token()
        return Issued(self._asked(token), token)

    def renew_lease(self, lease_id: str, *, confinement: str | None = None) -> LeaseRecord:
        """How the lease stands. `LeaseExpiredError` when its holder has another one by now, which `issue_lease` gives;
        the confinement is not the whole lease's and stays untold."""
        found = self._asked(self._token())
        if found["id"] != lease_id:
            raise LeaseExpiredError(f"Lease {lease_id[:8]} gave way to another one of its holder.")
        return found

    def revoke_lease(self, lease_id: str, *, reason: str = "") -> LeaseRecord:
        """Never: others work on it."""
        raise ConflictError(
            "The lease belongs to the command that this kernel was started by.",
            remedy="It is revoked when that command ends, or by 'jupyter qsec leases revoke'.",
        )

    def secrets_of(self, token: str) -> Mapping[str, str]:
        """As any gateway tells them."""
        with self._client(token) as client:
            return client.secrets_of(token)

    def _token(self) -> str:
        try:
            with self.token_file.open(encoding="ascii") as file:
                token = file.read(_MAX_TOKEN)
        except (OSError, ValueError):
            token = ""
        if not token:
            raise UnavailableError("The lease that this process runs under has ended: its token is gone.")
        return token

    def _asked(self, token: str) -> LeaseRecord:
        with self._client(token) as client:
            return client.lease("self")

    def _client(self, token: str) -> ControlClient:
        address = RemoteAddress(self.endpoints.gateway_url, token, self.endpoints.ca_file)
        return ControlClient(address.url, token, timeout=_TIMEOUT, trust=address.trust())

"""An in-memory gateway as far as leases are concerned, with the semantics of the domain's `Lease`."""

from __future__ import annotations

import uuid
from dataclasses import replace

from jupyter_qsec.client.wire import Issued, LeaseAsk, LeaseRecord
from jupyter_qsec.domain.errors import NotFoundError, QsecError
from jupyter_qsec.domain.lease import Lease
from tests.fakes.clock import FakeClock


class FakeLeaseApi:
    """Implements `jupyter_qsec.client.leases.LeaseApi`."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.stored: dict[str, Lease] = {}
        self.tokens: dict[str, str] = {}
        self.calls: list[str] = []
        self.failure: QsecError | None = None
        """Raised by every call while it is set."""

    def record(self, lease: Lease) -> LeaseRecord:
        def text(moment: object) -> str:
            return str(moment).replace(" ", "T").replace("+00:00", "Z")

        return {
            "id": lease.id,
            "principal": lease.principal,
            "tenant": lease.tenant,
            "project": lease.project,
            "label": lease.label,
            "holder": lease.holder,
            "parent": lease.parent,
            "state": lease.state(self.clock.now()).value,
            "issued_at": text(lease.issued_at),
            "expires_at": text(lease.expires_at),
            "max_expires_at": text(lease.max_expires_at),
            "ttl_seconds": int(lease.ttl.total_seconds()),
            "revoked_at": None if lease.revoked_at is None else text(lease.revoked_at),
            "revoked_because": lease.revoked_because,
            "confinement": lease.confinement,
        }

    def active(self) -> list[Lease]:
        return [lease for lease in self.stored.values() if lease.state(self.clock.now()).value == "active"]

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self.failure is not None:
            raise self.failure

    def issue_lease(self, ask: LeaseAsk) -> Issued:
        self._called("issue")
        now = self.clock.now()
        lease = Lease(
            id=uuid.uuid4().hex,
            principal="os:ada",
            tenant=ask.tenant or "sandbox",
            project=ask.project or "default",
            issued_at=now,
            expires_at=now + min(ask.ttl, ask.max_ttl),
            max_expires_at=now + ask.max_ttl,
            ttl=ask.ttl,
            confinement=ask.confinement,
        )
        self.stored[lease.id] = lease
        # In no form may it begin with four digits: numbers that are printed would be held back now and then.
        self.tokens[lease.id] = f"token-{lease.id}-end"
        return Issued(self.record(lease), self.tokens[lease.id])

    def _lease(self, lease_id: str) -> Lease:
        if lease_id not in self.stored:
            raise NotFoundError("There is no such lease.")
        return self.stored[lease_id]

    def renew_lease(self, lease_id: str, *, confinement: str | None = None) -> LeaseRecord:
        self._called("renew")
        lease = self._lease(lease_id).renewed(self.clock.now())
        if confinement is not None:
            lease = replace(lease, confinement=confinement)
        self.stored[lease_id] = lease
        return self.record(lease)

    def secrets_of(self, token: str) -> dict[str, str]:
        self._called("secrets")
        return {f"known-of-{token}": "aws-secret-key"}

    def revoke_lease(self, lease_id: str, *, reason: str = "") -> LeaseRecord:
        self._called("revoke")
        lease = self.stored[lease_id] = self._lease(lease_id).revoked(self.clock.now(), reason)
        return self.record(lease)

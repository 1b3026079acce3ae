"""Whatever order leases are issued, renewed and revoked in, and however the clock jumps, these rules hold."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import datetime, timedelta
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from jupyter_qsec.application.leasing import IssuedLease, LeaseRequest
from jupyter_qsec.domain.errors import ConflictError, LeaseExpiredError, LeaseRevokedError
from tests.fakes.world import ADA, World

T = TypeVar("T")


class LeaseMachine(RuleBasedStateMachine):
    """A model in plain dictionaries beside the real thing."""

    leases = Bundle("leases")

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.world = World()
        self.expires: dict[str, datetime] = {}
        self.latest: dict[str, datetime] = {}
        self.ttl: dict[str, timedelta] = {}
        self.parent: dict[str, str] = {}
        self.revoked: set[str] = set()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(coroutine)

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.loop.close()

    def line(self, lease_id: str) -> list[str]:
        found = [lease_id]
        while parent := self.parent[found[-1]]:
            found.append(parent)
        return found

    def usable(self, lease_id: str) -> bool:
        now = self.world.clock.now()
        return all(entry not in self.revoked and now < self.expires[entry] for entry in self.line(lease_id))

    def _issued(self, ttl: int, most: int, parent: str) -> IssuedLease:
        request = LeaseRequest(
            tenant="alpha", parent=parent, ttl=timedelta(seconds=ttl), max_ttl=timedelta(seconds=max(ttl, most))
        )
        issued = self.run(self.world.leasing.issue(ADA, request))
        now, lease_id = self.world.clock.now(), issued.lease.id
        self.latest[lease_id] = now + timedelta(seconds=max(ttl, most))
        if parent:
            self.latest[lease_id] = min(self.latest[lease_id], self.latest[parent])
        self.expires[lease_id] = min(now + timedelta(seconds=ttl), self.latest[lease_id])
        self.ttl[lease_id], self.parent[lease_id] = timedelta(seconds=ttl), parent
        return issued

    @rule(target=leases, ttl=st.integers(10, 4000), most=st.integers(10, 43_200))
    def issue(self, ttl: int, most: int) -> IssuedLease:
        return self._issued(ttl, most, "")

    @rule(target=leases, parent=leases, ttl=st.integers(10, 4000), most=st.integers(10, 43_200))
    def issue_child(self, parent: IssuedLease, ttl: int, most: int) -> object:
        if not self.usable(parent.lease.id) or len(self.line(parent.lease.id)) > 5:
            return multiple()
        return self._issued(ttl, most, parent.lease.id)

    @rule(issued=leases)
    def renew(self, issued: IssuedLease) -> None:
        lease_id = issued.lease.id
        try:
            self.run(self.world.leasing.renew(ADA, lease_id))
        except (LeaseRevokedError, LeaseExpiredError):
            assert not self.usable(lease_id)
            return
        assert self.usable(lease_id)
        renewed = min(self.world.clock.now() + self.ttl[lease_id], self.latest[lease_id])
        self.expires[lease_id] = max(self.expires[lease_id], renewed)

    @rule(issued=consumes(leases), target=leases)
    def revoke(self, issued: IssuedLease) -> IssuedLease:
        lease_id = issued.lease.id
        try:
            self.run(self.world.leasing.revoke(ADA, lease_id, "in test"))
        except ConflictError:
            assert lease_id in self.revoked
        self.revoked |= {other for other in self.parent if lease_id in self.line(other)}
        return issued

    @rule(seconds=st.one_of(st.integers(1, 900), st.integers(-3600, 86_400)))
    def the_clock_moves(self, seconds: int) -> None:
        self.world.clock.advance(seconds=seconds)

    @rule()
    def the_gateway_is_killed(self) -> None:
        self.world = self.run(self.world.restarted())

    @rule(issued=leases)
    def the_token_works_exactly_while_the_lease_does(self, issued: IssuedLease) -> None:
        try:
            made = self.run(self.world.leasing.credentials(issued.token))
        except (LeaseRevokedError, LeaseExpiredError):
            assert not self.usable(issued.lease.id)
            return
        assert self.usable(issued.lease.id)
        signing = self.world.leasing.signing_credential(made.access_key_id, made.session_token)
        assert signing.lease_id == issued.lease.id

    @invariant()
    def exactly_the_usable_leases_open_the_door(self) -> None:
        for lease_id in getattr(self, "expires", {}):
            try:
                self.run(self.world.leasing.caller(lease_id))
                opened = True
            except (LeaseRevokedError, LeaseExpiredError):
                opened = False
            assert opened == self.usable(lease_id)

    @invariant()
    def no_lease_outlives_its_maximum(self) -> None:
        for lease_id, latest in getattr(self, "latest", {}).items():
            stored = self.run(self.world.store.lease(lease_id))
            assert stored is not None and stored.expires_at <= latest


LeaseMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=30)
TestLeases = LeaseMachine.TestCase

"""The lease keeper: renews in time, outlives every outage, and never brings back what somebody took away."""

from __future__ import annotations

import stat
import tempfile
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from jupyter_qsec.client.held import write_token
from jupyter_qsec.client.leases import LeaseKeeper
from jupyter_qsec.client.wire import Issued, LeaseAsk, LeaseRecord
from jupyter_qsec.domain.errors import (
    ConflictError,
    DeniedError,
    LeaseExpiredError,
    LeaseRevokedError,
    NotFoundError,
    QsecError,
    UnavailableError,
)
from jupyter_qsec.domain.lease import UNLEASED
from tests.fakes.clock import FakeClock
from tests.fakes.kept_leases import AWAY, World
from tests.fakes.lease_api import FakeLeaseApi


def test_the_token_file_is_private_and_holds_the_token_alone(world: World) -> None:
    held = world.hold()
    assert held.lease is not None and held.problem == ""
    assert world.token_file.read_text() == world.api.tokens[held.lease["id"]]
    assert stat.S_IMODE(world.token_file.stat().st_mode) == 0o600


def test_the_lease_lives_through_ten_lifetimes(world: World) -> None:
    held = world.hold()
    world.pass_time(minutes=50)
    assert len(world.api.stored) == 1, "renewed, not replaced"
    assert world.api.active() and held.active
    assert world.api.calls.count("renew") == 30, "every third of a lifetime"


def test_without_a_gateway_there_is_a_token_that_opens_nothing_and_a_reason(world: World) -> None:
    world.api.failure = AWAY
    held = world.hold()
    assert held.lease is None and "nothing answers" in held.problem
    assert world.token_file.read_text().startswith(UNLEASED)


def test_a_gateway_that_comes_later_gives_the_lease_later(world: World) -> None:
    world.api.failure = AWAY
    held = world.hold()
    world.pass_time(minutes=1)
    world.api.failure = None
    world.pass_time(seconds=15)
    assert held.active and held.problem == ""
    assert world.token_file.read_text().startswith("token-")


def test_a_nudge_tries_again_at_once(world: World) -> None:
    world.api.failure = AWAY
    held = world.hold()
    world.pass_time(minutes=1)
    world.api.failure = None
    world.keeper.nudge()
    world.keeper.run_due()
    assert held.active


def test_a_short_outage_costs_nothing(world: World) -> None:
    held = world.hold()
    world.pass_time(minutes=1)
    world.api.failure = AWAY
    world.pass_time(minutes=3)
    assert held.active and held.problem == str(AWAY)
    world.api.failure = None
    world.pass_time(minutes=1)
    assert len(world.api.active()) == 1 and held.problem == ""


def test_after_an_outage_longer_than_the_lease_there_is_a_new_one_within_the_old_limit(world: World) -> None:
    held = world.hold(max_ttl=timedelta(hours=1))
    world.api.failure = AWAY
    world.pass_time(minutes=20)
    world.api.failure = None
    world.pass_time(minutes=1)
    assert held.active and held.lease is not None
    assert len(world.api.stored) == 2
    first, second = world.api.stored.values()
    assert second.max_expires_at <= first.max_expires_at + timedelta(seconds=1)
    assert world.token_file.read_text() == world.api.tokens[held.lease["id"]]


def test_the_absolute_limit_is_final(world: World) -> None:
    held = world.hold(max_ttl=timedelta(minutes=30))
    world.pass_time(minutes=29)
    assert (held.active, held.problem) == (True, "")
    world.pass_time(hours=5)
    assert not held.active and held.lease is not None and held.lease["state"] == "expired"
    assert len(world.api.stored) == 1 and "expired" in held.problem


def test_a_lease_that_was_revoked_elsewhere_is_not_replaced(world: World) -> None:
    held = world.hold()
    assert held.lease is not None
    world.api.revoke_lease(held.lease["id"], reason="incident 7")
    world.pass_time(hours=2)
    assert held.lease["state"] == "revoked" and "incident 7" in held.problem
    assert not world.api.active()
    assert world.changes[-1][0] == "revoked"


def test_revoking_works_at_once_and_stays(world: World) -> None:
    held = world.hold()
    assert held.revoke("by hand")["state"] == "revoked"
    world.pass_time(hours=2)
    assert not world.api.active() and len(world.api.stored) == 1
    assert "by hand" in held.problem


def test_revoking_while_the_gateway_is_away_raises_and_is_done_later(world: World) -> None:
    held = world.hold()
    world.api.failure = AWAY
    with pytest.raises(UnavailableError):
        held.revoke("by hand")
    world.pass_time(minutes=1)
    world.api.failure = None
    world.pass_time(seconds=20)
    assert not world.api.active() and len(world.api.stored) == 1
    assert [lease.revoked_because for lease in world.api.stored.values()] == ["by hand"]
    assert held.lease is not None and held.lease["state"] == "revoked"


def test_a_new_lease_after_a_revoked_one_renews_again(world: World) -> None:
    held = world.hold()
    held.revoke()
    held.new(tenant="research", project="qec")
    world.pass_time(minutes=30)
    (lease,) = world.api.active()
    assert (lease.tenant, lease.project) == ("research", "qec")
    assert world.token_file.read_text() == world.api.tokens[lease.id]


def test_a_new_lease_revokes_the_one_before(world: World) -> None:
    held = world.hold()
    answer = held.new()
    world.keeper.run_due()
    assert [lease.id for lease in world.api.active()] == [answer["id"]]


def test_another_tenant_without_a_project_takes_the_tenants_first(world: World) -> None:
    held = world.hold(tenant="sandbox", project="special")
    held.new(tenant="research")
    assert (held.ask.tenant, held.ask.project) == ("research", "")


def test_a_refused_new_lease_leaves_the_old_question_and_says_why(world: World) -> None:
    held = world.hold()
    held.revoke()
    world.api.failure = DeniedError("You may not use tenant research.")
    with pytest.raises(DeniedError):
        held.new(tenant="research")
    assert held.ask.tenant == ""
    assert "may not use" in held.problem


def test_closing_revokes_and_removes_the_token(world: World) -> None:
    held = world.hold()
    held.close("kernel ended")
    assert not world.api.active() and not world.token_file.exists()
    assert world.keeper.run_due() == float("inf")


def test_closing_while_the_gateway_is_away_is_made_up_for(world: World) -> None:
    held = world.hold()
    world.api.failure = AWAY
    held.close("kernel ended")
    assert not world.token_file.exists()
    world.api.failure = None
    world.pass_time(seconds=20)
    assert not world.api.active()
    assert world.keeper.run_due() == float("inf")


def test_closing_the_keeper_closes_every_lease(world: World, tmp_path: Path) -> None:
    world.hold()
    world.keeper.acquire(LeaseAsk(), tmp_path / "second")
    world.keeper.close("server ends")
    assert not world.api.active()


def test_nothing_can_be_taken_for_a_holder_that_ended(world: World) -> None:
    held = world.hold()
    held.close()
    with pytest.raises(ConflictError):
        held.new()
    with pytest.raises(ConflictError):
        held.renew()


def test_a_lease_that_replaces_another_tells_the_same_confinement(world: World) -> None:
    held = world.hold()
    held.report_confinement("confined")
    world.pass_time(seconds=1)
    assert held.new(tenant="research")["confinement"] == "confined"


def test_confinement_is_told_at_once_and_once(world: World) -> None:
    held = world.hold()
    held.report_confinement("unconfined: no Landlock")
    world.keeper.run_due()
    assert held.lease is not None and held.lease["confinement"] == "unconfined: no Landlock"
    assert held.confinement is None


def test_what_the_gateway_says_elsewhere_is_taken_over(world: World) -> None:
    held = world.hold()
    assert held.lease is not None
    held.observe(world.api.revoke_lease(held.lease["id"], reason="from the command line"))
    assert held.lease["state"] == "revoked" and "command line" in held.problem
    world.pass_time(hours=1)
    assert len(world.api.stored) == 1


def test_a_lease_issued_while_it_was_given_up_does_not_stay(world: World) -> None:
    held = world.hold()
    held.revoke()
    issue = world.api.issue_lease

    def slow(ask: LeaseAsk) -> Issued:
        answer = issue(ask)
        held.close("kernel ended meanwhile")
        return answer

    world.api.issue_lease = slow  # type: ignore[method-assign]  # the moment between question and answer
    with pytest.raises(ConflictError):
        held.new()
    world.keeper.run_due()
    assert not world.api.active()
    assert not world.token_file.exists()


@pytest.mark.parametrize("surprise", [RuntimeError("bug"), KeyError("lease"), OSError(28, "No space left on device")])
def test_the_heartbeat_survives_what_nobody_expected(world: World, surprise: Exception) -> None:
    held = world.hold()
    renew = world.api.renew_lease

    def broken(lease_id: str, *, confinement: str | None = None) -> LeaseRecord:
        raise surprise

    world.api.renew_lease = broken  # type: ignore[method-assign]  # a bug in what lies below
    world.pass_time(minutes=2)
    assert type(surprise).__name__ in held.problem
    world.api.renew_lease = renew  # type: ignore[method-assign]  # as it was
    world.pass_time(minutes=1)
    assert held.active and held.problem == ""


def test_one_kernels_trouble_does_not_starve_another(world: World, tmp_path: Path) -> None:
    trouble = world.hold()
    other = world.keeper.acquire(LeaseAsk(), tmp_path / "other")
    assert trouble.lease is not None and other.lease is not None
    del world.api.stored[trouble.lease["id"]]
    world.pass_time(minutes=30)
    assert [lease.id for lease in world.api.active()] == [other.lease["id"]]
    assert trouble.lease["state"] == "revoked"


def test_the_real_thread_renews_without_being_asked(tmp_path: Path) -> None:
    clock = FakeClock()
    api = FakeLeaseApi(clock)
    keeper = LeaseKeeper(api, now=clock.now)
    held = keeper.acquire(LeaseAsk(ttl=timedelta(seconds=0.03)), tmp_path / "token")
    assert keeper._thread is not None
    while api.calls.count("renew") < 3:
        keeper._thread.join(0.01)
    keeper.close()
    keeper._thread.join(5)
    assert not keeper._thread.is_alive() and not held.active


def test_readers_see_the_old_token_or_the_new_one_and_no_draft_stays(tmp_path: Path) -> None:
    path = tmp_path / "token"
    write_token(path, "old")
    with path.open() as reader:
        write_token(path, "new")
        assert (reader.read(), path.read_text()) == ("old", "new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["token"]


class KeeperMachine(RuleBasedStateMachine):
    """Any order of outages, decisions and time: at most one lease lives, and a decision is never undone."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.world = World(Path(self.folder.name))
        self.held = self.world.hold(max_ttl=timedelta(hours=6))
        self.wanted = True

    def teardown(self) -> None:
        self.folder.cleanup()

    @rule(down=st.booleans())
    def gateway(self, down: bool) -> None:
        self.world.api.failure = AWAY if down else None

    @rule(seconds=st.integers(1, 2000))
    def time(self, seconds: int) -> None:
        self.world.pass_time(seconds=seconds)

    @rule()
    def revoke(self) -> None:
        with suppress(UnavailableError, ConflictError, LeaseRevokedError, NotFoundError, LeaseExpiredError):
            self.held.revoke("decided")
        if self.held.lease is not None:
            self.wanted = False

    @rule()
    def new(self) -> None:
        try:
            self.held.new()
        except QsecError:
            return
        self.wanted = True

    @invariant()
    def what_was_given_up_stays_so_once_the_gateway_is_back(self) -> None:
        self.world.api.failure, away = None, self.world.api.failure
        self.world.pass_time(seconds=61)
        assert len(self.world.api.active()) <= 1
        if not self.wanted:
            assert not self.world.api.active()
        self.world.api.failure = away


TestKeeperMachine = KeeperMachine.TestCase
TestKeeperMachine.settings = settings(
    max_examples=40, stateful_step_count=20, suppress_health_check=[HealthCheck.too_slow]
)

"""What a lease's holder must not show is told before it can be had, or it cannot be had."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import NoReturn

import pytest

from jupyter_qsec.client import leases
from jupyter_qsec.client.held import HeldLease
from jupyter_qsec.client.wire import LeaseAsk
from jupyter_qsec.domain.errors import QsecError
from jupyter_qsec.domain.lease import UNLEASED
from tests.fakes.kept_leases import AWAY, World


class Told:
    """What a holder was told, and what its token file held at that time."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.times: list[tuple[Mapping[str, str], str]] = []

    def __call__(self, secrets: Mapping[str, str]) -> None:
        file = self.world.token_file
        self.times.append((secrets, file.read_text() if file.exists() else ""))

    def hold(self) -> HeldLease:
        return self.world.keeper.acquire(LeaseAsk(), self.world.token_file, self)


@pytest.fixture
def told(world: World) -> Told:
    return Told(world)


def test_what_must_not_be_shown_is_told_before_it_can_be_had(world: World, told: Told) -> None:
    held = told.hold()
    assert held.lease is not None
    token = world.api.tokens[held.lease["id"]]
    (secrets, in_the_file), *_ = told.times
    assert secrets == {token: "lease-token", f"known-of-{token}": "aws-secret-key"}
    assert in_the_file.startswith(UNLEASED)


def test_it_is_told_again_with_each_renewal_and_for_each_new_lease(world: World, told: Told) -> None:
    held = told.hold()
    world.pass_time(minutes=5)
    assert len(told.times) == 1 + world.api.calls.count("renew") == 4
    held.new()
    token = world.api.tokens[held.lease["id"]] if held.lease else ""
    assert token in told.times[-1][0] and told.times[-1][1] != token


def test_a_long_lease_is_asked_about_before_its_next_credentials_can_be_had(world: World, told: Told) -> None:
    world.keeper.acquire(LeaseAsk(ttl=timedelta(hours=12)), world.token_file, told)
    world.pass_time(minutes=29)
    assert len(told.times) >= 2


def test_without_an_answer_there_is_no_lease(world: World, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(world.api, "secrets_of", lambda token: _raise(AWAY))
        held = told.hold()
        assert held.lease is None and "nothing answers" in held.problem
        assert world.token_file.read_text().startswith(UNLEASED)
        world.pass_time(seconds=1)
    world.pass_time(seconds=30)
    assert held.active and held.problem == ""
    assert len(world.api.active()) == 1, "what was issued without an answer was given back"


def test_a_renewal_that_is_not_told_of_counts_and_is_repeated(
    world: World, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = told.hold()
    with monkeypatch.context() as patched:
        patched.setattr(world.api, "secrets_of", lambda token: _raise(AWAY))
        assert held.renew()["state"] == "active"
        assert held.active and "nothing answers" in held.problem
    world.pass_time(seconds=2)
    assert held.problem == "" and len(told.times) == 2


def test_a_holder_that_does_not_ask_causes_no_call(world: World) -> None:
    world.hold()
    assert "secrets" not in world.api.calls


def _raise(error: Exception) -> NoReturn:
    raise error


def while_it_asks(world: World, monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> None:
    """Something happens once, between the answer with a lease and the one that says what must not be shown."""
    known, waiting = world.api.secrets_of, [action]

    def secrets_of(token: str) -> Mapping[str, str]:
        while waiting:
            waiting.pop()()
        return known(token)

    monkeypatch.setattr(world.api, "secrets_of", secrets_of)


def test_who_ends_while_a_lease_comes_leaves_none_behind(
    world: World, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.api.failure = AWAY
    held = told.hold()
    world.api.failure = None
    while_it_asks(world, monkeypatch, lambda: held.close("the kernel ended"))
    world.pass_time(seconds=30)
    world.pass_time(seconds=30)
    assert world.api.stored and not world.api.active()
    assert not world.token_file.exists()


def test_what_is_revoked_while_its_successor_comes_has_none(
    world: World, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = told.hold()
    world.clock.advance(minutes=6)  # nobody renewed it: this machine was asleep

    def revoke() -> None:
        with suppress(QsecError):
            held.revoke("a person decided so")

    while_it_asks(world, monkeypatch, revoke)
    world.pass_time(minutes=1)
    world.pass_time(minutes=1)
    assert len(world.api.stored) == 2 and not world.api.active() and not held.active


def test_what_could_be_shown_before_stays_known_until_the_new_token_is_there(world: World, told: Told) -> None:
    held = told.hold()
    first = set(told.times[0][0])
    held.new()
    assert first < set(told.times[-1][0])
    world.pass_time(minutes=2)
    assert not first & set(told.times[-1][0]), "with the next renewal it is gone"


def test_tokens_that_cannot_be_written_leave_nothing_to_look_for(
    world: World, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: object, token: str) -> NoReturn:
        raise OSError(28, "No space left on device")

    held = told.hold()
    first = told.times[0][0]
    monkeypatch.setattr(leases, "write_token", full)
    for _ in range(5):
        with pytest.raises(QsecError, match="cannot be written"):
            held.new()
    assert set(first) < set(told.times[-1][0]), "the token before is still there"
    assert len(told.times[-1][0]) == 2 * len(first)

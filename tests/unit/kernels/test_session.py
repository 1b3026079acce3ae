"""What a kernel must not show is told to its relay before the kernel can have it, or the kernel does not get it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.kernels.policies import SourcePolicies
from jupyter_qsec.kernels.relay.config import RelayUpdate
from jupyter_qsec.kernels.session import KernelSession

SECRETS = {"a-secret-of-the-lease": "aws-secret-key"}


class Relay:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.updates: list[RelayUpdate] = []

    def follow(self, update: RelayUpdate) -> None:
        self.updates.append(update)

    def end(self) -> None: ...


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KernelSession]:
    monkeypatch.setenv("JUPYTER_QSEC_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    opened = KernelSession()
    yield opened
    opened.close()


@pytest.fixture
def relay(session: KernelSession) -> Relay:
    """A relay that runs already."""
    running: Any = Relay()
    session.relay, session._policies = running, SourcePolicies()
    found: Relay = running
    return found


def test_before_there_is_a_relay_it_waits_for_its_start(session: KernelSession) -> None:
    session._issue(SECRETS)
    assert session._issued == SECRETS


def test_a_relay_that_runs_is_told_once(session: KernelSession, relay: Relay) -> None:
    session._issue(SECRETS)
    session._issue(dict(SECRETS))
    assert [update.issued for update in relay.updates] == [SECRETS]


def test_what_cannot_be_told_is_an_error_and_is_told_when_it_can(
    session: KernelSession, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged() -> Any:
        raise InvalidRequestError("The file of registered secrets is damaged.")

    with monkeypatch.context() as patched:
        patched.setattr(session._registry, "sets", damaged)
        with pytest.raises(InvalidRequestError):
            session._issue(SECRETS)
    session._issue(SECRETS)
    assert [update.issued for update in relay.updates] == [SECRETS]

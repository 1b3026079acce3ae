"""A relay is told what it goes by in whole lines, or whoever tells it learns that it does not listen."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from jupyter_qsec.kernels import relay_process
from jupyter_qsec.kernels.relay.config import RelayUpdate
from jupyter_qsec.kernels.relay_process import RelayError, RelayProcess, start_relay
from jupyter_qsec.scanning.policy import SourcePolicy

MUCH = {f"{'x' * 1000}-{n}": "aws-secret-key" for n in range(300)}
"""More than two pipes hold."""


@pytest.fixture
def deaf(monkeypatch: pytest.MonkeyPatch) -> Iterator[RelayProcess]:
    """Passes on what it is told, and stands still while nobody takes that."""
    monkeypatch.setattr(relay_process, "_COMMAND", ("cat",))
    monkeypatch.setattr(relay_process, "_TELL_SECONDS", 0.05)
    process = start_relay()
    yield process
    process.end()


def update(issued: dict[str, str]) -> RelayUpdate:
    return RelayUpdate(SourcePolicy(), (), issued)


def test_one_that_does_not_listen_is_said_so_and_hears_whole_lines_later(deaf: RelayProcess) -> None:
    with pytest.raises(RelayError, match="does not listen"):
        deaf.follow(update(MUCH))
    heard: list[bytes] = []
    listening = threading.Thread(target=lambda: heard.extend(deaf._output.readline() for _ in range(2)))
    listening.start()
    relay_process._TELL_SECONDS = 10.0
    deaf.follow(update({"newest-secret": "aws-secret-key"}))
    listening.join(10)
    assert [RelayUpdate.from_line(line).issued for line in heard] == [MUCH, {"newest-secret": "aws-secret-key"}]


def test_one_that_has_ended_needs_nothing(deaf: RelayProcess) -> None:
    deaf.end()
    deaf.follow(update(MUCH))

"""Following tasks to their end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from jupyter_qsec.magics.following import PATIENCE_SECONDS, Follower
from jupyter_qsec.magics.problems import AWAY, QsubmitError


class ScriptedControl:
    """Answers with one scripted state a look; an exception in the script is raised."""

    def __init__(self, **scripts: Sequence[str | Exception]) -> None:
        self.scripts = {name: list(script) for name, script in scripts.items()}
        self.looks = 0
        self.listed = True

    def task(self, task_id: str) -> dict[str, Any]:
        self.looks += 1
        script = self.scripts[task_id]
        state = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(state, Exception):
            raise state
        return {"id": task_id, "state": state}

    def tasks(self, **query: int) -> list[dict[str, Any]]:
        return [self.task(task_id) for task_id in self.scripts] if self.listed else []


class Time:
    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def follower(control: ScriptedControl, time: Time) -> Follower:
    return Follower(control, clock=lambda: time.now, sleep=time.sleep)  # type: ignore[arg-type]  # a scripted double


def away() -> QsubmitError:
    return QsubmitError(AWAY, code="unavailable")


def test_every_state_is_seen_until_the_last() -> None:
    seen: list[str] = []
    control = ScriptedControl(a=["QUEUED", "RUNNING", "COMPLETED"])
    last = follower(control, Time()).follow("a", lambda task: seen.append(task["state"]))
    assert last["state"] == "COMPLETED"
    assert seen == ["QUEUED", "RUNNING", "COMPLETED"]


def test_it_looks_ever_more_slowly() -> None:
    time = Time()
    follower(ScriptedControl(a=["RUNNING"] * 30 + ["FAILED"]), time).follow("a", lambda task: None)
    assert time.pauses == sorted(time.pauses)
    assert time.pauses[0] == pytest.approx(0.01)
    assert time.pauses[-1] == pytest.approx(0.5)


def test_a_gateway_that_comes_back_is_waited_for() -> None:
    control = ScriptedControl(a=["RUNNING", *[away()] * 20, "COMPLETED"])
    assert follower(control, Time()).follow("a", lambda task: None)["state"] == "COMPLETED"


def test_patience_ends() -> None:
    time = Time()
    with pytest.raises(QsubmitError, match="does not answer"):
        follower(ScriptedControl(a=["RUNNING", away()]), time).follow("a", lambda task: None)
    assert PATIENCE_SECONDS < time.now < PATIENCE_SECONDS + 2


def test_a_refusal_is_not_waited_out() -> None:
    time = Time()
    with pytest.raises(QsubmitError, match="revoked"):
        follower(ScriptedControl(a=[QsubmitError("revoked", code="lease-revoked")]), time).follow(
            "a", lambda task: None
        )
    assert time.pauses == []


@pytest.mark.parametrize("listed", [True, False], ids=["in-the-list", "beyond-the-list"])
def test_each_task_of_a_batch_ends_once(listed: bool) -> None:
    ended: list[tuple[str, str]] = []
    ticks: list[int] = []
    control = ScriptedControl(a=["RUNNING", "COMPLETED"], b=["FAILED"], c=["QUEUED", "RUNNING", "CANCELLED"])
    control.listed = listed
    note: Callable[[Any], None] = lambda task: ended.append((task["id"], task["state"]))  # noqa: E731  # a one-line double
    follower(control, Time()).follow_all(["a", "b", "c"], note, lambda: ticks.append(len(ended)))
    assert sorted(ended) == [("a", "COMPLETED"), ("b", "FAILED"), ("c", "CANCELLED")]
    assert ticks == [1, 2, 3]

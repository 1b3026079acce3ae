"""The life cycle of a task: which steps exist, and that nothing leaves an end."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from jupyter_qsec.domain.errors import ConflictError
from jupyter_qsec.domain.task import TRANSITIONS, TaskState
from tests.unit.application.test_outcomes import task_of

ALLOWED = {
    ("CREATED", "QUEUED"),
    ("CREATED", "CANCELLED"),
    ("CREATED", "FAILED"),
    ("QUEUED", "RUNNING"),
    ("QUEUED", "CANCELLED"),
    ("QUEUED", "FAILED"),
    ("RUNNING", "COMPLETED"),
    ("RUNNING", "FAILED"),
    ("RUNNING", "CANCELLING"),
    ("RUNNING", "QUEUED"),
    ("CANCELLING", "CANCELLED"),
    ("CANCELLING", "COMPLETED"),
    ("CANCELLING", "FAILED"),
}


@pytest.mark.parametrize("target", TaskState)
@pytest.mark.parametrize("source", TaskState)
def test_every_step_is_allowed_or_refused_as_listed(source: TaskState, target: TaskState) -> None:
    task = task_of(state=source)
    if (source, target) in ALLOWED:
        moved = task.moved(target, failure_reason="x")
        assert (moved.state, moved.revision, moved.failure_reason) == (target, task.revision + 1, "x")
    else:
        with pytest.raises(ConflictError, match=f"{source} and cannot become {target}"):
            task.moved(target)


def test_ends_are_ends() -> None:
    assert {state for state in TaskState if state.terminal} == {"COMPLETED", "FAILED", "CANCELLED"}
    assert all(not TRANSITIONS[state] for state in TaskState if state.terminal)


@pytest.mark.parametrize(("prefix", "directory"), [("tasks", "tasks/{id}"), ("a/b", "a/b/{id}"), ("", "{id}")])
def test_the_output_directory_is_prefix_and_id(prefix: str, directory: str) -> None:
    task = task_of(output_prefix=prefix)
    assert task.output_directory == directory.format(id=task.id)


def test_the_arn_is_of_the_tenants_account() -> None:
    task = task_of()
    assert task.arn == f"arn:aws:braket:us-east-1:000000000111:quantum-task/{task.id}"


class TaskMachine(RuleBasedStateMachine):
    """Whatever is tried in whatever order, a task ends at most once and its revision counts its steps."""

    def __init__(self) -> None:
        super().__init__()
        self.history = [task_of(state=TaskState.CREATED)]

    @rule(state=st.sampled_from(list(TaskState)))
    def try_a_step(self, state: TaskState) -> None:
        task = self.history[-1]
        try:
            self.history.append(task.moved(state))
        except ConflictError:
            assert (task.state, state) not in ALLOWED

    @precondition(lambda self: self.history[-1].state.terminal)
    @rule(state=st.sampled_from(list(TaskState)))
    def nothing_leaves_an_end(self, state: TaskState) -> None:
        with pytest.raises(ConflictError):
            self.history[-1].moved(state)

    @invariant()
    def revisions_count_steps(self) -> None:
        assert [task.revision for task in self.history] == list(range(len(self.history)))
        assert all((a.state, b.state) in ALLOWED for a, b in pairwise(self.history))
        assert sum(task.state.terminal for task in self.history) <= 1


TaskMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestTaskLife = TaskMachine.TestCase

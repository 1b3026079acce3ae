"""What is believed of a result that an earlier process left, and what an ended task is charged."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jupyter_qsec.application import outcomes
from jupyter_qsec.domain.quota import Metric
from jupyter_qsec.domain.task import QuantumTask, TaskState
from tests.fakes.executor import results_document
from tests.fakes.world import SV1

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def task_of(**changes: Any) -> QuantumTask:
    task = QuantumTask(
        id="11111111-2222-4333-8444-555555555555",
        tenant="alpha",
        project="first",
        principal="os:ada",
        lease_id="0" * 32,
        lane="tutorial/sandbox/simulator",
        region="us-east-1",
        account="000000000111",
        device_arn=SV1,
        shots=100,
        qubits=2,
        action_digest="a" * 64,
        request_digest="b" * 64,
        client_token="token",
        output_bucket="amazon-braket-us-east-1-000000000111",
        output_prefix="tasks",
        created_at=NOW,
        state=TaskState.RUNNING,
        started_at=NOW,
    )
    return replace(task, **changes)


def test_a_whole_result_of_this_task_is_taken_up() -> None:
    found = outcomes.complete_result(task_of(), results_document(task_of(), duration_ms=42))
    assert found is not None and found.duration_ms == 42


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"taskMetadata": null}',
        b'{"taskMetadata": {}}',
        b'{"taskMetadata": {"id": "arn:aws:braket:us-east-1:000000000111:quantum-task/other"}}',
        results_document(task_of())[:-1],
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_anything_less_is_not(content: bytes) -> None:
    assert outcomes.complete_result(task_of(), content) is None


def test_odd_metadata_does_not_break_recovery() -> None:
    document = json.loads(results_document(task_of())) | {"additionalMetadata": []}
    assert outcomes.complete_result(task_of(), json.dumps(document).encode()) is None


def charged(task: QuantumTask) -> dict[Metric, int]:
    return {charge.metric: charge.amount for charge in outcomes.used(task) if charge.scope == "tenant:alpha"}


def test_a_completed_task_pays_for_itself_its_shots_and_its_time() -> None:
    task = outcomes.completed(task_of(), NOW, digest="c" * 64, duration_ms=7, cost=task_of().estimate_usd)
    assert charged(task) == {Metric.TASKS: 1, Metric.SHOTS: 100, Metric.SIMULATOR_MS: 7}


def test_a_failed_task_pays_for_itself_and_its_time_but_no_shots() -> None:
    task = outcomes.failed(task_of(), NOW + timedelta(seconds=2), "It broke.")
    assert charged(task) == {Metric.TASKS: 1, Metric.SHOTS: 0, Metric.SIMULATOR_MS: 2000}


def test_a_task_that_never_ran_pays_nothing() -> None:
    task = outcomes.cancelled(task_of(state=TaskState.QUEUED, started_at=None), NOW)
    assert charged(task) == {}


def test_a_clock_that_jumped_back_charges_no_negative_time() -> None:
    task = outcomes.failed(task_of(), NOW - timedelta(hours=1), "It broke.")
    assert task.duration_ms == 0

"""The load's checks can fail, and the program works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest

from benchmarks.load import checks
from benchmarks.load.ledger import Ledger, Submission
from benchmarks.load.processes import Sample, growth
from benchmarks.load.stored import Stored, StoredTask
from tests.contract.postgres import PostgresServer
from tests.hub.realhub import ROOT

pytestmark = pytest.mark.xdist_group("processes")

DAY = "2026-03-01"
SCOPES = ("tenant:one", "project:one/load", "principal:one/os:ada")


def arn(number: int) -> str:
    return f"arn:aws:braket:us-east-1:100000000001:quantum-task/{number}"


def stored_task(number: int) -> StoredTask:
    return StoredTask(
        arn(number), "one", "load", "os:ada", f"token-{number}", "COMPLETED", 100, 4, f"digest-{number}", DAY, True
    )


def honest(count: int = 3) -> tuple[Ledger, Stored]:
    """A run without a flaw."""
    submissions = [
        Submission(f"token-{number}", "one", 0.0, 0.0, 0.1, 201, 1, arn(number), "COMPLETED", digest=f"digest-{number}")
        for number in range(count)
    ]
    kinds = ("task.submitted", "task.started", "task.completed")
    stored = Stored([stored_task(number) for number in range(count)])
    stored.events = Counter((kind, arn(number)) for kind in kinds for number in range(count))
    amounts = {"tasks": count, "shots": 100 * count, "simulator-ms": 4 * count}
    stored.counters = {(scope, metric, DAY): amount for scope in SCOPES for metric, amount in amounts.items()}
    return Ledger(submissions), stored


def test_an_honest_run_passes_every_check() -> None:
    ledger, stored = honest()
    assert checks.lost(ledger, stored) == []
    assert checks.doubled(ledger, stored) == []
    assert checks.wrong_results(ledger, stored) == []
    assert checks.wrong_counters(stored) == []
    assert checks.overspent(ledger, stored, {"one": 3}) == []


def test_an_accepted_task_that_is_not_stored_is_lost() -> None:
    ledger, stored = honest()
    del stored.tasks[1]
    assert checks.lost(ledger, stored) == [f"{arn(1)} was accepted and is not stored"]


def test_a_task_that_never_ended_is_lost() -> None:
    ledger, stored = honest()
    stored.tasks[0] = replace(stored.tasks[0], state="RUNNING")
    ledger.submissions[0].digest, ledger.submissions[0].state = "", "RUNNING"
    stored.queued = 1
    assert [text.removeprefix(arn(0)) for text in checks.lost(ledger, stored)] == [
        " is RUNNING",
        ": its client got no result (RUNNING)",
        "1 tasks are in the queue still",
    ]


def test_a_second_task_of_a_client_token_is_doubled() -> None:
    ledger, stored = honest()
    stored.tasks.append(replace(stored_task(7), client_token="token-0"))
    found = checks.doubled(ledger, stored)
    assert "one has 2 tasks of client token token-0" in found


def test_a_task_that_ended_twice_or_was_given_twice_is_doubled() -> None:
    ledger, stored = honest()
    stored.events["task.completed", arn(2)] += 1
    ledger.submissions[1].arn = arn(0)
    assert set(checks.doubled(ledger, stored)) == {
        f"{arn(2)} has 1 records of its submission and 2 of its end",
        f"{arn(0)} was given to 2 submissions",
    }


def test_a_task_that_nobody_asked_for_is_found_unless_a_cell_failed() -> None:
    ledger, stored = honest(3)
    ledger.submissions.pop()
    assert checks.doubled(ledger, stored) == [f"{arn(2)} was asked for by nobody"]
    ledger.kernel_arns.append(arn(2))
    assert checks.doubled(ledger, stored) == []
    ledger.kernel_arns.clear()
    ledger.kernel_problems.append("a cell was interrupted")
    assert checks.doubled(ledger, stored) == []


def test_other_results_than_the_recorded_ones_are_found() -> None:
    ledger, stored = honest()
    ledger.submissions[0].digest = "another"
    assert len(checks.wrong_results(ledger, stored)) == 1


def test_counters_must_be_the_sum_of_the_tasks() -> None:
    _, stored = honest()
    stored.counters["tenant:one", "shots", DAY] += 100
    stored.unsettled = 1
    assert checks.wrong_counters(stored) == [
        f"tenant:one shots {DAY} says 400, its tasks are 300",
        "1 reservations were never settled",
    ]


def test_one_task_beyond_the_limit_is_overspent() -> None:
    ledger, stored = honest(3)
    assert checks.overspent(ledger, stored, {"one": 2}) == [
        "one has 3 tasks and a counter of 3; its limit is 2",
        "3 submissions of one were accepted; its limit is 2",
    ]


def test_a_refusal_below_the_limit_is_found_too() -> None:
    ledger, stored = honest(3)
    ledger.submissions.append(Submission("token-9", "one", 0.0, status=402))
    assert checks.overspent(ledger, stored, {"one": 3}) == []
    assert checks.overspent(ledger, stored, {"one": 4}) == ["one was refused below its limit of 4"]
    assert checks.overspent(ledger, stored, {}) == ["one was refused without a limit"]


def test_growth_is_what_comes_after_the_warm_up() -> None:
    steady = [Sample(float(second), 100.0 + min(second, 20) * 2, 30) for second in range(60)]
    leaking = [Sample(float(second), 100.0 + second / 10, 30 + second // 10) for second in range(60)]
    young = [Sample(float(second), 100.0, 30) for second in range(5)]
    found = {process.pid: process for process in growth({1: steady, 2: leaking, 3: young}, 20.0, 10.0)}
    assert found.keys() == {1, 2}
    assert found[1].megabytes_per_minute == pytest.approx(0.0, abs=1e-6)
    assert found[2].megabytes_per_minute == pytest.approx(6.0)
    assert found[2].descriptors == (32, 35)


def test_growth_does_not_count_what_a_fault_brings_about() -> None:
    moved = [Sample(float(second), 100.0 + min(second, 70), 30) for second in range(120)]
    assert growth({1: moved}, 20.0, 10.0)[0].megabytes_per_minute > 1
    assert growth({1: moved}, 20.0, 10.0, since=50.0)[0].megabytes_per_minute == pytest.approx(0.0, abs=1e-6)
    assert growth({1: moved}, 20.0, 10.0, since=95.0) == []


def test_a_small_load_with_both_faults(postgres_server: PostgresServer) -> None:
    """Only that the program works and finds no promise broken: on a busy machine the times are anybody's guess."""
    code = (
        "import json; from benchmarks.bench_load import Options, rows; "
        "print(json.dumps([[row.name, row.value, row.peer, row.target] for row in "
        "rows(Options(servers=0, clients=8, seconds=4.0, rate=6.0))]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        timeout=150,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    table = {name: (value, peer) for name, value, peer, target in json.loads(done.stdout) if target == "none"}
    assert len(table) == 8
    assert {name: peer for name, (value, peer) in table.items() if value} == {}, done.stderr
    accepted = int(table["tasks lost"][1].split()[0])
    verified = int(table["problems of the audit log"][1].split()[0])
    assert accepted > 5
    assert verified > 3 * accepted
    assert ", 0 refused" not in table["overspent limits"][1]

"""Holds the clients' books against the database. Pure: each check gives what it found wrong, one text each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from benchmarks.load.ledger import Ledger
from benchmarks.load.stored import CounterKey, Stored, StoredTask

_ENDINGS = ("task.completed", "task.failed", "task.cancelled")


def lost(ledger: Ledger, stored: Stored) -> list[str]:
    """Tasks that were accepted and are not there, have not ended well, or whose results nobody could read."""
    tasks = {task.arn: task for task in stored.tasks}
    found = [f"{arn} was accepted and is not stored" for arn in _told(ledger) if arn not in tasks]
    found += [f"{task.arn} is {task.state}" for task in stored.tasks if task.state != "COMPLETED"]
    for submission in ledger.accepted():
        if not submission.digest:
            found.append(f"{submission.arn}: its client got no result ({submission.problem or submission.state})")
    if stored.queued:
        found.append(f"{stored.queued} tasks are in the queue still")
    return found


def doubled(ledger: Ledger, stored: Stored) -> list[str]:
    """Tasks that are there twice, were never asked for, or ended more than once."""
    found = []
    by_token = Counter((task.tenant, task.client_token) for task in stored.tasks)
    found += [
        f"{tenant} has {count} tasks of client token {token}"
        for (tenant, token), count in by_token.items()
        if count > 1
    ]
    arns = Counter(task.arn for task in stored.tasks)
    found += [f"{arn} is stored {count} times" for arn, count in arns.items() if count > 1]
    told = Counter(_told(ledger))
    found += [f"{arn} was given to {count} submissions" for arn, count in told.items() if count > 1]
    sent = {(submission.tenant, submission.token) for submission in ledger.submissions}
    strangers = [task for task in stored.tasks if (task.tenant, task.client_token) not in sent and task.arn not in told]
    # A cell that raised may have submitted a task all the same: so many may be there without having been told of.
    excess = len(strangers) - len(ledger.kernel_problems)
    found += [f"{task.arn} was asked for by nobody" for task in strangers[: max(0, excess)]]
    for task in stored.tasks:
        submitted = stored.events["task.submitted", task.arn]
        ended = sum(stored.events[kind, task.arn] for kind in _ENDINGS)
        if (submitted, ended) != (1, 1):
            found.append(f"{task.arn} has {submitted} records of its submission and {ended} of its end")
    return found


def wrong_results(ledger: Ledger, stored: Stored) -> list[str]:
    """Results that are not those that were recorded."""
    digests = {task.arn: task.result_digest for task in stored.tasks}
    return [
        f"{submission.arn}: its client read {submission.digest[:12]}, recorded is {digests[submission.arn][:12]}"
        for submission in ledger.accepted()
        if submission.digest and digests.get(submission.arn, submission.digest) != submission.digest
    ]


def wrong_counters(stored: Stored) -> list[str]:
    """Counters that are not the sum over the tasks."""
    expected = _used(stored.tasks)
    found = [
        f"{' '.join(key)} says {stored.counters.get(key, 0)}, its tasks are {expected.get(key, 0)}"
        for key in sorted(expected.keys() | stored.counters.keys())
        if stored.counters.get(key, 0) != expected.get(key, 0)
    ]
    if stored.unsettled:
        found.append(f"{stored.unsettled} reservations were never settled")
    return found


def overspent(ledger: Ledger, stored: Stored, limits: Mapping[str, int]) -> list[str]:
    """Tenants with more tasks than their limit (`limits`: tasks a day), by the tasks, the counter or the clients. One
    that refused before its limit was reached is as wrong."""
    found = []
    for tenant, limit in limits.items():
        days = sorted({task.day for task in stored.tasks if task.tenant == tenant})
        for day in days:
            there = sum(task.tenant == tenant and task.day == day for task in stored.tasks)
            counted = stored.counters.get((f"tenant:{tenant}", "tasks", day), 0)
            if max(there, counted) > limit:
                found.append(f"{tenant} has {there} tasks and a counter of {counted}; its limit is {limit}")
        accepted = sum(submission.tenant == tenant for submission in ledger.accepted())
        if accepted > limit * max(1, len(days)):
            found.append(f"{accepted} submissions of {tenant} were accepted; its limit is {limit}")
        refused = any(s.refused for s in ledger.submissions if s.tenant == tenant)
        if refused and not any(sum(t.tenant == tenant and t.day == day for t in stored.tasks) >= limit for day in days):
            found.append(f"{tenant} was refused below its limit of {limit}")
    refused_elsewhere = {s.tenant for s in ledger.submissions if s.refused} - limits.keys()
    return found + [f"{tenant} was refused without a limit" for tenant in sorted(refused_elsewhere)]


def _told(ledger: Ledger) -> Sequence[str]:
    """The tasks that clients and kernels were told of."""
    return [submission.arn for submission in ledger.accepted()] + ledger.kernel_arns


def _used(tasks: Sequence[StoredTask]) -> dict[CounterKey, int]:
    """What ended tasks are charged: nothing that never ran; shots of completed ones only."""
    used: Counter[CounterKey] = Counter()
    for task in tasks:
        if not task.started:
            continue
        scopes = f"tenant:{task.tenant}", f"project:{task.tenant}/{task.project}"
        amounts = {
            "tasks": 1,
            "shots": task.shots if task.state == "COMPLETED" else 0,
            "simulator-ms": task.duration_ms,
        }
        for scope in (*scopes, f"principal:{task.tenant}/{task.principal}"):
            for metric, amount in amounts.items():
                used[scope, metric, task.day] += amount
    return dict(used)

"""What the database says when the run is over, read with the driver alone."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pg8000.native

CounterKey = tuple[str, str, str]
"""Scope, metric, window."""


@dataclass(frozen=True)
class StoredTask:
    arn: str
    tenant: str
    project: str
    principal: str
    client_token: str
    state: str
    shots: int
    duration_ms: int
    result_digest: str
    day: str
    started: bool


@dataclass
class Stored:
    tasks: list[StoredTask] = field(default_factory=list)
    counters: dict[CounterKey, int] = field(default_factory=dict)
    events: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How many audit records there are of each kind and subject."""
    queued: int = 0
    """Rows of the shared queue: tasks that have not ended."""
    unsettled: int = 0
    """Reservations that nothing replaced."""


def query(url: str, sql: str) -> list[Any]:
    """The rows of one query at a server that listens on a Unix socket (`postgresql://user@/name?host=/folder`)."""
    folder, name = url.partition("?host=")[2], url.partition("@/")[2].partition("?")[0]
    user = url.partition("//")[2].partition("@")[0]
    with pg8000.native.Connection(
        user, unix_sock=f"{folder}/.s.PGSQL.5432", database=name, ssl_context=False
    ) as connection:
        return list(connection.run(sql) or ())


_TASKS = """
SELECT 'arn:aws:braket:' || region || ':' || account || ':quantum-task/' || id, tenant, project, principal,
       coalesce(client_token, ''), state, shots, coalesce(duration_ms, 0), result_digest, created_at, started_at
FROM tasks
"""


def read_stored(url: str) -> Stored:
    stored = Stored()
    for *texts, created_at, started_at in query(url, _TASKS):
        day = datetime.fromtimestamp(created_at // 1_000_000, UTC).strftime("%Y-%m-%d")
        stored.tasks.append(StoredTask(*[*texts, day, started_at is not None]))
    for scope, metric, window, used in query(url, 'SELECT scope, metric, "window", used FROM quota_counters'):
        stored.counters[scope, metric, window] = used
    for (leaf,) in query(url, "SELECT leaf FROM audit_records ORDER BY idx"):
        event = json.loads(leaf)
        stored.events[event["kind"], event.get("subject", "")] += 1
    stored.queued = query(url, "SELECT count(*) FROM task_queue")[0][0]
    stored.unsettled = query(url, "SELECT count(*) FROM reservations WHERE settled = 0")[0][0]
    return stored

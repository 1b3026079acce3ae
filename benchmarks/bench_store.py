"""Durable submissions through the store (task, payload, nine quota counters, reservation and audit record each), beside
raw commits of a single row with the same SQLite settings."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.table import Row
from jupyter_qsec.adapters.clock import SystemClock
from jupyter_qsec.adapters.keys import NoteSigner
from jupyter_qsec.adapters.store import Database, PostgresDatabase, SqliteDatabase, SqlStore
from jupyter_qsec.application.ports import Submitted
from jupyter_qsec.domain.audit import AuditEvent
from jupyter_qsec.domain.quota import Charge, Metric
from jupyter_qsec.domain.task import QuantumTask, TaskPayload
from tests.contract.postgres import PostgresServer, binaries

SUBMISSIONS, CONCURRENCY, COMMITS = 4_000, 64, 1_000
PAYLOAD = TaskPayload(action="x" * 600)
SCOPES = ("tenant:sandbox", "project:sandbox/playground", "principal:sandbox/os:ada")
BUSY_SECONDS = 0.0005
"""What the rest of a submission (signature, policy, wire) keeps the event loop busy, roughly."""


def rows() -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="qsec-store-") as name:
        folder = Path(name)
        for part in ("idle", "busy"):
            (folder / part).mkdir(mode=0o700)
        raw = _raw(folder / "raw.db")
        idle = asyncio.run(_submissions(SqliteDatabase(folder / "idle" / "state.db"), folder / "idle", lambda: None))
        busy = asyncio.run(_submissions(SqliteDatabase(folder / "busy" / "state.db"), folder / "busy", _spin))
        server = _on_postgres(folder)
        again = _raw(folder / "again.db")
    peer = (raw + again) / 2
    label = f"single-row commits {peer:,.0f} /s"
    return [
        Row(f"store: submissions, {CONCURRENCY} at once", idle[0], "/s", label, idle[0] / peer),
        Row("store: submission p50", idle[1], "ms"),
        Row("store: submission p99", idle[2], "ms", "", None, "60 ms or less", idle[2] <= 60),
        Row(
            "store: submissions beside a busy event loop",
            busy[0],
            "/s",
            label,
            busy[0] / peer,
            "500 /s or more",
            busy[0] >= 500,
        ),
        Row(
            "store: submission p99 beside a busy event loop", busy[2], "ms", f"p50 {busy[1]:.1f} ms", busy[2] / busy[1]
        ),
        *[
            Row("store: submissions on PostgreSQL", rate, "/s", f"SQLite {idle[0]:,.0f} /s", rate / idle[0])
            for rate in server
        ],
    ]


def _on_postgres(folder: Path) -> list[float]:
    """Submissions a second on a server of one's own that waits for the disk; none where there is no PostgreSQL."""
    programs = binaries()
    if programs is None:
        return []
    own = folder / "server"
    own.mkdir(mode=0o700)
    server = PostgresServer(programs, {"fsync": "on"})
    try:
        server.start()
        return [asyncio.run(_submissions(PostgresDatabase(server.url("postgres")), own, lambda: None))[0]]
    finally:
        server.delete()


def _raw(path: Path) -> float:
    """Commits a second of one row each."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, value TEXT)")
        started = time.perf_counter()
        for number in range(COMMITS):
            connection.execute("INSERT INTO t VALUES (?, ?)", (number, PAYLOAD.action))
        return COMMITS / (time.perf_counter() - started)


async def _submissions(database: Database, folder: Path, other_work: Callable[[], None]) -> tuple[float, float, float]:
    """Submissions a second; p50 and p99 in milliseconds."""
    store = SqlStore(
        database,
        signer=NoteSigner(bytes(32)),
        clock=SystemClock(),
        checkpoint_dir=folder / "checkpoints",
    )
    await store.open()
    latencies: list[float] = []
    numbers = iter(range(SUBMISSIONS))

    async def client() -> None:
        for number in numbers:
            started = time.perf_counter()
            other_work()
            outcome = await store.submit(task(number), PAYLOAD, charges(), events(number))
            latencies.append(time.perf_counter() - started)
            assert isinstance(outcome, Submitted)

    started = time.perf_counter()
    await asyncio.gather(*[client() for _ in range(CONCURRENCY)])
    seconds = time.perf_counter() - started
    assert await store.audit_size() == SUBMISSIONS
    await store.close()
    latencies.sort()
    return (
        SUBMISSIONS / seconds,
        1000 * latencies[len(latencies) // 2],
        1000 * latencies[len(latencies) * 99 // 100],
    )


def _spin() -> None:
    until = time.perf_counter() + BUSY_SECONDS
    while time.perf_counter() < until:
        pass


def task(number: int) -> QuantumTask:
    return QuantumTask(
        id=f"00000000-0000-4000-8000-{number:012d}",
        tenant="sandbox",
        project="playground",
        principal="os:ada",
        lease_id="0" * 32,
        lane="tutorial/sandbox/simulator",
        region="us-east-1",
        account="100000000001",
        device_arn="arn:aws:braket:::device/quantum-simulator/amazon/sv1",
        shots=1000,
        qubits=2,
        action_digest="a" * 64,
        request_digest="b" * 64,
        client_token=f"token-{number}",
        output_bucket="amazon-braket-us-east-1-100000000001",
        output_prefix="tasks",
        created_at=datetime.now(UTC),
        tags={"qsec:tenant": "sandbox", "qsec:principal": "os:ada"},
    )


def charges() -> list[Charge]:
    return [Charge(scope, metric, "2026-03-01", 1, 10**9) for scope in SCOPES for metric in Metric]


def events(number: int) -> list[AuditEvent]:
    return [
        AuditEvent(
            kind="task.submitted",
            at=datetime.now(UTC),
            principal="os:ada",
            tenant="sandbox",
            project="playground",
            lease_id="0" * 32,
            subject=f"arn:aws:braket:us-east-1:100000000001:quantum-task/{number}",
            outcome="allowed",
            rules=("developers-run-on-simulators",),
            details={"shots": 1000, "qubits": 2, "device": "sv1", "action_digest": "a" * 64},
        )
    ]

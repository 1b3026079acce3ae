"""Leases, tasks, charges and events as a test needs them, and what a store recorded."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from jupyter_qsec.application.ports import Finding, Store
from jupyter_qsec.domain.audit import AuditEvent
from jupyter_qsec.domain.lease import Lease
from jupyter_qsec.domain.quota import Charge, Metric
from jupyter_qsec.domain.task import QuantumTask, TaskPayload

NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
DAY = "2026-03-01"
TENANT = "tenant:sandbox"
PAYLOAD = TaskPayload(action='{"source":"OPENQASM 3;"}', device_parameters="{}")


def lease(identity: str = "l1", **changes: Any) -> Lease:
    made = Lease(
        id=identity,
        principal="os:ada",
        tenant="sandbox",
        project="playground",
        issued_at=NOON,
        expires_at=NOON + timedelta(minutes=5),
        max_expires_at=NOON + timedelta(hours=12),
        ttl=timedelta(minutes=5),
        label="kernel python3 · first-task.ipynb",
        holder="kernel:1",
        confinement="confined",
        token_digest="d" * 64,
        claims={"mfa": "true", "zone": "lab"},
    )
    return replace(made, **changes)


def task(identity: str = "t1", **changes: Any) -> QuantumTask:
    made = QuantumTask(
        id=identity,
        tenant="sandbox",
        project="playground",
        principal="os:ada",
        lease_id="l1",
        lane="tutorial/sandbox/simulator",
        region="us-east-1",
        account="100000000001",
        device_arn="arn:aws:braket:::device/quantum-simulator/amazon/sv1",
        shots=1000,
        qubits=2,
        action_digest="a" * 64,
        request_digest="r" * 64,
        client_token=f"token-{identity}",
        output_bucket="amazon-braket-us-east-1-100000000001",
        output_prefix="tasks",
        created_at=NOON,
        tags={"team": "ünïcode", "qsec:tenant": "sandbox"},
        estimate_usd=Decimal("0.0375"),
        user_agent="BraketSdk",
    )
    return replace(made, **changes)


def charge(amount: int = 1, limit: int | None = 10, metric: Metric = Metric.TASKS, scope: str = TENANT) -> Charge:
    return Charge(scope, metric, DAY, amount, limit)


def event(kind: str = "test.happened", **changes: Any) -> AuditEvent:
    return replace(AuditEvent(kind=kind, at=NOON, principal="os:ada", tenant="sandbox"), **changes)


def finding(identity: str = "f1", **changes: Any) -> Finding:
    made = Finding(
        id=identity,
        found_at=NOON,
        tenant="sandbox",
        lease_id="l1",
        path="first-task.ipynb",
        cell="3",
        place="output",
        line=1,
        kind="aws-access-key",
        preview="AKIA…",
        fingerprint="f" * 32,
        action="redacted",
    )
    return replace(made, **changes)


async def kinds(store: Store) -> list[str]:
    return [record.event.kind for record in await store.audit_records(0, 1000)]

"""A log with 20 records, and the audit commands run on it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from jupyter_qsec.adapters.keys import NoteSigner
from jupyter_qsec.cli.audit import audit
from jupyter_qsec.domain.audit import AuditEvent
from jupyter_qsec.gateway import auditexport
from tests.contract.conftest import sqlite_store
from tests.contract.sqlitefiles import rewrite, sql

SIGNER = NoteSigner(b"command line key" * 2, instance="cli")
NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
RECORDS, CHECKPOINTS = 20, (5, 12)


def events(start: int, end: int) -> list[AuditEvent]:
    return [
        AuditEvent(
            kind="task.submitted" if number % 2 else "lease.issued",
            at=NOON + timedelta(minutes=number),
            principal="os:ada",
            tenant="sandbox" if number < 15 else "research",
            subject=f"thing-{number}",
            outcome="allowed",
            details={"n": number},
        )
        for number in range(start, end)
    ]


async def fill(home: Path) -> None:
    store = sqlite_store(home, SIGNER)
    await store.open()
    done = 0
    for size in (*CHECKPOINTS, RECORDS):
        await store.record(events(done, size))
        done = size
        if size in CHECKPOINTS:
            await store.checkpoint()
    await store.close()


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(audit, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def verify(home: Path, *arguments: object) -> tuple[int, dict[str, Any]]:
    result = run("verify", "--home", home, "--format", "json", *arguments)
    return result.exit_code, json.loads(result.stdout)


def export_of(home: Path, tmp_path: Path) -> Path:
    path = tmp_path / "export.jsonl"
    with path.open("w") as file:
        assert auditexport.run(home, file) == 0
    return path


def root_of(home: Path) -> bytes:
    with sql(home) as database:
        (root,) = database.execute("SELECT root FROM audit_head").fetchone()
    return bytes(root)


def cut(home: Path, size: int) -> None:
    """Forget all records from `size` on and make the database consistent again."""
    with sql(home) as database:
        database.execute("DELETE FROM audit_records WHERE idx >= ?", (size,))
        (leaf,) = database.execute("SELECT leaf FROM audit_records WHERE idx = 0").fetchone()
    rewrite(home, 0, leaf)

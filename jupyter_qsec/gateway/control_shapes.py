"""Domain objects as the control API writes them. Fields may be added, never renamed or removed."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from jupyter_qsec.application.ports import Device, Finding
from jupyter_qsec.domain.audit import AuditRecord, Checkpoint
from jupyter_qsec.domain.lease import Lease
from jupyter_qsec.domain.principal import Principal
from jupyter_qsec.domain.task import QuantumTask
from jupyter_qsec.domain.tenant import Tenant
from jupyter_qsec.domain.times import rfc3339

if TYPE_CHECKING:
    from jupyter_qsec.bootstrap import Gateway


def moment(value: datetime | None) -> str | None:
    """ISO 8601 in UTC with `Z`, to the millisecond."""
    return None if value is None else rfc3339(value)


def lease_shape(lease: Lease, now: datetime) -> dict[str, Any]:
    return {
        "id": lease.id,
        "principal": lease.principal,
        "tenant": lease.tenant,
        "project": lease.project,
        "label": lease.label,
        "holder": lease.holder,
        "parent": lease.parent,
        "state": str(lease.state(now)),
        "issued_at": moment(lease.issued_at),
        "expires_at": moment(lease.expires_at),
        "max_expires_at": moment(lease.max_expires_at),
        "ttl_seconds": int(lease.ttl.total_seconds()),
        "revoked_at": moment(lease.revoked_at),
        "revoked_because": lease.revoked_because,
        "confinement": lease.confinement,
        "claims": dict(lease.claims),
    }


async def task_shape(gateway: Gateway, task: QuantumTask) -> dict[str, Any]:
    device = gateway.devices.device(task.device_arn)
    return {
        "id": task.id,
        "arn": task.arn,
        "tenant": task.tenant,
        "project": task.project,
        "principal": task.principal,
        "lease_id": task.lease_id,
        "state": str(task.state),
        "device_arn": task.device_arn,
        "device_name": device.name if device else task.device_arn.rpartition("/")[2],
        "shots": task.shots,
        "qubits": task.qubits,
        "created_at": moment(task.created_at),
        "queued_at": moment(task.queued_at),
        "started_at": moment(task.started_at),
        "ended_at": moment(task.ended_at),
        "estimate_usd": str(task.estimate_usd),
        "cost_usd": None if task.cost_usd is None else str(task.cost_usd),
        "duration_ms": task.duration_ms,
        "failure_reason": task.failure_reason,
        "tags": dict(task.tags),
        "waiting": [{"code": reason.code, "text": reason.text} for reason in await gateway.tasks.waiting(task)],
        "output_s3_uri": f"s3://{task.output_bucket}/{task.output_directory}",
    }


def tenant_shape(tenant: Tenant) -> dict[str, Any]:
    return {
        "id": tenant.id,
        "name": tenant.name,
        "account": tenant.account,
        "projects": [{"id": project.id, "name": project.name} for project in tenant.projects],
    }


def principal_shape(principal: Principal) -> dict[str, Any]:
    return {"id": principal.id, "name": principal.name, "roles": sorted(principal.roles)}


def device_shape(device: Device) -> dict[str, Any]:
    return {
        "arn": device.arn,
        "name": device.name,
        "provider": device.provider,
        "kind": str(device.kind),
        "status": device.status,
        "max_qubits": device.max_qubits,
        "max_shots": device.max_shots,
    }


def finding_shape(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.id,
        "found_at": moment(finding.found_at),
        "tenant": finding.tenant,
        "lease_id": finding.lease_id,
        "path": finding.path,
        "cell": finding.cell,
        "place": finding.place,
        "line": finding.line,
        "kind": finding.kind,
        "preview": finding.preview,
        "fingerprint": finding.fingerprint,
        "action": finding.action,
    }


def record_shape(record: AuditRecord) -> dict[str, Any]:
    return {"index": record.index, "leaf_hash": record.leaf_hash.hex(), "event": json.loads(record.leaf)}


def checkpoint_shape(checkpoint: Checkpoint) -> dict[str, Any]:
    return {"size": checkpoint.size, "root": checkpoint.root.hex(), "note": checkpoint.note}

"""Domain values to database rows and back. Everything a row holds is int, str or bytes, so no driver converts it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from jupyter_qsec.application.ports import Finding
from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.domain.lease import Lease
from jupyter_qsec.domain.quota import Charge, Metric
from jupyter_qsec.domain.rootsecret import RootSecret
from jupyter_qsec.domain.task import QuantumTask, TaskState
from jupyter_qsec.domain.tenant import Pause

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
MAX_AMOUNT = 1 << 53
"""Bound of one charge: sums of as many as could ever be stored stay within 64 bits."""

Row = dict[str, Any]
ChargeKey = tuple[str, str, str]
"""Scope, metric, window."""


def micros(moment: datetime) -> int:
    """Microseconds since 1970. `InvalidRequestError` for a time without zone."""
    if moment.tzinfo is None:
        raise InvalidRequestError("A stored time needs a zone.")
    return (moment - _EPOCH) // _MICROSECOND


def _micros_or_none(moment: datetime | None) -> int | None:
    return None if moment is None else micros(moment)


def moment(value: int) -> datetime:
    return _EPOCH + timedelta(microseconds=value)


def _moment_or_none(value: int | None) -> datetime | None:
    return None if value is None else moment(value)


def lease_row(lease: Lease) -> Row:
    return {
        "id": lease.id,
        "principal": lease.principal,
        "tenant": lease.tenant,
        "project": lease.project,
        "issued_at": micros(lease.issued_at),
        "expires_at": micros(lease.expires_at),
        "max_expires_at": micros(lease.max_expires_at),
        "ttl": lease.ttl // _MICROSECOND,
        "label": lease.label,
        "holder": lease.holder,
        "parent": lease.parent,
        "confinement": lease.confinement,
        "revoked_at": _micros_or_none(lease.revoked_at),
        "revoked_because": lease.revoked_because,
        "token_digest": lease.token_digest,
        "revision": lease.revision,
        "claims": json.dumps(dict(lease.claims), sort_keys=True, separators=(",", ":")),
    }


def lease_from(row: Mapping[str, Any]) -> Lease:
    values = dict(row)
    for name in ("issued_at", "expires_at", "max_expires_at"):
        values[name] = moment(values[name])
    values["ttl"] = timedelta(microseconds=values["ttl"])
    values["revoked_at"] = _moment_or_none(values["revoked_at"])
    values["claims"] = claims(values["claims"])
    return Lease(**values)


def claims(text: str) -> dict[str, str]:
    """Those of a lease, as they are stored."""
    found: dict[str, str] = json.loads(text)
    return found


def pause_row(pause: Pause) -> Row:
    return {
        "tenant": pause.tenant,
        "principal": pause.principal,
        "paused_at": micros(pause.at),
        "because": pause.because,
    }


def pause_from(row: Mapping[str, Any]) -> Pause:
    return Pause(row["tenant"], row["principal"], moment(row["paused_at"]), row["because"])


def root_secret_row(made: RootSecret) -> Row:
    row = {name: getattr(made, name) for name in ("name", "generation", "entry", "principal", "because", "check")}
    return row | {"created_at": micros(made.created_at), "starts_at": micros(made.starts_at)}


def root_secret_from(row: Mapping[str, Any]) -> RootSecret:
    times = {name: moment(row[name]) for name in ("created_at", "starts_at")}
    return RootSecret(**{**row, **times})


def task_row(task: QuantumTask) -> Row:
    return {
        "id": task.id,
        "tenant": task.tenant,
        "project": task.project,
        "principal": task.principal,
        "lease_id": task.lease_id,
        "lane": task.lane,
        "region": task.region,
        "account": task.account,
        "device_arn": task.device_arn,
        "shots": task.shots,
        "qubits": task.qubits,
        "action_digest": task.action_digest,
        "request_digest": task.request_digest,
        "client_token": task.client_token or None,
        "output_bucket": task.output_bucket,
        "output_prefix": task.output_prefix,
        "created_at": micros(task.created_at),
        "state": task.state.value,
        "queued_at": _micros_or_none(task.queued_at),
        "started_at": _micros_or_none(task.started_at),
        "ended_at": _micros_or_none(task.ended_at),
        "attempt": task.attempt,
        "failure_reason": task.failure_reason,
        "tags": json.dumps(dict(task.tags), separators=(",", ":")),
        "estimate_usd": str(task.estimate_usd),
        "cost_usd": None if task.cost_usd is None else str(task.cost_usd),
        "duration_ms": task.duration_ms,
        "result_digest": task.result_digest,
        "user_agent": task.user_agent,
        "revision": task.revision,
    }


def task_from(row: Mapping[str, Any]) -> QuantumTask:
    values = dict(row)
    values["created_at"] = moment(values["created_at"])
    for name in ("queued_at", "started_at", "ended_at"):
        values[name] = _moment_or_none(values[name])
    values["client_token"] = values["client_token"] or ""
    values["state"] = TaskState(values["state"])
    values["tags"] = json.loads(values["tags"])
    values["estimate_usd"] = Decimal(values["estimate_usd"])
    values["cost_usd"] = None if values["cost_usd"] is None else Decimal(values["cost_usd"])
    return QuantumTask(**values)


def queue_row(task: QuantumTask, charges: Sequence[Charge]) -> Row:
    """The task as it waits in the shared queue; what it reserved of simulator time is its cost in the fair order."""
    times = [charge.amount for charge in charges if charge.metric is Metric.SIMULATOR_MS]
    return {
        "task_id": task.id,
        "tenant": task.tenant,
        "queued_at": micros(task.queued_at or task.created_at),
        "cost": max([1, *times]),
        "claimed_by": "",
    }


def finding_row(finding: Finding) -> Row:
    names = ("id", "tenant", "lease_id", "path", "cell", "place", "line", "kind", "preview", "fingerprint", "action")
    return {"found_at": micros(finding.found_at)} | {name: getattr(finding, name) for name in names}


def finding_from(row: Mapping[str, Any]) -> Finding:
    values = dict(row)
    values["found_at"] = moment(values["found_at"])
    return Finding(**values)


def merged_charges(charges: Sequence[Charge]) -> list[Charge]:
    """At most one charge for each counter: amounts added, the smallest limit kept. `InvalidRequestError` for an amount
    or limit that is negative or beyond `MAX_AMOUNT`: a negative charge would make room for others."""
    merged: dict[ChargeKey, Charge] = {}
    for charge in charges:
        bounds = (charge.amount, charge.limit or 0)
        if not all(0 <= value <= MAX_AMOUNT for value in bounds):
            raise InvalidRequestError(f"The charge on {charge.scope} is out of range.")
        key = charge_key(charge)
        other = merged.get(key)
        merged[key] = charge if other is None else _sum(other, charge)
    return [merged[key] for key in sorted(merged)]  # one order for all: no two transactions wait for each other


def _sum(one: Charge, other: Charge) -> Charge:
    limits = [charge.limit for charge in (one, other) if charge.limit is not None]
    return Charge(*key_parts(one), one.amount + other.amount, min(limits, default=None))


def charge_key(charge: Charge) -> ChargeKey:
    return charge.scope, charge.metric.value, charge.window


def key_parts(charge: Charge) -> tuple[str, Any, str]:
    return charge.scope, charge.metric, charge.window


def charges_json(charges: Sequence[Charge]) -> str:
    return json.dumps([[*charge_key(charge), charge.amount] for charge in charges], separators=(",", ":"))


def charges_from_json(text: str) -> dict[ChargeKey, int]:
    return {(scope, metric, window): amount for scope, metric, window, amount in json.loads(text)}

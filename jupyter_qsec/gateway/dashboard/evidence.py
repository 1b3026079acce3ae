"""Findings and the audit log, with what the log's own proofs say about it now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from jupyter_qsec.application.callers import operator_access, require
from jupyter_qsec.domain import merkle
from jupyter_qsec.domain.access import Action
from jupyter_qsec.domain.audit import AuditEvent, AuditRecord, Checkpoint
from jupyter_qsec.domain.errors import InvalidRequestError, QsecError, UnavailableError
from jupyter_qsec.domain.membership import EVERY_TENANT
from jupyter_qsec.domain.rootsecret import RootSecret, RootSecretState
from jupyter_qsec.gateway.dashboard.handlers import Page
from jupyter_qsec.gateway.dashboard.visit import Visit

_FINDINGS = 200
_RECORDS = 50
_BATCH, _SEARCHED = 1000, 5000
"""Records that are looked through for one page when a filter is set."""


async def findings(visit: Visit) -> Page:
    tenant = visit.tenant_choice()
    visit.require_some(visit.sees_findings, "findings")
    names = (tenant,) if tenant else visit.principal.tenants
    found = []
    for name in names:
        page = await visit.gateway.store.findings(tenant=name, limit=_FINDINGS)
        found += [finding for finding in page if visit.may(Action.FINDING_READ, finding.tenant)]
    found.sort(key=lambda finding: (finding.found_at, finding.id), reverse=True)
    return Page(
        "findings.html",
        {
            "section": "findings",
            "rows": found[:_FINDINGS],
            "more": len(found) >= _FINDINGS,
            "filters": {"tenant": tenant},
        },
    )


@dataclass(frozen=True, slots=True)
class Verification:
    """What holds of the log at this moment."""

    at: datetime
    size: int
    checkpoint: Checkpoint | None
    """The newest published one."""
    problem: str
    """Why the log does not hold; empty when it does."""
    unknown: str
    """Why nothing can be said now."""


@dataclass(frozen=True, slots=True)
class Row:
    index: int
    event: AuditEvent
    subject: str
    """In short: of an ARN its last part."""
    details: Sequence[tuple[str, Any]]
    signed: bool
    """Whether the newest checkpoint vouches for it."""
    leaf_hash: str


@dataclass(frozen=True, slots=True)
class RootRow:
    """One generation of a root secret."""

    secret: RootSecret
    state: RootSecretState
    age: str
    due: bool
    """It should have been replaced by now."""


async def audit(visit: Visit) -> Page:
    await _permitted(visit)
    filters = {name: visit.text(name) for name in ("kind", "tenant", "principal")}
    verification = await _verify(visit)
    before = _index(visit.text("before"))
    end = verification.size if before is None else min(before, verification.size)
    records, next_before = await _search(visit, end, filters)
    changed = await _changed(visit, records, verification.checkpoint)
    if changed and not verification.problem:
        numbers = ", ".join(map(str, changed[:10]))
        verification = replace(verification, problem=f"Not what was recorded: {numbers}.")
    signed = verification.checkpoint.size if verification.checkpoint and not verification.problem else 0
    kept = {name: value for name, value in filters.items() if value}
    return Page(
        "audit.html",
        {
            "section": "audit",
            "verification": verification,
            "rows": [_row(record, record.index < signed) for record in records],
            "filters": filters,
            "paged": before is not None,
            "older": urlencode({**kept, "before": str(next_before)}) if next_before > 0 else "",
            "searched": end - next_before,
            "done": visit.done,
            "root_secrets": await _root_secrets(visit),
        },
    )


async def _root_secrets(visit: Visit) -> Sequence[RootRow]:
    """Those that are used or will be; none for people who may not know of them."""
    if not visit.may(Action.KEY_READ, EVERY_TENANT):
        return ()
    found, now = await visit.gateway.secrets.listed(visit.principal), visit.gateway.clock.now()
    rows = [RootRow(each, each.state(found, now), _days(now - each.created_at), each.is_due(now)) for each in found]
    return [row for row in rows if row.state is not RootSecretState.REPLACED]


async def sign(visit: Visit) -> str:
    """Sign and publish the head now, as the control API's `audit/checkpoint`."""
    require(visit.gateway.policy, operator_access(visit.principal, Action.AUDIT_READ, EVERY_TENANT))
    await visit.gateway.store.checkpoint()
    return "audit?done=signed"


async def _permitted(visit: Visit) -> None:
    """As at the control API: reading the log is on record itself, at most once a minute for each reader."""
    permit = require(visit.gateway.policy, operator_access(visit.principal, Action.AUDIT_READ, EVERY_TENANT))
    event = AuditEvent(
        "audit.read",
        visit.gateway.clock.now(),
        principal=visit.principal.id,
        outcome="allowed",
        rules=permit.rules,
        details={"at": "dashboard"},
    )
    await visit.gateway.recorder.noted(event, ("audit.read", visit.principal.id))


async def _verify(visit: Visit) -> Verification:
    store, now = visit.gateway.store, visit.gateway.clock.now()
    checkpoint, problem, unknown = None, "", ""
    try:
        checkpoint = await store.newest_checkpoint()
    except UnavailableError as error:
        unknown = error.message
    except QsecError as error:
        problem = error.message
    return Verification(now, await store.audit_size(), checkpoint, problem, unknown)


async def _search(visit: Visit, end: int, filters: dict[str, str]) -> tuple[list[AuditRecord], int]:
    """The newest records below `end` that fit, and below which index to go on."""
    found: list[AuditRecord] = []
    batch = _BATCH if any(filters.values()) else _RECORDS
    last = max(0, end - _SEARCHED)
    while end > last and len(found) < _RECORDS:
        start = max(last, end - batch)
        records = await visit.gateway.store.audit_records(start, end - start)
        for record in reversed(records):
            end = record.index
            if _fits(record.event, filters):
                found.append(record)
                if len(found) == _RECORDS:
                    break
        else:
            end = start
    return found, end


def _fits(event: AuditEvent, filters: dict[str, str]) -> bool:
    """A kind may be named by its beginning: `task.` or `lease`."""
    return (
        event.kind.startswith(filters["kind"])
        and filters["tenant"] in ("", event.tenant)
        and filters["principal"] in ("", event.principal)
    )


async def _changed(visit: Visit, records: Sequence[AuditRecord], checkpoint: Checkpoint | None) -> list[int]:
    """The records that are not what was recorded: their own hash, and of signed ones the way from it to the root."""
    found = []
    for record in records:
        whole = merkle.same_hash(merkle.leaf_hash(record.leaf), record.leaf_hash)
        if whole and checkpoint is not None and record.index < checkpoint.size:
            proof = await visit.gateway.store.inclusion_proof(record.index, checkpoint.size)
            whole = merkle.same_hash(proof.leaf_hash, record.leaf_hash) and proof.holds(checkpoint.root)
        if not whole:
            found.append(record.index)
    return found


def _row(record: AuditRecord, signed: bool) -> Row:
    event = record.event
    details = [(name, value) for name, value in event.details.items() if value != ""]
    details += [("rules", ", ".join(event.rules))] if event.rules else []
    details += [("lease", event.lease_id)] if event.lease_id else []
    subject = event.subject.rpartition(":")[2] if event.subject.startswith("arn:") else event.subject
    if subject != event.subject:
        details = [("subject", event.subject), *details]
    return Row(record.index, event, subject, details, signed, record.leaf_hash.hex())


def _days(span: timedelta) -> str:
    return "less than a day" if span.days < 1 else f"{span.days} day{'' if span.days == 1 else 's'}"


def _index(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise InvalidRequestError("before must be the index of a record.")
    return int(text)

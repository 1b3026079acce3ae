"""Findings, session events and the audit log over the control API."""

from __future__ import annotations

import re
import uuid

from jupyter_qsec.application.callers import access, operator_access, require
from jupyter_qsec.application.ports import Finding
from jupyter_qsec.domain.access import Action, Permit
from jupyter_qsec.domain.audit import AuditEvent
from jupyter_qsec.domain.errors import InvalidRequestError, NotFoundError
from jupyter_qsec.domain.lease import Lease
from jupyter_qsec.domain.membership import EVERY_TENANT
from jupyter_qsec.gateway.control_request import Access, Answer, Call, Endpoint, Fields
from jupyter_qsec.gateway.control_shapes import checkpoint_shape, finding_shape, record_shape

EVENT_KINDS = (
    "kernel.started",
    "kernel.unleased",
    "kernel.relay-ended",
    "cell.blocked",
    "save.redacted",
    "save.refused",
    "session.warned",
    "session.ended",
    "terminal.ended",
)
_PLACES = ("source", "output", "stream", "metadata", "attachment", "file")
_ACTIONS = ("redacted", "blocked", "warned", "refused")
_MAX_FINDINGS = 500
_SHOWN = 4
"""Characters of a secret that a preview may show."""
_FINGERPRINT = re.compile(r"[0-9a-f]{16,64}\Z")
_KIND = re.compile(r"[a-z0-9][a-z0-9-]{0,63}\Z")


async def report_findings(call: Call) -> Answer:
    entries = call.body.objects("findings", most=_MAX_FINDINGS)
    call.body.end()
    if call.caller is not None:
        call.gateway.reports.spend(call.caller.lease.id, len(entries))
    leases: dict[str, Lease | None] = {}
    findings = [await _finding(call, entry, leases) for entry in entries]
    now = call.gateway.clock.now()
    events = [
        AuditEvent(
            kind="finding.reported",
            at=now,
            principal=call.principal.id,
            tenant=finding.tenant,
            lease_id=finding.lease_id,
            subject=finding.path,
            outcome=finding.action,
            details={"kind": finding.kind, "place": finding.place, "fingerprint": finding.fingerprint},
        )
        for finding in findings
    ]
    if findings:
        await call.gateway.store.add_findings(findings, events)
    return Answer({"recorded": len(findings)}, 201)


async def _finding(call: Call, entry: Fields, leases: dict[str, Lease | None]) -> Finding:
    found_at = entry.moment("found_at")
    lease = await _lease_for(call, entry.text("lease_id", ""), leases, Action.FINDING_REPORT)
    preview = entry.text("preview", most=64)
    if len(preview.rstrip("…*.•")) > _SHOWN:
        raise InvalidRequestError(f"preview must show at most {_SHOWN} characters of a secret.")
    fingerprint, kind = entry.text("fingerprint", most=64), entry.text("kind", most=64)
    if not _FINGERPRINT.match(fingerprint):
        raise InvalidRequestError("fingerprint must be 16 to 64 hexadecimal digits.")
    if not _KIND.match(kind):
        raise InvalidRequestError("kind must be made of a-z, 0-9 and dashes.")
    finding = Finding(
        id=uuid.uuid4().hex,
        found_at=found_at,
        tenant=lease.tenant if lease else "",
        lease_id=lease.id if lease else "",
        path=entry.text("path", most=1000),
        cell=entry.text("cell", "", most=200),
        place=entry.word("place", _PLACES),
        line=entry.number("line", most=1 << 31),
        kind=kind,
        preview=preview,
        fingerprint=fingerprint,
        action=entry.word("action", _ACTIONS),
    )
    entry.end()
    return finding


async def findings(call: Call) -> Answer:
    tenant, lease = call.query.text("tenant", ""), call.query.text("lease", "")
    limit = call.query.number("limit", 200, least=1, most=1000)
    call.query.end()
    gateway = call.gateway
    if call.caller is not None:
        require(gateway.policy, access(call.caller, Action.FINDING_READ))
        if tenant not in ("", call.caller.tenant.id) or lease not in ("", call.caller.lease.id):
            return Answer({"findings": []})
        tenant, lease = call.caller.tenant.id, call.caller.lease.id
    found = await gateway.store.findings(tenant=tenant, lease_id=lease, limit=limit)
    if call.caller is None:
        seen = {t: _may(call, Action.FINDING_READ, t) for t in {finding.tenant for finding in found}}
        found = [finding for finding in found if seen[finding.tenant]]
    return Answer({"findings": [finding_shape(finding) for finding in found]})


async def report_event(call: Call) -> Answer:
    kind = call.body.word("kind", EVENT_KINDS)
    lease = await _lease_for(call, call.body.text("lease_id", ""), {}, Action.SESSION_REPORT)
    subject = call.body.text("subject", "", most=500)
    details = call.body.facts("details")
    call.body.end()
    if call.caller is not None:
        call.gateway.reports.spend(call.caller.lease.id, 1)
    event = AuditEvent(
        kind=kind,
        at=call.gateway.clock.now(),
        principal=call.principal.id,
        tenant=lease.tenant if lease else "",
        project=lease.project if lease else "",
        lease_id=lease.id if lease else "",
        subject=subject,
        outcome="reported",
        details=details,
    )
    await call.gateway.store.record([event])
    return Answer({}, 201)


async def records(call: Call) -> Answer:
    start = call.query.number("start", 0)
    limit = call.query.number("limit", 1000, least=1, most=1000)
    call.query.end()
    await _audit(call, "audit.read")
    # The size first: what is appended between the two reads is beyond it, never missing below it.
    size = await call.gateway.store.audit_size()
    found = await call.gateway.store.audit_records(start, limit)
    return Answer({"size": size, "records": [record_shape(record) for record in found if record.index < size]})


async def checkpoint(call: Call) -> Answer:
    call.body.end()
    await _audit(call)
    return Answer(checkpoint_shape(await call.gateway.store.checkpoint()))


async def proof(call: Call) -> Answer:
    index = call.query.number("index")
    size = call.query.number("size", 0)
    call.query.end()
    await _audit(call)
    head = await call.gateway.store.checkpoint()
    found = await call.gateway.store.inclusion_proof(index, size or head.size)
    return Answer(
        {
            "index": found.index,
            "size": found.size,
            "leaf_hash": found.leaf_hash.hex(),
            "path": [node.hex() for node in found.path],
            "checkpoint": checkpoint_shape(head),
        }
    )


async def consistency(call: Call) -> Answer:
    old, new = call.query.number("old"), call.query.number("new")
    call.query.end()
    await _audit(call)
    found = await call.gateway.store.consistency_proof(old, new)
    return Answer({"old_size": found.old_size, "new_size": found.new_size, "path": [node.hex() for node in found.path]})


async def _audit(call: Call, kind: str = "") -> None:
    """Permission to read the log. Reading it is itself on record, at most once a minute for each reader, so that
    reading to the end has an end."""
    permit = require(call.gateway.policy, operator_access(call.operator.principal, Action.AUDIT_READ, EVERY_TENANT))
    if kind:
        event = AuditEvent(
            kind, call.gateway.clock.now(), principal=call.principal.id, outcome="allowed", rules=permit.rules
        )
        await call.gateway.recorder.noted(event, (kind, call.principal.id))


async def _lease_for(call: Call, lease_id: str, known: dict[str, Lease | None], action: Action) -> Lease | None:
    """The lease that a report is about. Through a lease token, its own and no other."""
    if call.caller is not None:
        if lease_id not in ("", call.caller.lease.id):
            raise NotFoundError(f"Lease {lease_id[:8]} was not found.")
        require(call.gateway.policy, access(call.caller, action))
        return call.caller.lease
    if lease_id not in known:
        lease = await call.gateway.leasing.lease(call.principal, lease_id) if lease_id else None
        if lease is not None:
            require(call.gateway.policy, operator_access(call.principal, action, lease.tenant))
        known[lease_id] = lease
    return known[lease_id]


def _may(call: Call, action: Action, tenant: str) -> bool:
    return isinstance(call.gateway.policy.decide(operator_access(call.principal, action, tenant)), Permit)


ENDPOINTS = (
    Endpoint("POST", "/api/v1/findings", Access.LEASE, report_findings),
    Endpoint("GET", "/api/v1/findings", Access.LEASE, findings),
    Endpoint("POST", "/api/v1/events", Access.LEASE, report_event),
    Endpoint("GET", "/api/v1/audit/records", Access.OPERATOR, records),
    Endpoint("POST", "/api/v1/audit/checkpoint", Access.OPERATOR, checkpoint),
    Endpoint("GET", "/api/v1/audit/proof", Access.OPERATOR, proof),
    Endpoint("GET", "/api/v1/audit/consistency", Access.OPERATOR, consistency),
)

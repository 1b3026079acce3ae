"""Health, status, and the credentials that botocore fetches."""

from __future__ import annotations

import os
from pathlib import Path

from jupyter_qsec._version import __version__
from jupyter_qsec.application.callers import operator_access
from jupyter_qsec.domain.access import Action, Deny
from jupyter_qsec.domain.errors import QsecError, UnavailableError
from jupyter_qsec.gateway.control_request import Access, Answer, Call, Endpoint
from jupyter_qsec.gateway.control_shapes import moment, principal_shape, tenant_shape

_LEAST_FREE_BYTES = 4 << 20


async def health(call: Call) -> Answer:
    """Whether the gateway can record and decide now."""
    gateway = call.gateway
    decision = gateway.policy.decide(operator_access(gateway.operator, Action.DEVICE_READ, "health"))
    if isinstance(decision, Deny) and "policy-error" in decision.reasons:
        raise UnavailableError("The gateway cannot decide: its policies fail.")
    try:
        await gateway.store.audit_size()
    except QsecError as error:
        raise UnavailableError("The gateway cannot reach its database.") from error
    if not _can_write(gateway.home):
        raise UnavailableError("The gateway cannot record: its disk is full or read-only.")
    return Answer({"status": "ok"})


def _can_write(home: Path) -> bool:
    try:
        disk = os.statvfs(home)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize >= _LEAST_FREE_BYTES and os.access(home, os.W_OK)


async def credentials(call: Call) -> Answer:
    """Container credentials in botocore's form."""
    issued = await call.gateway.leasing.credentials(call.token)
    return Answer(
        {
            "AccessKeyId": issued.access_key_id,
            "SecretAccessKey": issued.secret_access_key,
            "Token": issued.session_token,
            "Expiration": issued.expires_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
    )


async def status(call: Call) -> Answer:
    """What runs here: of tenants in which one has no role, neither names nor counts. A lease sees its own alone."""
    call.query.end()
    gateway = call.gateway
    present = [call.caller.tenant] if call.caller else gateway.catalogue.tenants()
    tenants = [tenant for tenant in present if call.principal.within(tenant.id).roles]
    own = (call.caller.tenant.id,) if call.caller else call.principal.tenants
    running, waiting = (sum(counts) for counts in zip(*[await gateway.tasks.counts(name) for name in own], strict=True))
    return Answer(
        {
            "version": __version__,
            "instance": gateway.instance,
            "started_at": moment(gateway.started_at),
            "keystore": gateway.keystore,
            "principal": principal_shape(call.principal),
            "tenants": [tenant_shape(tenant) for tenant in tenants],
            "tasks": {"running": running, "waiting": waiting},
        }
    )


ENDPOINTS = (
    Endpoint("GET", "/health", Access.OPEN, health),
    Endpoint("GET", "/credentials", Access.LEASE_ONLY, credentials),
    Endpoint("GET", "/api/v1/status", Access.LEASE, status),
)

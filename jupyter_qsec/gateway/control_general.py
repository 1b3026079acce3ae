"""Health, metrics, status, and the credentials that botocore fetches."""

from __future__ import annotations

from jupyter_qsec._version import __version__
from jupyter_qsec.adapters.metering import CONTENT_TYPE
from jupyter_qsec.application.callers import operator_access, require
from jupyter_qsec.domain.access import Action
from jupyter_qsec.domain.errors import UnavailableError
from jupyter_qsec.domain.membership import EVERY_TENANT
from jupyter_qsec.gateway.control_request import Access, Answer, Call, Endpoint, Text
from jupyter_qsec.gateway.control_shapes import moment, principal_shape, tenant_shape


async def health(call: Call) -> Answer:
    """Whether the gateway can record and decide now."""
    problem = await call.gateway.health.problem()
    if problem:
        raise UnavailableError(problem)
    return Answer({"status": "ok"})


async def metrics(call: Call) -> Text:
    """The metrics, in Prometheus's text format. They tell of all tenants: a role in one of them is not enough."""
    if call.asker is not None:
        require(call.gateway.policy, operator_access(call.principal, Action.METRICS_READ, EVERY_TENANT))
    return Text(await call.gateway.exposition(), CONTENT_TYPE)


async def credentials(call: Call) -> Answer:
    """Container credentials in botocore's form, under the root key that counts now, whichever process replaced it."""
    await call.gateway.secrets.ready()
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
            "keystore": gateway.secrets.place,
            "principal": principal_shape(call.principal),
            "tenants": [tenant_shape(tenant) for tenant in tenants],
            "tasks": {"running": running, "waiting": waiting},
        }
    )


ENDPOINTS = (
    Endpoint("GET", "/health", Access.OPEN, health),
    Endpoint("GET", "/metrics", Access.METRICS, metrics),
    Endpoint("GET", "/credentials", Access.LEASE_ONLY, credentials),
    Endpoint("GET", "/api/v1/status", Access.LEASE, status),
)

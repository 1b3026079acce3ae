"""Leases over the control API."""

from __future__ import annotations

from datetime import timedelta

from jupyter_qsec.application.leasing import LeaseRequest
from jupyter_qsec.domain.errors import NotFoundError
from jupyter_qsec.domain.lease import LeaseState
from jupyter_qsec.gateway.control_request import Access, Answer, Call, Endpoint
from jupyter_qsec.gateway.control_shapes import lease_shape

_STATES = tuple(LeaseState)
_DEFAULT_TTL = 300
_MOST_TTL = 43_200


async def issue(call: Call) -> Answer:
    body, asker = call.body, call.operator
    ttl = body.number("ttl_seconds", _DEFAULT_TTL, least=10, most=_MOST_TTL)
    tenant = body.text("tenant", "")
    request = LeaseRequest(
        tenant=tenant or asker.tenant,
        project=body.text("project", "") or (asker.project if tenant in ("", asker.tenant) else ""),
        label=body.text("label", ""),
        holder=body.text("holder", ""),
        parent=body.text("parent", ""),
        ttl=timedelta(seconds=ttl),
        max_ttl=timedelta(seconds=body.number("max_ttl_seconds", _MOST_TTL, least=ttl, most=_MOST_TTL)),
        confinement=body.text("confinement", ""),
    )
    body.end()
    issued = await call.gateway.leasing.issue(asker.principal, request)
    return Answer({"lease": lease_shape(issued.lease, call.gateway.clock.now()), "token": issued.token}, 201)


async def listing(call: Call) -> Answer:
    tenant = call.query.text("tenant", "")
    state = call.query.word("state", _STATES, "")
    call.query.end()
    found = await call.gateway.leasing.leases(
        call.operator.principal, tenant=tenant, state=LeaseState(state) if state else None
    )
    now = call.gateway.clock.now()
    return Answer({"leases": [lease_shape(lease, now) for lease in found]})


async def show(call: Call) -> Answer:
    call.query.end()
    lease = await call.gateway.leasing.lease(call.principal, _lease_id(call))
    return Answer({"lease": lease_shape(lease, call.gateway.clock.now())})


async def secrets(call: Call) -> Answer:
    """To the holder of the lease's token alone, who can get them one by one."""
    call.query.end()
    await call.gateway.secrets.ready()
    known = await call.gateway.leasing.known_credentials(call.token)
    return Answer(
        {
            "secret_access_keys": [credentials.secret_access_key for credentials in known],
            "session_tokens": [credentials.session_token for credentials in known],
        }
    )


async def renew(call: Call) -> Answer:
    confinement = call.body.text("confinement") if call.body.has("confinement") else None
    call.body.end()
    lease = await call.gateway.leasing.renew(call.operator.principal, call.path["id"], confinement=confinement)
    return Answer({"lease": lease_shape(lease, call.gateway.clock.now())})


async def revoke(call: Call) -> Answer:
    reason = call.body.text("reason", "")
    call.body.end()
    lease = await call.gateway.leasing.revoke(call.principal, _lease_id(call), reason)
    return Answer({"lease": lease_shape(lease, call.gateway.clock.now())})


def _lease_id(call: Call) -> str:
    """The lease meant: a lease token reaches its own lease only, by `self` or by its id."""
    asked = call.path["id"]
    if call.caller is None:
        return asked
    if asked not in ("self", call.caller.lease.id):
        raise NotFoundError(f"Lease {asked[:8]} was not found.")
    return call.caller.lease.id


ENDPOINTS = (
    Endpoint("POST", "/api/v1/leases", Access.OPERATOR, issue),
    Endpoint("GET", "/api/v1/leases", Access.OPERATOR, listing),
    Endpoint("GET", "/api/v1/leases/{id}", Access.LEASE, show),
    Endpoint("GET", "/api/v1/leases/self/secrets", Access.LEASE_ONLY, secrets),
    Endpoint("POST", "/api/v1/leases/{id}/renew", Access.OPERATOR, renew),
    Endpoint("POST", "/api/v1/leases/{id}/revoke", Access.LEASE, revoke),
)

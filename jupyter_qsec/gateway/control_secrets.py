"""Root secrets over the control API: which there are, how old, and replacing them. What they are is told to nobody."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from jupyter_qsec.application.providersessions import RoleCheck
from jupyter_qsec.domain.provider import StaticCredential
from jupyter_qsec.domain.rootsecret import MAX_BECAUSE, RootSecret
from jupyter_qsec.gateway.control_request import Access, Answer, Call, Endpoint
from jupyter_qsec.gateway.control_shapes import moment


async def listing(call: Call) -> Answer:
    call.query.end()
    gateway = call.gateway
    found = await gateway.secrets.listed(call.operator.principal)
    now = gateway.clock.now()
    return Answer({"place": gateway.secrets.place, "secrets": [_shape(each, found, now) for each in found]})


async def rotate(call: Call) -> Answer:
    reason = call.body.text("reason", "", most=MAX_BECAUSE)
    at_once = call.body.truth("at_once", False)
    call.body.end()
    made = await call.gateway.rotation.rotate(call.operator.principal, call.path["name"], reason, at_once=at_once)
    return Answer({"secret": _shape(made, [made], call.gateway.clock.now())}, 201)


async def set_aws(call: Call) -> Answer:
    credential = StaticCredential(call.body.text("access_key_id"), call.body.text("secret_access_key"))
    reason = call.body.text("reason", "", most=MAX_BECAUSE)
    call.body.end()
    made = await call.gateway.provider.store_credential(call.operator.principal, credential, reason)
    return Answer({"secret": _shape(made, [made], call.gateway.clock.now())}, 201)


async def check_roles(call: Call) -> Answer:
    call.body.end()
    provider = call.gateway.provider
    found = await provider.check(call.operator.principal)
    return Answer({"source": provider.source, "roles": [_check_shape(each) for each in found]})


def _check_shape(check: RoleCheck) -> dict[str, Any]:
    session = check.session
    return {
        "tenant": check.role.tenant,
        "role": check.role.arn,
        "session": None if session is None else session.arn,
        "expires_at": None if session is None else moment(session.expires_at),
        "problem": check.problem,
    }


def _shape(secret: RootSecret, others: Sequence[RootSecret], now: datetime) -> dict[str, Any]:
    return {
        "name": secret.name,
        "generation": secret.generation,
        "state": str(secret.state(others, now)),
        "created_at": moment(secret.created_at),
        "starts_at": moment(max(secret.starts_at, secret.created_at)),
        "due_at": moment(secret.due_at()),
        "principal": secret.principal,
        "because": secret.because,
    }


ENDPOINTS = (
    Endpoint("GET", "/api/v1/root-secrets", Access.OPERATOR, listing),
    Endpoint("POST", "/api/v1/root-secrets/{name}/rotate", Access.OPERATOR, rotate),
    Endpoint("POST", "/api/v1/root-secrets/aws", Access.OPERATOR, set_aws),
    Endpoint("POST", "/api/v1/provider/check", Access.OPERATOR, check_roles),
)

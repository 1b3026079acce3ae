"""Root secrets over the control API: which there are, how old, and replacing them. What they are is told to nobody."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

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
)

"""Devices, estimates, tasks and quotas over the control API."""

from __future__ import annotations

import json
from typing import Any

from jupyter_qsec.application.callers import Caller, access, operator_access, require
from jupyter_qsec.application.estimating import estimate, scopes_of
from jupyter_qsec.application.ports import Device, TaskQuery
from jupyter_qsec.domain.access import Action, Deny
from jupyter_qsec.domain.errors import InvalidRequestError, NotFoundError
from jupyter_qsec.domain.program import ProgramFacts, ProgramKind, inspect_action
from jupyter_qsec.domain.quota import Metric, QuotaLimits, day_window
from jupyter_qsec.domain.task import TaskState
from jupyter_qsec.domain.tenant import Tenant
from jupyter_qsec.gateway.control_request import Access, Answer, Call, Endpoint
from jupyter_qsec.gateway.control_shapes import device_shape, task_shape

_STATES = tuple(TaskState)
_MAX_SOURCE = 500_000
_BLANK = ProgramFacts(ProgramKind.OPENQASM, 0, 0, (), 1, False, "")


async def devices(call: Call) -> Answer:
    call.query.end()
    _require(call, Action.DEVICE_READ)
    return Answer({"devices": [device_shape(device) for device in call.gateway.devices.devices()]})


async def make_estimate(call: Call) -> Answer:
    name = call.body.text("device", most=300)
    shots = call.body.number("shots", most=1 << 40)
    source = call.body.text("openqasm", "", most=_MAX_SOURCE)
    call.body.end()
    _require(call, Action.ESTIMATE_READ)
    device = _device(call, name)
    if shots > device.max_shots:
        raise InvalidRequestError(f"shots must be at most {device.max_shots} on {device.name}.")
    facts = inspect_action(_action(source)) if source else _BLANK
    most = min(device.max_qubits, call.gateway.limits.max_qubits)
    if facts.qubits > most:
        raise InvalidRequestError(f"The program uses {facts.qubits} qubits; {device.name} takes up to {most} here.")
    found = estimate(call.gateway.devices, device, shots, facts, call.gateway.limits)
    return Answer(
        {
            "device_arn": device.arn,
            "device_name": device.name,
            "amount_usd": str(found.cost.amount),
            "basis": found.cost.basis,
            "source": found.cost.source,
            "qubits": found.qubits,
        }
    )


async def tasks(call: Call) -> Answer:
    query = TaskQuery(
        tenant=call.query.text("tenant", ""),
        lease_id=call.query.text("lease", ""),
        states=_states(call.query.text("state", "")),
        limit=call.query.number("limit", 100, least=1, most=1000),
    )
    call.query.end()
    found = await call.gateway.tasks.search(call.known, query)
    return Answer({"tasks": [await task_shape(call.gateway, task) for task in found]})


async def task(call: Call) -> Answer:
    call.query.end()
    found = await call.gateway.tasks.get(call.known, call.path["id"])
    return Answer({"task": await task_shape(call.gateway, found)})


async def cancel(call: Call) -> Answer:
    call.body.end()
    found = await call.gateway.tasks.cancel(call.known, call.path["id"])
    return Answer({"task": await task_shape(call.gateway, found)})


async def quotas(call: Call) -> Answer:
    asked = call.query.text("tenant", "")
    call.query.end()
    window = day_window(call.gateway.clock.now())
    usages: list[dict[str, Any]] = []
    for tenant in _tenants(call, asked):
        limits = _limits(tenant, call.principal.id, call.caller)
        used = {
            (usage.scope, usage.metric): usage.used for usage in await call.gateway.store.usage(list(limits), window)
        }
        usages += [
            {
                "scope": scope,
                "metric": str(metric),
                "window": window,
                "used": used.get((scope, metric), 0),
                "limit": limit.of(metric),
            }
            for scope, limit in limits.items()
            for metric in Metric
        ]
    return Answer({"usages": usages})


def _tenants(call: Call, asked: str) -> list[Tenant]:
    if call.caller is not None:
        require(call.gateway.policy, access(call.caller, Action.QUOTA_READ))
        return [call.caller.tenant] if asked in ("", call.caller.tenant.id) else []
    return [
        tenant
        for tenant in call.gateway.catalogue.tenants()
        if asked in ("", tenant.id)
        and not isinstance(
            call.gateway.policy.decide(operator_access(call.principal, Action.QUOTA_READ, tenant.id)), Deny
        )
    ]


def _limits(tenant: Tenant, principal: str, caller: Caller | None) -> dict[str, QuotaLimits]:
    """The scopes that the asker sees, with their limits: a lease's own project only."""
    projects = [caller.project] if caller else tenant.projects
    limits: dict[str, QuotaLimits] = {}
    for project in projects:
        of_tenant, of_project, of_principal = scopes_of(tenant.id, project.id, principal)
        limits |= {of_tenant: tenant.limits, of_project: project.limits, of_principal: tenant.principal_limits}
    return limits


def _require(call: Call, action: Action) -> None:
    """Permission for what belongs to no tenant: through a lease in its tenant, otherwise in any."""
    if call.caller is not None:
        require(call.gateway.policy, access(call.caller, action))
        return
    tenant = call.operator.tenant or call.gateway.catalogue.tenants()[0].id
    require(call.gateway.policy, operator_access(call.principal, action, tenant))


def _device(call: Call, name: str) -> Device:
    """By ARN, or by name in any case, as `sv1`."""
    for device in call.gateway.devices.devices():
        if name == device.arn or name.lower() == device.name.lower():
            return device
    names = ", ".join(device.name.lower() for device in call.gateway.devices.devices())
    raise NotFoundError(f"There is no device {name[:80]!r}.", remedy=f"These exist: {names}.")


def _states(text: str) -> tuple[TaskState, ...]:
    words = [word for word in text.split(",") if word]
    if any(word not in _STATES for word in words):
        raise InvalidRequestError(f"query.state must be some of {', '.join(_STATES)}, separated by commas.")
    return tuple(TaskState(word) for word in words)


def _action(source: str) -> str:
    header = {"name": str(ProgramKind.OPENQASM), "version": "1"}
    return json.dumps({"braketSchemaHeader": header, "source": source})


ENDPOINTS = (
    Endpoint("GET", "/api/v1/devices", Access.LEASE, devices),
    Endpoint("POST", "/api/v1/estimates", Access.LEASE, make_estimate),
    Endpoint("GET", "/api/v1/tasks", Access.LEASE, tasks),
    Endpoint("GET", "/api/v1/tasks/{id}", Access.LEASE, task),
    Endpoint("POST", "/api/v1/tasks/{id}/cancel", Access.LEASE, cancel),
    Endpoint("GET", "/api/v1/quotas", Access.LEASE, quotas),
)

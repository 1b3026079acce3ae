"""The OpenAPI document and the routes hold each other to account."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
import yaml
from openapi_spec_validator import validate

from jupyter_qsec.gateway.control import ENDPOINTS
from jupyter_qsec.gateway.control_evidence import EVENT_KINDS
from jupyter_qsec.gateway.control_request import Access, Endpoint
from tests.gateway.livegateway import LiveGateway

DOCUMENT: dict[str, Any] = yaml.safe_load((files("jupyter_qsec.gateway") / "openapi.yml").read_text(encoding="utf-8"))
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
SECURITY: dict[Access, list[dict[str, list[str]]]] = {
    Access.OPEN: [],
    Access.OPERATOR: [{"control": []}],
    Access.LEASE: [{"control": []}, {"lease": []}],
    Access.LEASE_ONLY: [{"lease": []}],
    Access.METRICS: [{"control": []}, {"metrics": []}],
}


def operations() -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): operation
        for path, entry in DOCUMENT["paths"].items()
        for method, operation in entry.items()
        if method in METHODS
    }


def check(method: str, path: str, status: int, body: Any) -> None:
    """Validate an answer against the document."""
    responses = operations()[method, path]["responses"]
    response = responses.get(str(status)) or responses["default"]
    while "$ref" in response:
        response = DOCUMENT["components"]["responses"][response["$ref"].rpartition("/")[2]]
    (content,) = response["content"].values()
    jsonschema.Draft202012Validator({**content["schema"], "components": DOCUMENT["components"]}).validate(body)


def test_the_document_is_valid_openapi() -> None:
    validate(DOCUMENT)


def test_every_route_is_documented_and_every_documented_route_exists() -> None:
    assert {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS} == set(operations())


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda e: f"{e.method} {e.path}")
def test_who_may_call_is_documented_as_it_is(endpoint: Endpoint) -> None:
    documented = operations()[endpoint.method, endpoint.path].get("security", DOCUMENT["security"])
    assert documented == SECURITY[endpoint.access]


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda e: f"{e.method} {e.path}")
def test_path_parameters_are_documented(endpoint: Endpoint) -> None:
    named = set(re.findall(r"\{(\w+)\}", endpoint.path))
    references = DOCUMENT["paths"][endpoint.path].get("parameters", [])
    documented = {DOCUMENT["components"]["parameters"][r["$ref"].rpartition("/")[2]]["name"] for r in references}
    assert documented == named


def test_event_kinds_are_documented() -> None:
    body = operations()["POST", "/api/v1/events"]["requestBody"]["content"]["application/json"]["schema"]
    assert tuple(body["properties"]["kind"]["enum"]) == EVENT_KINDS


def test_a_document_that_says_something_else_would_be_noticed() -> None:
    with pytest.raises(jsonschema.ValidationError):
        check("GET", "/health", 200, {"status": "fine"})
    with pytest.raises(jsonschema.ValidationError):
        check("GET", "/api/v1/tasks", 200, {"tasks": [{"id": "x"}]})


AWS_KEY = {"access_key_id": "AKIAQSECEXAMPLEROOT1", "secret_access_key": "r" * 40}
# The task has ended, and this gateway takes no roles: `test_provider_roles.py` has the answers of one that does.
REFUSED = {"/api/v1/tasks/{id}/cancel": 409, "/api/v1/root-secrets/aws": 400, "/api/v1/provider/check": 400}


def test_real_answers_are_as_documented(shared_gateway: LiveGateway, bell_task: str) -> None:
    lease = shared_gateway.lease(label="documented")
    issued = {"lease": lease.lease, "token": lease.token}
    check("POST", "/api/v1/leases", 201, issued)
    finding = {
        "found_at": "2026-03-01T12:00:00Z",
        "lease_id": lease.id,
        "path": "a.ipynb",
        "cell": "1",
        "place": "output",
        "line": 3,
        "kind": "aws-access-key",
        "preview": "AKIA…",
        "fingerprint": "0" * 32,
        "action": "redacted",
    }
    calls = [
        ("GET", "/health", "/health", None, None),
        ("GET", "/metrics", "/metrics", None, None),
        ("GET", "/credentials", "/credentials", None, lease.token),
        ("GET", "/api/v1/status", "/api/v1/status", None, None),
        ("GET", "/api/v1/leases", "/api/v1/leases?state=active", None, None),
        ("GET", "/api/v1/leases/{id}", "/api/v1/leases/self", None, lease.token),
        ("GET", "/api/v1/leases/self/secrets", "/api/v1/leases/self/secrets", None, lease.token),
        ("POST", "/api/v1/leases/{id}/renew", f"/api/v1/leases/{lease.id}/renew", {"confinement": "confined"}, None),
        ("GET", "/api/v1/devices", "/api/v1/devices", None, None),
        ("POST", "/api/v1/estimates", "/api/v1/estimates", {"device": "sv1", "shots": 1000}, None),
        ("GET", "/api/v1/tasks", "/api/v1/tasks", None, None),
        ("GET", "/api/v1/tasks/{id}", f"/api/v1/tasks/{bell_task}", None, None),
        ("POST", "/api/v1/tasks/{id}/cancel", f"/api/v1/tasks/{bell_task}/cancel", None, None),
        ("GET", "/api/v1/quotas", "/api/v1/quotas", None, None),
        ("POST", "/api/v1/findings", "/api/v1/findings", {"findings": [finding]}, None),
        ("GET", "/api/v1/findings", "/api/v1/findings", None, None),
        ("POST", "/api/v1/events", "/api/v1/events", {"kind": "kernel.started", "details": {"n": 1}}, None),
        ("GET", "/api/v1/audit/records", "/api/v1/audit/records?start=0&limit=5", None, None),
        ("POST", "/api/v1/audit/checkpoint", "/api/v1/audit/checkpoint", None, None),
        ("GET", "/api/v1/audit/proof", "/api/v1/audit/proof?index=0", None, None),
        ("GET", "/api/v1/audit/consistency", "/api/v1/audit/consistency?old=1&new=2", None, None),
        ("GET", "/api/v1/root-secrets", "/api/v1/root-secrets", None, None),
        ("POST", "/api/v1/root-secrets/{name}/rotate", "/api/v1/root-secrets/leases/rotate", {"reason": "age"}, None),
        ("POST", "/api/v1/root-secrets/aws", "/api/v1/root-secrets/aws", AWS_KEY, None),
        ("POST", "/api/v1/provider/check", "/api/v1/provider/check", None, None),
        ("POST", "/api/v1/leases/{id}/revoke", f"/api/v1/leases/{lease.id}/revoke", {"reason": "done"}, None),
    ]
    for method, path, target, body, token in calls:
        answer = shared_gateway.get(target, token) if method == "GET" else shared_gateway.post(target, body, token)
        assert answer.status_code == REFUSED.get(path) or answer.is_success, answer.text
        check(method, path, answer.status_code, answer.text if path == "/metrics" else answer.json())
    assert {(method, path) for method, path, *_ in calls} | {("POST", "/api/v1/leases")} == set(operations())

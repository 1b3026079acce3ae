"""The REST interface of the extension in a real Jupyter Server, with and without a gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from tornado.httpclient import HTTPClientError

import jupyter_qsec.server

pytestmark = pytest.mark.kernel

DOCUMENT = yaml.safe_load((Path(jupyter_qsec.server.__file__).parent / "rest-api.yml").read_text())


@pytest.fixture
def jp_server_config(qsec_config: dict[str, Any], request: pytest.FixtureRequest) -> dict[str, Any]:
    qsec_config["QsecExtension"]["gateway"] = "gateway" in request.fixturenames
    return qsec_config


@pytest.fixture
def gateway() -> None:
    """Asks for a real gateway."""


def conforms(name: str, value: Any) -> None:
    schema = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    Draft202012Validator(schema).validate(value)


async def get(fetch: Any, *path: str, **options: Any) -> Any:
    return json.loads((await fetch("jupyter-qsec", *path, **options)).body)


async def post(fetch: Any, *path: str, body: object = None) -> Any:
    answer = await fetch("jupyter-qsec", *path, method="POST", body=json.dumps(body or {}), request_timeout=30)
    return json.loads(answer.body)


async def problem(call: Awaitable[Any]) -> tuple[int, dict[str, Any]]:
    with pytest.raises(HTTPClientError) as caught:
        await call
    assert caught.value.response is not None
    value = json.loads(caught.value.response.body)
    conforms("Problem", value)
    return int(caught.value.code), value


async def until(condition: Callable[[], Awaitable[Any]], what: str, seconds: float = 40) -> Any:
    for _ in range(int(seconds * 10)):
        if value := await condition():
            return value
        await asyncio.sleep(0.1)
    raise AssertionError(f"waited in vain for {what}")


async def running(fetch: Any) -> dict[str, Any]:
    async def status() -> Any:
        value = await get(fetch, "status")
        return value if value["principal"] else None

    value: dict[str, Any] = await until(status, "a running gateway")
    return value


async def start_kernel(fetch: Any, path: str = "work.ipynb") -> str:
    body = {"path": path, "name": path, "type": "notebook", "kernel": {"name": "python3"}}
    answer = await fetch("api", "sessions", method="POST", body=json.dumps(body), request_timeout=60)
    return str(json.loads(answer.body)["kernel"]["id"])


async def test_without_a_gateway_everything_says_so_and_nothing_breaks(jp_fetch: Any) -> None:
    status = await get(jp_fetch, "status")
    conforms("Status", status)
    assert status["gateway"]["state"] == "stopped"
    assert (status["principal"], status["tenants"], status["on_save"]) == (None, [], "redact")
    assert await get(jp_fetch, "kernels") == {"kernels": []}
    assert await get(jp_fetch, "findings") == {"findings": []}
    code, value = await problem(get(jp_fetch, "tasks"))
    assert (code, value["code"]) == (503, "unavailable")
    assert "doctor" in value["message"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("{", 400),
        ("[]", 400),
        ('{"action": 1}', 400),
        ('{"action": "renew", "else": ""}', 400),
        ('{"action": "' + "x" * 20_000 + '"}', 400),
        ('{"action": "renew"}', 404),
    ],
)
async def test_bad_bodies_and_unknown_kernels_are_told_apart(jp_fetch: Any, body: str, expected: int) -> None:
    code, _ = await problem(jp_fetch("jupyter-qsec", "kernels", "k1", "lease", method="POST", body=body))
    assert code == expected


@pytest.mark.parametrize("limit", ["0", "-1", "x", "1001", "1" * 40, "²"])
async def test_limits_are_bounded(jp_fetch: Any, limit: str) -> None:
    code, _ = await problem(jp_fetch("jupyter-qsec", "findings", params={"limit": limit}))
    assert code == 400


async def test_an_unknown_kernel_cannot_be_kept_alive(jp_fetch: Any) -> None:
    code, _ = await problem(post(jp_fetch, "kernels", "k1", "keepalive"))
    assert code == 404


async def test_a_kernel_without_gateway_starts_without_lease_and_says_why(jp_fetch: Any) -> None:
    kernel_id = await start_kernel(jp_fetch)
    (entry,) = (await get(jp_fetch, "kernels"))["kernels"]
    conforms("Kernel", entry)
    assert (entry["kernel_id"], entry["lease"], entry["path"]) == (kernel_id, None, "work.ipynb")
    assert "gateway" in entry["lease_problem"]
    code, value = await problem(post(jp_fetch, "kernels", kernel_id, "lease", body={"action": "renew"}))
    assert (code, value["code"]) == (409, "conflict")


async def test_the_life_of_a_lease(jp_fetch: Any, jp_serverapp: Any, gateway: None) -> None:
    status = await running(jp_fetch)
    conforms("Status", status)
    assert {tenant["id"] for tenant in status["tenants"]} == {"sandbox", "research"}

    kernel_id = await start_kernel(jp_fetch)

    async def entry() -> dict[str, Any]:
        (found,) = (await get(jp_fetch, "kernels"))["kernels"]
        conforms("Kernel", found)
        return dict(found)

    async def leased() -> Any:
        found = await entry()
        return found if found["lease"] and found["lease"]["state"] == "active" else None

    first = await until(leased, "a lease")
    assert first["lease"]["holder"] == f"kernel:{kernel_id}"
    assert first["session"]["idle_deadline"] and first["session"]["absolute_deadline"]

    renewed = await post(jp_fetch, "kernels", kernel_id, "lease", body={"action": "renew"})
    assert renewed["lease"]["expires_at"] > first["lease"]["expires_at"]
    await post(jp_fetch, "kernels", kernel_id, "keepalive")

    revoked = await post(jp_fetch, "kernels", kernel_id, "lease", body={"action": "revoke"})
    assert revoked["lease"]["state"] == "revoked" and "revoked in the panel" in revoked["lease_problem"]
    code, _ = await problem(post(jp_fetch, "kernels", kernel_id, "lease", body={"action": "revoke"}))
    assert code == 409

    body = {"action": "new", "tenant": "nobody"}
    code, _ = await problem(post(jp_fetch, "kernels", kernel_id, "lease", body=body))
    assert code == 400
    body = {"action": "new", "tenant": "research", "project": "algorithms"}
    new = await post(jp_fetch, "kernels", kernel_id, "lease", body=body)
    assert (new["lease"]["state"], new["lease"]["tenant"]) == ("active", "research")
    assert new["lease"]["id"] != first["lease"]["id"]

    state = jp_serverapp.web_app.settings["jupyter_qsec_state"]
    await asyncio.to_thread(state.gateway.client().revoke_lease, new["lease"]["id"], reason="from a terminal")
    elsewhere = await entry()
    assert elsewhere["lease"]["state"] == "revoked", "the panel sees what others revoke"

    assert await get(jp_fetch, "tasks", params={"limit": "5"}) == {"tasks": []}
    code, value = await problem(post(jp_fetch, "tasks", "no-such-task", "cancel"))
    assert (code, value["code"]) == (404, "not-found")


async def test_findings_of_saves_are_shown_and_recorded(jp_fetch: Any, jp_serverapp: Any, gateway: None) -> None:
    await running(jp_fetch)
    cell: dict[str, Any] = {
        "cell_type": "code",
        "id": "c1",
        "metadata": {},
        "source": "key = 'AKIA" + "QSEC7PLANTED5Q2X'",
        "outputs": [],
        "execution_count": None,
    }
    content = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    body = json.dumps({"type": "notebook", "content": content})
    await jp_fetch("api", "contents", "leaky.ipynb", method="PUT", body=body)

    (finding,) = (await get(jp_fetch, "findings"))["findings"]
    conforms("Finding", finding)
    assert (finding["path"], finding["cell"], finding["cell_id"]) == ("leaky.ipynb", "1", "c1")
    assert (finding["kind"], finding["action"]) == ("aws-access-key", "redacted")
    assert "PLANTED" not in json.dumps(finding)

    client = jp_serverapp.web_app.settings["jupyter_qsec_state"].gateway.client()

    async def recorded() -> Any:
        return await asyncio.to_thread(client.findings)

    (kept,) = await until(recorded, "the finding in the gateway's record")
    assert (kept["path"], kept["fingerprint"]) == ("leaky.ipynb", finding["fingerprint"])

    async def on_record() -> Any:
        records = (await asyncio.to_thread(client.audit_records))["records"]
        return [record for record in records if "save.redacted" in json.dumps(record["event"])]

    await until(on_record, "the redaction in the audit log")

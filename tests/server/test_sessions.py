"""Session limits on a real server with a real kernel, a real gateway and short limits."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.processes import gone as process_gone
from tests.server.test_routes import get, post, running, start_kernel, until

pytestmark = pytest.mark.kernel

# Leases are asked for as long as the longest limit of any tenant: here they would go on for an hour.
ABSOLUTE = {
    "absolute_hours": 10 / 3600,
    "warn_minutes": 4 / 60,
    "tenant_limits": {"research": {"absolute_hours": 1.0}},
}


@pytest.fixture
def limits() -> dict[str, Any]:
    return {"idle_minutes": 4 / 60, "warn_minutes": 2 / 60}


@pytest.fixture
def jp_server_config(qsec_config: dict[str, Any], limits: dict[str, Any]) -> dict[str, Any]:
    qsec_config["QsecExtension"] |= limits
    return qsec_config


def heard(serverapp: Any) -> list[dict[str, Any]]:
    """The events about sessions, as they come."""
    events: list[dict[str, Any]] = []

    async def listen(logger: Any, schema_id: str, data: dict[str, Any]) -> None:
        events.append(data)

    serverapp.event_logger.add_listener(schema_id="https://schema.jupyter-qsec.org/session/v1", listener=listen)
    return events


async def save_work(fetch: Any) -> None:
    cell = {"cell_type": "markdown", "id": "m1", "metadata": {}, "source": "work worth keeping"}
    content = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    body = json.dumps({"type": "notebook", "content": content})
    await fetch("api", "contents", "work.ipynb", method="PUT", body=body)


async def entry(fetch: Any) -> dict[str, Any]:
    (found,) = (await get(fetch, "kernels"))["kernels"]
    return dict(found)


async def gone(fetch: Any) -> bool:
    return not (await get(fetch, "kernels"))["kernels"]


async def test_an_idle_session_is_warned_and_ended_a_busy_one_is_not_and_the_notebook_stays(
    jp_fetch: Any, jp_serverapp: Any, jp_root_dir: Path
) -> None:
    events = heard(jp_serverapp)
    await save_work(jp_fetch)
    before = (jp_root_dir / "work.ipynb").read_bytes()

    await running(jp_fetch)
    kernel_id = await start_kernel(jp_fetch)
    lease_id = (await entry(jp_fetch))["lease"]["id"]

    # A running cell: longer than the limit, and nobody is even warned.
    kernel = jp_serverapp.kernel_manager.get_kernel(kernel_id)
    pid = kernel.provisioner.pid
    client = kernel.client()
    client.start_channels()
    await client.wait_for_ready(timeout=60)
    client.execute("import time; time.sleep(5)")

    async def busy() -> Any:
        session = (await entry(jp_fetch))["session"]
        return session if session["execution_state"] == "busy" and not session["warned"] else None

    assert (await until(busy, "the running cell", 4))["idle_deadline"] is None
    before_it = len(events)  # on a slow machine the kernel may have been idle for long before
    reply = await client.get_shell_msg(timeout=60)
    while reply["msg_type"] != "execute_reply":
        reply = await client.get_shell_msg(timeout=60)
    client.stop_channels()
    assert reply["content"]["status"] == "ok"
    assert events[before_it:] == []

    async def warned() -> Any:
        found = await entry(jp_fetch)
        return found if found["session"]["warned"] else None

    first = await until(warned, "a warning", 20)
    deadline = datetime.fromisoformat(first["session"]["idle_deadline"])
    kept = await post(jp_fetch, "kernels", kernel_id, "keepalive")
    assert kept["session"]["warned"] is False
    assert datetime.fromisoformat(kept["session"]["idle_deadline"]) > deadline
    (warning,) = events[before_it:]
    assert (warning["kind"], warning["reason"], warning["path"]) == ("warned", "idle", "work.ipynb")

    await until(lambda: gone(jp_fetch), "the end of the session", 30)
    assert await asyncio.to_thread(process_gone, pid)

    async def told() -> bool:
        return any(event["kind"] == "ended" for event in events)

    await until(told, "the event", 5)
    ended = events[-1]
    assert (ended["kind"], ended["reason"], ended["path"]) == ("ended", "idle", "work.ipynb")
    assert [event["kind"] for event in events[before_it:]] == ["warned", "warned", "ended"]

    control = jp_serverapp.web_app.settings["jupyter_qsec_state"].gateway.client()
    lease = await asyncio.to_thread(control.lease, lease_id)
    assert (lease["state"], lease["revoked_because"]) == ("revoked", "the session was idle")
    records = (await asyncio.to_thread(control.audit_records))["records"]
    kinds = [record["event"]["kind"] for record in records]
    assert "session.warned" in kinds and "session.ended" in kinds
    assert (jp_root_dir / "work.ipynb").read_bytes() == before


@pytest.mark.parametrize("limits", [ABSOLUTE], ids=["absolute"])
async def test_a_session_that_works_all_the_time_is_warned_and_ended_at_its_absolute_limit_and_the_notebook_stays(
    jp_fetch: Any, jp_serverapp: Any, jp_root_dir: Path
) -> None:
    events = heard(jp_serverapp)
    await save_work(jp_fetch)
    before = (jp_root_dir / "work.ipynb").read_bytes()
    await running(jp_fetch)
    kernel_id = await start_kernel(jp_fetch)
    state = jp_serverapp.web_app.settings["jupyter_qsec_state"]
    held = state.registry.held(kernel_id)
    token = held.token_file.read_text()

    async def credentials() -> httpx.Response:
        """What the kernel's boto3 asks for."""
        async with httpx.AsyncClient(trust_env=False) as client:
            url = f"{state.gateway.endpoints.gateway_url}/credentials"
            return await client.get(url, headers={"Authorization": token})

    kernel = jp_serverapp.kernel_manager.get_kernel(kernel_id)
    pid = kernel.provisioner.pid
    client = kernel.client()
    client.start_channels()
    await client.wait_for_ready(timeout=60)
    client.execute("import time\nwhile True: time.sleep(0.01)")

    async def warned() -> Any:
        found = await entry(jp_fetch)
        return found if found["session"]["warned"] else None

    session = (await until(warned, "a warning", 20))["session"]
    assert (session["execution_state"], session["idle_deadline"]) == ("busy", None)
    kept = await post(jp_fetch, "kernels", kernel_id, "keepalive")
    assert kept["session"] == session, "who is there changes nothing about this limit"
    assert kept["lease"]["state"] == "active" and (await credentials()).status_code == 200

    await until(lambda: gone(jp_fetch), "the end of the session", 30)
    client.stop_channels()
    assert datetime.now(UTC) >= datetime.fromisoformat(session["absolute_deadline"])
    assert await asyncio.to_thread(process_gone, pid)

    async def told() -> bool:
        return len(events) >= 2

    await until(told, "the events", 5)
    assert [(event["kind"], event["reason"], event["path"]) for event in events] == [
        ("warned", "absolute", "work.ipynb"),
        ("ended", "absolute", "work.ipynb"),
    ]
    refused = await credentials()
    assert (refused.status_code, refused.json()["code"]) == (403, "lease-revoked")
    control = state.gateway.client()
    lease = await asyncio.to_thread(control.lease, held.lease["id"])
    assert (lease["state"], lease["revoked_because"]) == ("revoked", "the session reached its absolute limit")
    records = (await asyncio.to_thread(control.audit_records))["records"]
    kinds = [record["event"]["kind"] for record in records if record["event"].get("lease") == lease["id"]]
    assert [kind for kind in kinds if kind.startswith("session.") or kind == "lease.revoked"] == [
        "session.warned",
        "session.ended",
        "lease.revoked",
    ]
    assert (jp_root_dir / "work.ipynb").read_bytes() == before


NEVER = {"idle_minutes": 0.0, "tenant_limits": {"research": {"idle_minutes": 4 / 60}}}


@pytest.mark.parametrize("limits", [NEVER], ids=["never"])
async def test_without_an_idle_limit_nobody_is_warned_or_ended(jp_fetch: Any, jp_serverapp: Any) -> None:
    """The other session is of a tenant with a limit: when it has ended, the first one has been idle for longer."""
    events = heard(jp_serverapp)
    await running(jp_fetch)
    kept, ended = await start_kernel(jp_fetch, "kept.ipynb"), await start_kernel(jp_fetch, "ended.ipynb")
    await post(jp_fetch, "kernels", ended, "lease", body={"action": "new", "tenant": "research"})

    async def alone() -> Any:
        found = (await get(jp_fetch, "kernels"))["kernels"]
        return found if len(found) == 1 else None

    (left,) = await until(alone, "the end of the other session", 40)
    assert (left["kernel_id"], left["lease"]["state"]) == (kept, "active")
    assert (left["session"]["warned"], left["session"]["idle_deadline"]) == (False, None)

    async def told() -> bool:
        return len(events) >= 2

    await until(told, "the events", 5)
    assert {event["path"] for event in events} == {"ended.ipynb"}

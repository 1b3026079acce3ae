"""The extension keeps a real gateway alive, and says so when it cannot."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from jupyter_qsec.client import wire
from tests.server.test_routes import get, running, start_kernel, until

pytestmark = pytest.mark.kernel


@pytest.fixture
def jp_server_config(qsec_config: dict[str, Any]) -> dict[str, Any]:
    return qsec_config


@pytest.fixture
def unusable_home(qsec_home: Path) -> Path:
    """A state directory that others may read. Named before the server in the tests below, so that it comes first."""
    qsec_home.mkdir()
    qsec_home.chmod(0o755)
    return qsec_home


async def test_a_killed_gateway_comes_back_and_leases_survive(jp_fetch: Any, jp_serverapp: Any) -> None:
    events: list[str] = []

    async def listen(logger: Any, schema_id: str, data: dict[str, Any]) -> None:
        events.append(data["state"])

    jp_serverapp.event_logger.add_listener(schema_id="https://schema.jupyter-qsec.org/gateway/v1", listener=listen)
    await running(jp_fetch)
    await start_kernel(jp_fetch)
    service = jp_serverapp.web_app.settings["jupyter_qsec_state"].gateway
    (before,) = (await get(jp_fetch, "kernels"))["kernels"]
    for _ in range(2):
        pid = service.gateway.pid
        os.kill(pid, signal.SIGKILL)
        # Asked at once: the answer waits in the socket's queue for the next gateway.
        assert await get(jp_fetch, "tasks", request_timeout=30) == {"tasks": []}
        assert service.gateway.pid != pid
    (after,) = (await get(jp_fetch, "kernels"))["kernels"]
    assert after["lease"]["id"] == before["lease"]["id"] and after["lease"]["state"] == "active"

    async def told() -> bool:
        return events.count("running") >= 2

    await until(told, "the events")


async def test_a_killed_relay_is_told_and_on_record_and_the_kernel_comes_back_guarded(
    jp_fetch: Any, jp_serverapp: Any
) -> None:
    told: list[dict[str, Any]] = []

    async def listen(logger: Any, schema_id: str, data: dict[str, Any]) -> None:
        told.append(data)

    jp_serverapp.event_logger.add_listener(schema_id="https://schema.jupyter-qsec.org/kernel/v1", listener=listen)
    await running(jp_fetch)
    kernel_id = await start_kernel(jp_fetch)
    manager = jp_serverapp.kernel_manager.get_kernel(kernel_id)
    relay = manager.provisioner._session.relay.pid
    os.kill(relay, signal.SIGKILL)

    async def back() -> bool:
        session = manager.provisioner._session
        return bool(told) and session is not None and session.relay is not None and session.relay.pid != relay

    await until(back, "the kernel to be restarted by the server")
    assert [(event["kind"], event["kernel_id"]) for event in told] == [("relay-ended", kernel_id)]
    assert "[REDACTED:aws-access-key]" in await evaluate(jp_serverapp, kernel_id, "print('AKIA' + 'QSEC7PLANTED5Q2X')")

    async def recorded() -> bool:
        gateway = jp_serverapp.web_app.settings["jupyter_qsec_state"].gateway
        records = await gateway.api().send(wire.get("/api/v1/audit/records"))
        return "kernel.relay-ended" in json.dumps(records)

    await until(recorded, "the record")


async def evaluate(serverapp: Any, kernel_id: str, code: str) -> str:
    """What a kernel prints."""
    client = serverapp.kernel_manager.get_kernel(kernel_id).client()
    client.start_channels()
    await client.wait_for_ready(timeout=60)
    printed: list[str] = []
    await client.execute_interactive(
        code, timeout=60, output_hook=lambda message: printed.append(message["content"].get("text", ""))
    )
    client.stop_channels()
    return "".join(printed).strip()


async def test_an_unusable_state_directory_is_told_everywhere_and_kernels_start_without_a_lease(
    unusable_home: Path, jp_fetch: Any, jp_serverapp: Any
) -> None:
    async def failed() -> Any:
        status = await get(jp_fetch, "status")
        return status if status["gateway"]["state"] == "failed" else None

    status = await until(failed, "the failure")
    assert f"chmod 700 {unusable_home}" in status["gateway"]["reason"]

    kernel_id = await start_kernel(jp_fetch)
    (entry,) = (await get(jp_fetch, "kernels"))["kernels"]
    assert entry["lease"] is None
    assert "open to others" in entry["lease_problem"]

    # What the kernel was given as its gateway answers, and gives the reason.
    url = await evaluate(jp_serverapp, kernel_id, "import os; print(os.environ['JUPYTER_QSEC_GATEWAY'])")
    with pytest.raises(urllib.error.HTTPError) as caught:
        await asyncio.to_thread(urllib.request.urlopen, f"{url}/aws/braket/devices", timeout=10)
    with caught.value as answer:
        assert answer.code == 403
        assert b"the qsec gateway is not running" in answer.read()

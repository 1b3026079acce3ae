"""Several gateway processes on one PostgreSQL: each serves everything, any may die, and nobody notices."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pg8000.native
import pytest

from tests.contract.postgres import PostgresServer
from tests.gateway.conftest import StartProcess
from tests.gateway.livegateway import Issued
from tests.gateway.manyprocesses import ENDLESS, SLOW, ProcessesGateway, alive, children, parent_of, wait_for
from tests.gateway.rawhttp import SignedClient
from tests.gateway.signedcalls import SignedBraket

pytestmark = pytest.mark.xdist_group("processes")


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[str]:
    name = postgres_server.new_database()
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture(scope="module")
def running(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessesGateway]:
    started = ProcessesGateway.on(database, tmp_path_factory.mktemp("many") / "home").start()
    yield started
    started.close()


@pytest.fixture
def gateway(running: ProcessesGateway) -> ProcessesGateway:
    running.wait_until_full()
    return running


@pytest.fixture
def two(gateway: ProcessesGateway) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """Clients of two different processes."""
    clients = gateway.clients()
    yield clients
    for client in clients:
        client.close()


def rows(url: str, query: str) -> list[Any]:
    folder, name = url.partition("?host=")[2], url.partition("@/")[2].partition("?")[0]
    with pg8000.native.Connection(
        "qsec", unix_sock=f"{folder}/.s.PGSQL.5432", database=name, ssl_context=False
    ) as connection:
        return list(connection.run(query))


def sent(client: httpx.Client, signed: SignedClient, method: str, path: str, headers: Any, body: bytes = b"") -> int:
    """The status of a signed request on that client's connection."""
    pairs = [(name, value) for name, value in headers if name.lower() != "authorization"]
    authorization = next(value for name, value in headers if name.lower() == "authorization")
    answer = client.request(
        method, signed.prefix + path, content=body, headers=[*pairs, ("Authorization", authorization)]
    )
    return answer.status_code


# -- each serves everything


def test_a_lease_of_one_process_is_good_at_the_other_and_so_is_a_task(
    gateway: ProcessesGateway, two: tuple[httpx.Client, httpx.Client]
) -> None:
    one, other = two
    made = one.post("/api/v1/leases", json={"tenant": "research"}).json()
    told = other.get("/api/v1/leases/self", headers={"Authorization": f"Bearer {made['token']}"})
    assert told.json()["lease"]["tenant"] == "research"
    with SignedBraket(gateway, Issued(**made)) as braket:
        task_id = braket.run_bell()
    seen = [client.get(f"/api/v1/tasks/{task_id}").json()["task"]["state"] for client in two]
    assert seen == ["COMPLETED", "COMPLETED"]


def test_a_lease_revoked_at_one_process_is_refused_by_the_other_within_two_seconds(
    gateway: ProcessesGateway, two: tuple[httpx.Client, httpx.Client]
) -> None:
    one, other = two
    issued = gateway.lease()
    signed = SignedClient.of(gateway, issued)
    body = b'{"filters":[]}'

    def status() -> int:
        return sent(other, signed, "POST", "/quantum-tasks", signed.sign("POST", "/quantum-tasks", body), body)

    assert status() == 200
    assert one.post(f"/api/v1/leases/{issued.id}/revoke", json={"reason": "leak"}).status_code == 200
    revoked_at = time.monotonic()
    while status() == 200:
        assert time.monotonic() - revoked_at < 2, "the other process still takes the revoked lease"
    assert status() == 403


def test_the_same_signature_at_both_processes_counts_once(
    gateway: ProcessesGateway, two: tuple[httpx.Client, httpx.Client]
) -> None:
    one, other = two
    signed = SignedClient.of(gateway, gateway.lease(), "s3")
    path, body = "/amazon-braket-us-east-1-000000000101/replayed", b"x"
    headers = signed.sign("PUT", path, body)
    assert sent(one, signed, "PUT", path, headers, body) == 200
    assert sent(other, signed, "PUT", path, headers, body) == 503
    assert sent(other, signed, "PUT", path, signed.sign("PUT", path, body + b"y"), body + b"y") == 200


def test_a_listing_goes_on_at_another_process(
    gateway: ProcessesGateway, two: tuple[httpx.Client, httpx.Client]
) -> None:
    signed = SignedClient.of(gateway, gateway.lease(), "s3")
    bucket = "/amazon-braket-us-east-1-000000000101"
    for name in ("listed-a", "listed-b"):
        assert signed.send("PUT", f"{bucket}/{name}", b"x").status == 200
    tokens: list[str] = []
    for client, token in ((two[0], ""), (two[1], "yes")):
        more = f"&continuation-token={tokens[0]}" if token else ""
        path = f"{bucket}?list-type=2{more}&max-keys=1&prefix=listed-"
        path = f"{bucket}?" + "&".join(sorted(path.partition("?")[2].split("&")))
        pairs = signed.sign("GET", path)
        authorization = next(value for name, value in pairs if name.lower() == "authorization")
        others = [(name, value) for name, value in pairs if name.lower() != "authorization"]
        answer = client.get(signed.prefix + path, headers=[*others, ("Authorization", authorization)])
        assert answer.status_code == 200, answer.text
        tokens.append(answer.text.partition("<NextContinuationToken>")[2].partition("<")[0].replace("=", "%3D"))
    assert tokens[0] and not tokens[1]


def test_a_task_that_runs_at_one_process_is_cancelled_at_any(
    gateway: ProcessesGateway, two: tuple[httpx.Client, httpx.Client], database: str
) -> None:
    with SignedBraket(gateway, gateway.lease()) as braket:
        task_ids = [braket.create_bell(action=ENDLESS, shots=1) for _ in range(2)]
    holders = "SELECT count(DISTINCT claimed_by) FROM task_queue WHERE claimed_by <> ''"
    wait_for(lambda: rows(database, holders) == [[2]], "each process runs one")
    for task_id in task_ids:
        assert two[0].post(f"/api/v1/tasks/{task_id}/cancel", json={}).json()["task"]["state"] == "CANCELLING"
    tasks = wait_for(lambda: all_ended(gateway, task_ids), "both have ended")
    assert [task["state"] for task in tasks] == ["CANCELLED", "CANCELLED"]
    assert rows(database, "SELECT count(*) FROM task_queue") == [[0]]


# -- any may die


def test_kill_9_of_the_process_that_runs_tasks_ends_each_in_one_result(
    gateway: ProcessesGateway, database: str
) -> None:
    before = {u["metric"]: u["used"] for u in usages(gateway)}
    with SignedBraket(gateway, gateway.lease(tenant="research")) as braket:
        task_ids = [braket.create_bell(action=SLOW, shots=10) for _ in range(4)]
    holders = "SELECT count(DISTINCT claimed_by) FROM task_queue WHERE claimed_by <> ''"
    wait_for(lambda: rows(database, holders) == [[2]], "each process runs one")
    victim = gateway.pids()[0]
    os.kill(victim, signal.SIGKILL)
    tasks = wait_for(lambda: all_ended(gateway, task_ids), "all have ended", 60)
    assert {task["state"] for task in tasks} == {"COMPLETED"}, tasks
    used = {u["metric"]: u["used"] - before[u["metric"]] for u in usages(gateway)}
    assert (used["tasks"], used["shots"]) == (4, 40)
    assert used["simulator-ms"] == sum(task["duration_ms"] for task in tasks)
    records = gateway.get("/api/v1/audit/records?limit=1000").json()["records"]
    completed = [r["event"]["subject"] for r in records if r["event"]["kind"] == "task.completed"]
    assert all(completed.count(task["arn"]) == 1 for task in tasks)
    arns = {task["arn"] for task in tasks}
    assert any(r["event"]["kind"] == "task.requeued" and r["event"]["subject"] in arns for r in records)
    wait_for(lambda: len(gateway.pids()) == 2 and victim not in gateway.pids(), "another took its place")
    assert gateway.post("/api/v1/audit/checkpoint").status_code == 200
    assert rows(database, "SELECT count(*) FROM task_queue") == [[0]]


def usages(gateway: ProcessesGateway) -> list[dict[str, Any]]:
    found = gateway.get("/api/v1/quotas?tenant=research").json()["usages"]
    return [usage for usage in found if usage["scope"] == "tenant:research"]


def all_ended(gateway: ProcessesGateway, task_ids: list[str]) -> list[dict[str, Any]]:
    tasks = [gateway.get(f"/api/v1/tasks/{task_id}").json()["task"] for task_id in task_ids]
    return tasks if all(task["state"] in ("COMPLETED", "FAILED", "CANCELLED") for task in tasks) else []


def test_a_rolling_restart_fails_no_request(gateway: ProcessesGateway) -> None:
    lease, before = gateway.lease(), gateway.pids()
    failures: list[str] = []
    done = threading.Event()

    def load() -> None:
        try:
            with SignedBraket(gateway, lease) as braket, gateway.client() as control:
                while not done.is_set():
                    braket.run_bell()
                    control.get("/api/v1/status").raise_for_status()
        except Exception as error:  # noqa: BLE001 - whatever it is, the test has failed
            failures.append(repr(error))

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        gateway.process.send_signal(signal.SIGHUP)
        wait_for(lambda: len(gateway.pids()) == 2 and not set(before) & set(gateway.pids()), "all are new", 60)
    finally:
        done.set()
        for thread in threads:
            thread.join(30)
    assert failures == []


# -- their ends


def test_several_processes_need_a_database_that_they_can_share(gateway_process: StartProcess) -> None:
    process = gateway_process("--processes", "2", wait=False)
    assert process.process.wait(30) == 2
    line = process.errors().strip()
    assert "JUPYTER_QSEC_DATABASE_URL" in line and "\n" not in line


def test_sigterm_ends_all_and_gives_back_what_ran(postgres_url: str, tmp_path: Path) -> None:
    gateway = ProcessesGateway.on(postgres_url, tmp_path / "home").start()
    try:
        wait_for(lambda: len(gateway.pids()) == 2, "both run")
        with SignedBraket(gateway, gateway.lease()) as braket:
            task_id = braket.create_bell(action=ENDLESS)
        wait_for(lambda: gateway.get(f"/api/v1/tasks/{task_id}").json()["task"]["state"] == "RUNNING", "it runs")
        pids = gateway.pids()
        assert gateway.stop() == 0
        assert not any(alive(pid) for pid in pids)
        assert rows(postgres_url, "SELECT claimed_by FROM task_queue") == [[""]]
        assert rows(postgres_url, "SELECT id FROM gateway_workers") == []
        assert rows(postgres_url, f"SELECT state, attempt FROM tasks WHERE id = '{task_id}'") == [["QUEUED", 0]]
    finally:
        gateway.close()


@pytest.mark.parametrize("who", ["supervisor", "parent"])
def test_no_orphan_stays_when_who_started_them_is_killed(postgres_url: str, tmp_path: Path, who: str) -> None:
    gateway = ProcessesGateway.on(postgres_url, tmp_path / "home", "--with-parent")
    command = [sys.executable, "-P", "-m", "jupyter_qsec.gateway", "serve", "--home", str(gateway.home)]
    parent = parent_of([*command, "--keystore", "file", "--workers", "1", *gateway.arguments], dict(gateway.environ))
    try:
        assert parent.stdout is not None
        assert json.loads(parent.stdout.readline())["event"] == "ready"
        supervisor = int(parent.stdout.readline())
        workers = wait_for(lambda: [pids for pids in [children(supervisor)] if len(pids) == 2], "both run")[0]
        if who == "supervisor":
            os.kill(supervisor, signal.SIGKILL)
        else:
            parent.kill()
        wait_for(lambda: not any(alive(pid) for pid in (supervisor, *workers)), "all have ended", 15)
    finally:
        parent.kill()
        parent.communicate()

"""`/metrics`: the numbers are those of what was really done, few whatever clients send, and for few eyes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_qsec.adapters.metering.metrics import SUBMISSION_OUTCOMES
from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.gateway.metricstoken import VARIABLE, metrics_token
from tests.contract.postgres import PostgresServer
from tests.fakes.waiting import wait_for
from tests.fakes.world import openqasm
from tests.gateway.conftest import StartProcess
from tests.gateway.livegateway import METRICS_TOKEN, Issued, LiveGateway, run_bell, submit_bell
from tests.gateway.rawhttp import SignedClient, send
from tests.gateway.scraping import Scrape
from tests.gateway.signedcalls import SignedBraket

TENANTS = """
[[tenant]]
id = "sandbox"
account = "000000000101"
purpose = "tutorial"
environment = "sandbox"
limits = { tasks = 3 }
[[tenant.project]]
id = "first-steps"

[[tenant]]
id = "research"
account = "000000000202"
purpose = "research"
environment = "dev"
[[tenant.project]]
id = "bell"
"""
LONG = openqasm("OPENQASM 3.0;\nqubit[21] q;\n" + "".join(f"h q[{n % 21}];\n" for n in range(900)))
"""Runs for seconds: long enough to be seen, and then cancelled."""
FINDING = {
    "found_at": "2026-03-01T12:00:00Z",
    "path": "a.ipynb",
    "place": "stream",
    "line": 2,
    "kind": "aws-access-key",
    "preview": "AKIA…",
    "fingerprint": "ab" * 16,
    "action": "redacted",
}


@pytest.fixture
def limited_gateway(tmp_path: Path) -> Iterator[LiveGateway]:
    """Three tasks a day in `sandbox`."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "tenants.toml").write_text(TENANTS)
    gateway = LiveGateway(home).start()
    yield gateway
    gateway.stop()


# -- the numbers are true
def test_submissions_tasks_and_their_times_are_counted_as_they_were(limited_gateway: LiveGateway) -> None:
    gateway = limited_gateway
    before = Scrape.of(gateway)
    assert {
        before.value("submissions_total", tenant="sandbox", outcome=outcome) for outcome in SUBMISSION_OUTCOMES
    } == {0}
    with SignedBraket(gateway, gateway.lease(tenant="sandbox")) as braket:
        started = time.monotonic()
        for _ in range(3):
            braket.run_bell()
        seconds = time.monotonic() - started
        bell = {"deviceArn": "arn:aws:braket:::device/quantum-simulator/amazon/sv1"}
        assert braket.send("POST", "/quantum-task", bell).status_code == 400
        for changes, refusal in (({}, 402), ({"tags": {"qsec:tenant": "research"}}, 403), ({"shots": 10**9}, 400)):
            with pytest.raises(AssertionError):
                braket.create_bell(**changes)
            assert refusal
    seen = Scrape.of(gateway)
    outcomes = {name: seen.value("submissions_total", tenant="sandbox", outcome=name) for name in SUBMISSION_OUTCOMES}
    assert outcomes == {"accepted": 3, "quota": 1, "denied": 1, "invalid": 2, "failed": 0}
    assert seen.value("submissions_total", tenant="research") == 0
    assert seen.value("tasks_ended_total", tenant="sandbox", state="completed") == 3
    assert seen.value("tasks_ended_total") == 3
    for name in ("task_queue_seconds", "task_duration_seconds"):
        assert seen.value(f"{name}_count", tenant="sandbox") == 3
        assert 0 <= seen.value(f"{name}_sum") <= seconds
    calls = {"door": "braket", "operation": "CreateQuantumTask"}
    assert seen.value("http_requests_total", **calls, status="2xx") == 3
    assert seen.value("http_requests_total", **calls, status="4xx") == 4
    assert seen.value("http_request_duration_seconds_count", **calls) == 7
    assert seen.value("http_requests_total", operation="GetQuantumTask") >= 3
    assert seen.value("decisions_total", action="task:create", decision="permit") == 4  # the quota is asked after it
    assert seen.value("refusals_total", door="braket") == 4
    what_runs_is_seen_while_it_runs(gateway)


def what_runs_is_seen_while_it_runs(gateway: LiveGateway) -> None:
    """In the tenant that has done nothing yet; the simulator is there already, which saves the time of its start."""
    idle = Scrape.of(gateway)
    assert (idle.value("simulator_workers"), idle.value("simulator_workers_busy")) == (1, 0)
    task = submit_bell(gateway, gateway.lease(tenant="research"), action=LONG)
    wait_for(lambda: Scrape.of(gateway).value("simulator_workers_busy") == 1, "the task to run")
    seen = Scrape.of(gateway)
    assert (seen.value("tasks_running"), seen.value("tasks_waiting")) == (1, 0)
    assert seen.value("shared_tasks", tenant="research", state="running") == 1
    gateway.post(f"/api/v1/tasks/{task.id}/cancel")
    wait_for(lambda: Scrape.of(gateway).value("tasks_ended_total", tenant="research") == 1, "the task to end")
    seen = Scrape.of(gateway)
    assert seen.value("tasks_ended_total", tenant="research", state="cancelled") == 1
    assert seen.value("task_duration_seconds_count", tenant="research") == 1


def test_a_repeated_client_token_is_one_task(live_gateway: LiveGateway) -> None:
    with SignedBraket(live_gateway, live_gateway.lease()) as braket:
        assert braket.create_bell(clientToken="the-same") == braket.create_bell(clientToken="the-same")
    seen = Scrape.of(live_gateway)
    assert seen.value("submissions_total", outcome="accepted") == 1
    assert seen.value("http_requests_total", operation="CreateQuantumTask", status="2xx") == 2


def test_what_waits_is_seen_while_it_waits(tmp_path: Path) -> None:
    gateway = LiveGateway(tmp_path / "home").start()
    try:
        gateway.pause("research")
        lease = gateway.lease(tenant="research")
        tasks = [submit_bell(gateway, lease) for _ in range(2)]
        seen = Scrape.of(gateway)
        assert (seen.value("tasks_waiting"), seen.value("tasks_running")) == (2, 0)
        assert seen.value("shared_tasks", tenant="research", state="queued") == 2
        assert seen.value("shared_tasks") == 2
        for task in tasks:
            gateway.post(f"/api/v1/tasks/{task.id}/cancel")
        seen = Scrape.of(gateway)
        assert (seen.value("tasks_waiting"), seen.value("shared_tasks")) == (0, 0)
        assert seen.value("tasks_ended_total", tenant="research", state="cancelled") == 2
        assert seen.value("task_duration_seconds_count") == 0  # they never ran
    finally:
        gateway.stop()


def test_leases_findings_and_events_are_counted(live_gateway: LiveGateway) -> None:
    kept, revoked = live_gateway.lease(tenant="research"), live_gateway.lease(tenant="research")
    live_gateway.post(f"/api/v1/leases/{revoked.id}/revoke", {"reason": "in test"})
    strange = {**FINDING, "kind": "no-such-kind", "action": "warned"}
    live_gateway.post("/api/v1/findings", {"findings": [FINDING, FINDING, strange]}, kept.token)
    live_gateway.post("/api/v1/events", {"kind": "cell.blocked"}, kept.token)
    seen = Scrape.of(live_gateway)
    assert seen.value("leases_issued_total", tenant="research") == 2
    assert seen.value("leases_revoked_total", tenant="research") == 1
    assert seen.value("shared_leases_active", tenant="research") == 1
    assert seen.value("shared_leases_active", tenant="sandbox") == 0
    assert 0 < seen.value("shared_lease_oldest_age_seconds", tenant="research") < 60
    assert seen.value("findings_total", kind="aws-access-key", action="redacted") == 2
    assert seen.value("findings_total", kind="other", action="warned") == 1
    assert seen.value("audit_events_total", kind="cell.blocked") == 1
    events = live_gateway.events()
    assert seen.value("audit_events_total") == len(events)
    assert seen.value("shared_audit_records") == len(events)


def test_what_is_not_signed_ages_until_a_checkpoint(live_gateway: LiveGateway) -> None:
    live_gateway.lease()
    seen = Scrape.of(live_gateway)
    assert seen.value("shared_audit_unsigned_records") == len(live_gateway.events())
    assert 0 < seen.value("shared_checkpoint_lag_seconds") < 60
    assert live_gateway.post("/api/v1/audit/checkpoint").status_code == 200
    seen = Scrape.of(live_gateway)
    assert (seen.value("shared_audit_unsigned_records"), seen.value("shared_checkpoint_lag_seconds")) == (0, 0)


def test_commits_are_timed_and_their_writes_counted(live_gateway: LiveGateway) -> None:
    before = Scrape.of(live_gateway)
    started = time.monotonic()
    for _ in range(5):
        live_gateway.lease()
    seconds = time.monotonic() - started
    seen = Scrape.of(live_gateway)
    writes = seen.value("store_commit_writes_sum") - before.value("store_commit_writes_sum")
    assert 5 <= writes <= 6  # and perhaps the probe of /health
    assert 0 < seen.value("store_commit_seconds_sum") - before.value("store_commit_seconds_sum") < seconds
    assert seen.value("store_writes_failed_total") == 0


def test_every_refusal_is_counted_by_its_code_at_once(live_gateway: LiveGateway) -> None:
    """The audit log counts a flood once a minute; the metrics do not wait."""
    lease, other = live_gateway.lease(), live_gateway.lease()
    braket, forger = SignedClient.of(live_gateway, lease), SignedClient.of(live_gateway, other)
    forger.signer = type(forger.signer)(**{**vars(forger.signer), "secret": "x" * 40})
    for _ in range(20):
        assert forger.send("POST", "/quantum-tasks", b'{"filters":[]}').status == 403
    tag = braket.sign("POST", "/tags/arn", b'{"tags":{"a":"b"}}')
    for _ in range(2):
        braket.send("POST", "/tags/arn", b'{"tags":{"a":"b"}}', tag)
    live_gateway.post(f"/api/v1/leases/{lease.id}/revoke")
    assert braket.send("POST", "/quantum-tasks", b'{"filters":[]}').status == 403
    live_gateway.get("/api/v1/status", "wrong")
    live_gateway.get("/nothing", "")
    live_gateway.get("/aws/denied/x", "")
    send(live_gateway, "GET", "/health", [("host", "evil.example")])
    seen = Scrape.of(live_gateway)
    assert seen.value("refusals_total", door="braket", code="signature-invalid") == 20
    assert seen.value("refusals_total", door="braket", code="signature-repeated") == 1
    assert seen.value("refusals_total", door="braket", code="lease-revoked") == 1
    assert seen.value("refusals_total", door="control", code="unauthenticated") == 1
    assert seen.value("refusals_total", door="none", code="not-found") == 1
    assert seen.value("refusals_total", door="denied", code="not-offered") == 1
    assert seen.value("refusals_total", door="host", code="host-refused") == 1


def test_a_gateway_counts_for_itself(tmp_path: Path, live_gateway: LiveGateway) -> None:
    live_gateway.lease(tenant="research")
    second = LiveGateway(tmp_path / "second").start()
    try:
        assert Scrape.of(second).value("leases_issued_total") == 0
    finally:
        second.stop()
    assert Scrape.of(live_gateway).value("leases_issued_total") == 1


def test_a_gateway_without_its_database_still_tells_of_itself(
    tmp_path: Path, postgres_server: PostgresServer, postgres_url: str
) -> None:
    gateway = LiveGateway(tmp_path / "home", database=postgres_url, patience=0.3, health_seconds=0).start()
    try:
        gateway.lease()
        assert Scrape.of(gateway).value("healthy") == 1
        postgres_server.stop()
        try:
            seen = Scrape.of(gateway)
        finally:
            postgres_server.start()
        assert seen.value("healthy") == 0
        assert seen.value("store_writes_failed_total") == 1  # the probe
        assert seen.value("leases_issued_total") == 1
        assert not seen.has("shared_tasks")
        wait_for(lambda: Scrape.of(gateway).has("shared_tasks"), "the store to be back")
    finally:
        gateway.stop()


# -- few series, and no secrets
def test_no_client_can_add_a_series(live_gateway: LiveGateway, issued: Issued) -> None:
    lease = live_gateway.lease(tenant="sandbox", label="label-of-mine", holder="holder-of-mine")

    def attack(round_: int) -> None:
        clients = [SignedClient.of(live_gateway, lease, service) for service in ("braket", "s3", "sts")]
        for client in clients:
            for method in ("GET", "POST", "PUT", "DELETE", "PATCH", f"METHOD{round_}"):
                for path in (f"/odd-{round_}", f"/bucket-{round_}/key", "/quantum-task"):
                    send(live_gateway, method, client.prefix + path, [("host", client.signer.host)])
            client.send("GET", f"/odd-{round_}?x={round_}")
        for path in (f"/odd-{round_}", f"/api/v1/odd-{round_}", f"/api/v1/tasks/odd-{round_}", f"/aws/denied/{round_}"):
            for token in ("", lease.token, live_gateway.control_token):
                live_gateway.get(path, token)
        strange = {**FINDING, "kind": f"kind-{round_}"}
        live_gateway.post("/api/v1/findings", {"findings": [strange]}, lease.token)
        live_gateway.post("/api/v1/leases", {"tenant": f"tenant-{round_}"})
        with SignedBraket(live_gateway, lease) as braket:
            braket.send("POST", "/quantum-task", {"deviceArn": f"device-{round_}"})

    attack(0)
    before = Scrape.of(live_gateway)
    before = Scrape.of(live_gateway)  # the first scrape has added itself
    for round_ in range(1, 3):
        attack(round_)
    after = Scrape.of(live_gateway)
    assert after.series == before.series
    assert len(after.series) < 3000


def test_nothing_of_anybody_is_in_the_metrics(shared_gateway: LiveGateway) -> None:
    lease = shared_gateway.lease(tenant="sandbox", label="label-of-mine")
    task = run_bell(shared_gateway, lease)
    given = shared_gateway.get("/credentials", lease.token).json()
    text = Scrape.of(shared_gateway).text
    principal = shared_gateway.gateway.operator
    private = (
        *(lease.id, lease.token, task.id, "label-of-mine", principal.id, shared_gateway.control_token, METRICS_TOKEN),
        *(given["AccessKeyId"], given["SecretAccessKey"], given["Token"], str(shared_gateway.home)),
    )
    assert not [value for value in private if value in text]


# -- who may read them
def test_the_control_token_and_the_metrics_token_read_them(shared_gateway: LiveGateway) -> None:
    assert Scrape.of(shared_gateway).value("healthy") == 1
    assert Scrape.of(shared_gateway, METRICS_TOKEN).value("healthy") == 1


@pytest.mark.parametrize(
    "token", ["", "wrong", METRICS_TOKEN[:-1], METRICS_TOKEN + "x", METRICS_TOKEN.upper(), "\u00e9" * 8]
)
def test_others_do_not(shared_gateway: LiveGateway, token: str) -> None:
    headers = [("host", f"127.0.0.1:{shared_gateway.port}"), ("authorization", f"Bearer {token}".encode())]
    answer = send(shared_gateway, "GET", "/metrics", headers)  # type: ignore[arg-type]  # bytes go out as they are
    assert answer.status == 401
    assert "jupyter_qsec_" not in answer.text


def test_a_lease_does_not_because_they_tell_of_all_tenants(shared_gateway: LiveGateway, issued: Issued) -> None:
    assert shared_gateway.get("/metrics", issued.token).status_code == 403


@pytest.mark.parametrize("path", ["/api/v1/status", "/api/v1/tasks", "/api/v1/audit/records", "/credentials"])
def test_the_metrics_token_opens_nothing_else(shared_gateway: LiveGateway, path: str) -> None:
    assert shared_gateway.get(path, METRICS_TOKEN).status_code == 401
    assert shared_gateway.post("/api/v1/leases", {}, METRICS_TOKEN).status_code == 401
    assert shared_gateway.post("/metrics", {}, METRICS_TOKEN).status_code == 401


def test_a_web_page_on_another_name_does_not(shared_gateway: LiveGateway) -> None:
    headers = [("host", "evil.example"), ("authorization", f"Bearer {METRICS_TOKEN}")]
    assert send(shared_gateway, "GET", "/metrics", headers).status == 403


# -- the token's file
def named(path: Path) -> dict[str, str]:
    return {VARIABLE: str(path), "OTHER": "x"}


def token_file(path: Path, content: bytes = METRICS_TOKEN.encode() + b"\n", mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_a_token_is_read_from_a_private_file_also_through_a_link(tmp_path: Path) -> None:
    file = token_file(tmp_path / "token")
    environ = named(file)
    assert metrics_token(environ) == METRICS_TOKEN
    assert environ == {"OTHER": "x"}
    (tmp_path / "link").symlink_to(file)  # as Kubernetes mounts secrets
    assert metrics_token(named(tmp_path / "link")) == METRICS_TOKEN
    assert metrics_token({}) == ""


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o620, 0o660])
def test_a_file_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(InvalidRequestError, match="not private") as caught:
        metrics_token(named(token_file(tmp_path / "token", mode=mode)))
    assert METRICS_TOKEN not in str(caught.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who can give files away")
def test_a_file_of_anothers_is_refused_and_one_of_roots_may_be_shown_to_a_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = token_file(tmp_path / "token", mode=0o640)
    with monkeypatch.context() as patched:
        patched.setattr(os, "geteuid", lambda: 12345)
        assert metrics_token(named(file)) == METRICS_TOKEN
        os.chown(file, 54321, -1)
        with pytest.raises(InvalidRequestError, match="not private"):
            metrics_token(named(file))


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 600, b"with a blank in the middle of it, and long"])
def test_a_file_without_a_token_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="32 to 512") as caught:
        metrics_token(named(token_file(tmp_path / "token", content)))
    assert len(content) < 4 or content.decode() not in str(caught.value)


def test_what_is_no_file_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name in ("pipe", "missing", ".", "nul\0"):
        with pytest.raises(InvalidRequestError):
            metrics_token(named(tmp_path / name))


def test_the_process_takes_the_token(gateway_process: StartProcess, tmp_path: Path) -> None:
    file = token_file(tmp_path / "token")
    gateway = gateway_process(environ={**os.environ, VARIABLE: str(file)})
    assert Scrape.of(gateway, METRICS_TOKEN).value("healthy") == 1
    assert gateway.get("/metrics", "").status_code == 401
    if Path("/proc/self/stat").exists():  # the process tells of itself although it is closed to others
        seen = Scrape.of(gateway)
        for name in ("process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds"):
            assert seen.value(name) > 0

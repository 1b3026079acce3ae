"""The control API of a real gateway: who gets in, what leases reach, what malformed requests get."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jupyter_qsec.gateway.control import ENDPOINTS, STATUS
from jupyter_qsec.gateway.control_request import Access, Endpoint
from tests.gateway.livegateway import Issued, LiveGateway, run_bell, submit_bell

GUARDED = [endpoint for endpoint in ENDPOINTS if endpoint.access is not Access.OPEN]
PROBLEM = {"type", "title", "status", "detail", "code", "remedy"}


def name(endpoint: Endpoint) -> str:
    return f"{endpoint.method} {endpoint.path}"


def send(gateway: LiveGateway, endpoint: Endpoint, token: str, path: str | None = None) -> Any:
    target = path or endpoint.path.replace("{id}", "0" * 32)
    with gateway.client(token) as client:
        return client.request(endpoint.method, target, json={} if endpoint.method == "POST" else None)


# -- who gets in


def test_only_health_is_open() -> None:
    assert [endpoint.path for endpoint in ENDPOINTS if endpoint.access is Access.OPEN] == ["/health"]


@pytest.mark.parametrize("token", ["", "wrong", "qsec-lease." + "0" * 32 + "." + "A" * 43])
@pytest.mark.parametrize("endpoint", GUARDED, ids=name)
def test_every_endpoint_refuses_who_is_not_known(shared_gateway: LiveGateway, endpoint: Endpoint, token: str) -> None:
    answer = send(shared_gateway, endpoint, token)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert set(answer.json()) == PROBLEM
    assert answer.json()["code"] == "unauthenticated"


@pytest.mark.parametrize("endpoint", [e for e in ENDPOINTS if e.access in (Access.OPERATOR, Access.METRICS)], ids=name)
def test_a_lease_token_opens_no_operator_endpoint(
    shared_gateway: LiveGateway, issued: Issued, endpoint: Endpoint
) -> None:
    answer = send(shared_gateway, endpoint, issued.token)
    assert (answer.status_code, answer.json()["code"]) == (403, "denied")


@pytest.mark.parametrize("endpoint", GUARDED, ids=name)
def test_a_revoked_lease_opens_nothing(shared_gateway: LiveGateway, endpoint: Endpoint) -> None:
    lease = shared_gateway.lease()
    shared_gateway.post(f"/api/v1/leases/{lease.id}/revoke", {"reason": "in test"})
    answer = send(shared_gateway, endpoint, lease.token)
    assert (answer.status_code, answer.json()["code"]) == (403, "lease-revoked")
    assert "New lease" in answer.json()["remedy"]


def test_the_control_token_gets_no_credentials(shared_gateway: LiveGateway) -> None:
    assert shared_gateway.get("/credentials").status_code == 403


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/v1", "/api/v2/status", "/api/v1/leases/", "/api/v1/statu"])
def test_paths_that_do_not_exist_tell_strangers_nothing(shared_gateway: LiveGateway, path: str) -> None:
    assert shared_gateway.get(path, "").status_code == 401
    assert shared_gateway.get(path).json()["code"] == "not-found"


def test_a_wrong_method_is_refused_with_the_right_ones(shared_gateway: LiveGateway) -> None:
    with shared_gateway.client() as client:
        answer = client.put("/api/v1/leases", json={})
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")
    with shared_gateway.client("") as client:
        assert client.put("/api/v1/leases", json={}).status_code == 401


def test_failed_logins_are_recorded_without_the_token_and_cannot_flood_the_log(live_gateway: LiveGateway) -> None:
    before = len(live_gateway.events())
    for number in range(50):
        assert live_gateway.get("/api/v1/status", f"guess-{number}-of-a-token").status_code == 401
    live_gateway.call(live_gateway.gateway.recorder.close())
    new = live_gateway.events()[before:]
    assert [event["kind"] for event in new] == ["request.rejected"] * 2
    assert new[1]["details"]["repeated"] == 49
    assert "guess-" not in json.dumps(new)


# -- what a lease reaches


def test_a_lease_sees_itself_and_its_own_tenant(shared_gateway: LiveGateway, issued: Issued) -> None:
    status = shared_gateway.get("/api/v1/status", issued.token).json()
    assert [tenant["id"] for tenant in status["tenants"]] == ["sandbox"]
    assert shared_gateway.get("/api/v1/leases/self", issued.token).json()["lease"]["id"] == issued.id
    scopes = {usage["scope"] for usage in shared_gateway.get("/api/v1/quotas", issued.token).json()["usages"]}
    assert all("sandbox" in scope for scope in scopes)


def test_another_tenants_objects_look_exactly_like_missing_ones(shared_gateway: LiveGateway) -> None:
    mine, theirs = shared_gateway.lease(tenant="sandbox"), shared_gateway.lease(tenant="research")
    task = run_bell(shared_gateway, theirs)
    missing = "00000000-0000-4000-8000-000000000000"
    for method, template in (
        ("GET", "/api/v1/tasks/{}"),
        ("POST", "/api/v1/tasks/{}/cancel"),
    ):
        found, absent = (
            getattr(shared_gateway, method.lower())(template.format(asked), token=mine.token)
            for asked in (task.id, missing)
        )
        assert found.status_code == absent.status_code == 404
        assert found.text.replace(task.id, "X") == absent.text.replace(missing, "X")
    for path in (f"/api/v1/leases/{theirs.id}", f"/api/v1/leases/{'0' * 32}"):
        assert shared_gateway.get(path, mine.token).status_code == 404
    assert shared_gateway.get("/api/v1/tasks?tenant=research", mine.token).json() == {"tasks": []}
    assert shared_gateway.get("/api/v1/quotas?tenant=research", mine.token).json() == {"usages": []}
    assert shared_gateway.get("/api/v1/findings?tenant=research", mine.token).json() == {"findings": []}
    ids = [entry["id"] for entry in shared_gateway.get("/api/v1/tasks", mine.token).json()["tasks"]]
    assert task.id not in ids
    assert shared_gateway.get(f"/api/v1/tasks/{task.id}", theirs.token).status_code == 200


def test_a_lease_cannot_revoke_or_speak_for_another(shared_gateway: LiveGateway, issued: Issued) -> None:
    other = shared_gateway.lease()
    assert shared_gateway.post(f"/api/v1/leases/{other.id}/revoke", {}, issued.token).status_code == 404
    report = {"kind": "kernel.started", "lease_id": other.id}
    assert shared_gateway.post("/api/v1/events", report, issued.token).status_code == 404
    assert shared_gateway.get(f"/api/v1/leases/{other.id}").json()["lease"]["state"] == "active"


def test_a_lease_ends_itself(shared_gateway: LiveGateway) -> None:
    lease = shared_gateway.lease()
    ended = shared_gateway.post("/api/v1/leases/self/revoke", {"reason": "exec is done"}, lease.token)
    assert ended.json()["lease"]["revoked_because"] == "exec is done"
    assert shared_gateway.get("/credentials", lease.token).status_code == 403


def test_botocore_sends_the_token_without_a_scheme(shared_gateway: LiveGateway, issued: Issued) -> None:
    with shared_gateway.client("") as client:
        answer = client.get("/credentials", headers={"Authorization": issued.token})
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"


# -- leases, tasks, quotas, findings, events, audit


def test_a_renewed_lease_tells_its_confinement(shared_gateway: LiveGateway, issued: Issued) -> None:
    answer = shared_gateway.post(f"/api/v1/leases/{issued.id}/renew", {"confinement": "confined"})
    assert answer.json()["lease"]["confinement"] == "confined"
    assert answer.json()["lease"]["expires_at"] >= issued.lease["expires_at"]


def test_tasks_are_listed_filtered_and_cancelled(shared_gateway: LiveGateway, issued: Issued) -> None:
    task = run_bell(shared_gateway, issued)
    listed = shared_gateway.get(f"/api/v1/tasks?lease={issued.id}&state=COMPLETED,FAILED&limit=5").json()["tasks"]
    assert [entry["id"] for entry in listed] == [task.id]
    assert listed[0]["tags"]["qsec:lease"] == issued.id
    assert shared_gateway.get(f"/api/v1/tasks?lease={issued.id}&state=RUNNING").json() == {"tasks": []}
    refused = shared_gateway.post(f"/api/v1/tasks/{task.id}/cancel")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")


def test_a_waiting_task_can_be_cancelled_and_gives_its_quota_back(tmp_path: Path) -> None:
    gateway = LiveGateway(tmp_path / "home").start()
    try:
        gateway.pause("sandbox")
        lease = gateway.lease()
        task = submit_bell(gateway, lease)
        shown = gateway.get(f"/api/v1/tasks/{task.id}", lease.token).json()["task"]
        assert (shown["state"], shown["waiting"][0]["code"]) == ("QUEUED", "paused")
        cancelled = gateway.post(f"/api/v1/tasks/{task.id}/cancel", {}, lease.token).json()["task"]
        assert cancelled["state"] == "CANCELLED"
        usages = gateway.get("/api/v1/quotas?tenant=sandbox").json()["usages"]
        assert {usage["used"] for usage in usages} == {0}
    finally:
        gateway.stop()


def test_quotas_show_use_against_limits(live_gateway: LiveGateway) -> None:
    run_bell(live_gateway, live_gateway.lease(), shots=250)
    usages = live_gateway.get("/api/v1/quotas?tenant=sandbox").json()["usages"]
    found = {(usage["scope"], usage["metric"]): (usage["used"], usage["limit"]) for usage in usages}
    assert found["tenant:sandbox", "tasks"] == (1, 1000)
    assert found["tenant:sandbox", "shots"] == (250, 1_000_000)
    used, limit = found["tenant:sandbox", "simulator-ms"]
    assert 0 <= used < 60_000 and limit == 3_600_000
    assert found["project:sandbox/first-steps", "tasks"] == (1, None)


def test_estimates_take_names_arns_and_programs(shared_gateway: LiveGateway, issued: Issued) -> None:
    body = {"device": "SV1", "shots": 1000, "openqasm": "OPENQASM 3.0;\nqubit[3] q;\nh q[0];\n"}
    answer = shared_gateway.post("/api/v1/estimates", body, issued.token).json()
    assert (answer["device_name"], answer["qubits"]) == ("SV1", 3)
    assert answer["basis"] and answer["source"]
    unknown = shared_gateway.post("/api/v1/estimates", {"device": "sv9", "shots": 1})
    assert unknown.status_code == 404 and "sv1" in unknown.json()["remedy"]
    many = shared_gateway.post("/api/v1/estimates", {"device": "sv1", "shots": 10**9})
    assert many.status_code == 400 and "shots" in many.json()["detail"]
    wide = {"device": "sv1", "shots": 1, "openqasm": "OPENQASM 3.0;\nqubit[60] q;\n"}
    assert "60 qubits" in shared_gateway.post("/api/v1/estimates", wide).json()["detail"]


FINDING = {
    "found_at": "2026-03-01T12:00:00Z",
    "path": "a.ipynb",
    "cell": "In [3]",
    "place": "stream",
    "line": 2,
    "kind": "aws-access-key",
    "preview": "AKIA…",
    "fingerprint": "ab" * 16,
    "action": "redacted",
}


def test_findings_are_kept_and_recorded(live_gateway: LiveGateway) -> None:
    lease = live_gateway.lease()
    body = {"findings": [{**FINDING, "lease_id": lease.id}, FINDING]}
    assert live_gateway.post("/api/v1/findings", body, lease.token).json() == {"recorded": 2}
    found = live_gateway.get("/api/v1/findings", lease.token).json()["findings"]
    assert {(entry["tenant"], entry["lease_id"], entry["kind"]) for entry in found} == {
        ("sandbox", lease.id, "aws-access-key")
    }
    events = [event for event in live_gateway.events() if event["kind"] == "finding.reported"]
    assert len(events) == 2 and events[0]["details"]["fingerprint"] == "ab" * 16


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"preview": "AKIAIOSFODNN7EXAMPLE"}, "preview"),
        ({"fingerprint": "not hex"}, "fingerprint"),
        ({"kind": "Kind"}, "kind"),
        ({"place": "moon"}, "place"),
        ({"action": "shrugged"}, "action"),
        ({"line": "2"}, "line"),
        ({"line": -1}, "line"),
        ({"found_at": "yesterday"}, "found_at"),
        ({"found_at": "2026-03-01T12:00:00"}, "found_at"),
        ({"secret": "x"}, "secret"),
    ],
)
def test_a_finding_that_shows_too_much_or_makes_no_sense_is_refused_by_field(
    shared_gateway: LiveGateway, issued: Issued, changes: dict[str, Any], field: str
) -> None:
    answer = shared_gateway.post("/api/v1/findings", {"findings": [FINDING | changes]}, issued.token)
    assert answer.status_code == 400
    assert field in answer.json()["detail"]
    assert "IOSFODNN7EXAMPLE" not in answer.text


def test_a_lease_cannot_fill_the_log_with_reports(live_gateway: LiveGateway) -> None:
    lease = live_gateway.lease()
    body = {"findings": [FINDING] * 500}
    answers = [live_gateway.post("/api/v1/findings", body, lease.token) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 402]
    assert (
        live_gateway.post("/api/v1/events", {"kind": "kernel.started"}, lease.token).json()["code"] == "quota-exceeded"
    )
    assert live_gateway.post("/api/v1/events", {"kind": "kernel.started"}).status_code == 201


def test_session_events_are_recorded(live_gateway: LiveGateway) -> None:
    lease = live_gateway.lease(tenant="research")
    body = {"kind": "cell.blocked", "lease_id": lease.id, "subject": "a.ipynb", "details": {"line": 3, "ok": False}}
    assert live_gateway.post("/api/v1/events", body).status_code == 201
    event = live_gateway.events()[-1]
    assert (event["kind"], event["tenant"], event["details"]) == ("cell.blocked", "research", {"line": 3, "ok": False})
    assert live_gateway.post("/api/v1/events", {"kind": "task.completed"}).status_code == 400


def test_the_log_is_read_in_pages_proved_and_reading_it_is_recorded_once(live_gateway: LiveGateway) -> None:
    for _ in range(5):
        live_gateway.lease()
    first = live_gateway.get("/api/v1/audit/records?start=0&limit=3").json()
    rest = live_gateway.get(f"/api/v1/audit/records?start=3&limit={first['size']}").json()
    assert [r["index"] for r in first["records"] + rest["records"]] == list(range(first["size"]))
    kinds = [r["event"]["kind"] for r in first["records"] + rest["records"]]
    assert kinds.count("audit.read") == 1
    head = live_gateway.post("/api/v1/audit/checkpoint").json()
    proof = live_gateway.get(f"/api/v1/audit/proof?index=2&size={head['size']}").json()
    assert proof["leaf_hash"] == first["records"][2]["leaf_hash"]
    assert proof["checkpoint"]["note"] == head["note"]
    assert live_gateway.get("/api/v1/audit/proof?index=99999").status_code == 400
    assert live_gateway.get(f"/api/v1/audit/consistency?old=2&new={head['size']}").json()["old_size"] == 2


# -- malformed requests


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"{", "not JSON at line 1"),
        (b"[]", "JSON object"),
        (b'"text"', "JSON object"),
        (b'{"ttl_seconds": NaN}', "not JSON"),
        (b'{"label": "a", "label": "b"}', "not JSON"),
        (b"[" * 100_000, "nested"),
        (b'{"label": "\xff"}', "UTF-8"),
        (b'{"label": 3}', "label must be a text"),
        (b'{"label": null}', "label must be a text"),
        (b'{"label": "\\ud800"}', "label"),
        (b'{"label": "\\u0000"}', "label"),
        (b'{"ttl_seconds": "300"}', "ttl_seconds must be a whole number"),
        (b'{"ttl_seconds": 300.5}', "ttl_seconds"),
        (b'{"ttl_seconds": true}', "ttl_seconds"),
        (b'{"ttl_seconds": 1}', "from 10"),
        (b'{"max_ttl_seconds": 99999999}', "max_ttl_seconds"),
        (b'{"surprise": 1}', "surprise is not a known field"),
        (b'{"tenant": "nowhere"}', "no tenant"),
        (b'{"tenant": "sandbox", "project": "nowhere"}', "no project"),
    ],
)
def test_a_malformed_body_is_a_400_that_names_the_field(
    shared_gateway: LiveGateway, content: bytes, detail: str
) -> None:
    with shared_gateway.client() as client:
        answer = client.post("/api/v1/leases", content=content)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid-request")
    assert detail in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("/api/v1/tasks?limit=0", "query.limit"),
        ("/api/v1/tasks?limit=1&limit=2", "more than once"),
        ("/api/v1/tasks?limit=many", "query.limit"),
        ("/api/v1/tasks?state=DANCING", "query.state"),
        ("/api/v1/tasks?color=red", "query.color"),
        ("/api/v1/leases?state=dead", "query.state"),
        ("/api/v1/audit/proof", "query.index is missing"),
        ("/api/v1/audit/records?start=-1", "query.start"),
        ("/api/v1/status?x=1", "query.x"),
    ],
)
def test_a_malformed_query_is_a_400_that_names_the_field(shared_gateway: LiveGateway, path: str, detail: str) -> None:
    answer = shared_gateway.get(path)
    assert answer.status_code == 400
    assert detail in answer.json()["detail"]


def test_a_body_over_one_megabyte_is_refused(shared_gateway: LiveGateway) -> None:
    with shared_gateway.client() as client:
        answer = client.post("/api/v1/leases", content=b'{"label": "' + b"x" * (1 << 20) + b'"}')
    assert (answer.status_code, answer.json()["code"]) == (413, "too-large")


def test_every_error_code_of_the_domain_has_a_status() -> None:
    from jupyter_qsec.domain import errors

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.QsecError)]
    assert {kind.code for kind in kinds} <= set(STATUS)


def test_a_stranger_page_in_a_browser_cannot_reach_the_api(shared_gateway: LiveGateway) -> None:
    with shared_gateway.client() as client:
        assert client.get("/api/v1/status", headers={"Host": "evil.example"}).status_code == 403


def test_answers_are_not_cached_and_tell_no_server_version(shared_gateway: LiveGateway, issued: Issued) -> None:
    for path in ("/api/v1/status", "/api/v1/nothing", "/credentials"):
        answer = shared_gateway.get(path, issued.token)
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers

"""Each control, switched off: the attack that it stops then works. So its tests can fail, and for the right reason."""

from __future__ import annotations

import hmac
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from jupyter_qsec.adapters.store import auditlog
from jupyter_qsec.application import estimating, submission
from jupyter_qsec.application.recording import Recorder
from jupyter_qsec.cli.main import cli
from jupyter_qsec.domain.access import Permit
from jupyter_qsec.domain.lease import Lease
from jupyter_qsec.domain.principal import Role
from jupyter_qsec.domain.quota import Charge
from jupyter_qsec.gateway import sigv4
from jupyter_qsec.gateway.replay import ReplayGuard
from tests.fakes.identities import FakeIdentities
from tests.fakes.world import BELL, SV1
from tests.gateway.livegateway import LiveGateway, submit_bell
from tests.gateway.rawhttp import SignedClient

SEARCH = b'{"filters":[]}'
BUCKET = "amazon-braket-us-east-1-000000000101"


def submission_body(**changes: object) -> bytes:
    body = {
        "deviceArn": SV1,
        "shots": 10,
        "outputS3Bucket": BUCKET,
        "outputS3KeyPrefix": "tasks",
        "action": BELL,
        "clientToken": str(uuid.uuid4()),
    }
    return json.dumps({**body, **changes}).encode()


def colleague(gateway: LiveGateway, *roles: Role) -> str:
    """The token of somebody else, with these roles in `sandbox`."""
    gateway.gateway.identities = people = FakeIdentities()
    return people.add("eve", "sandbox", *roles)


def audit_list(gateway: LiveGateway) -> list[dict[str, Any]]:
    """The events that `jupyter qsec audit list` shows."""
    shown = CliRunner().invoke(cli, ["audit", "list", "--home", str(gateway.home), "--format", "json"])
    assert shown.exit_code == 0, shown.output
    events = [record["event"] for record in json.loads(shown.stdout)]
    assert events[0]["kind"] == "gateway.started", "what was recorded before is there"
    return events


# -- attacks: whether each succeeds
def forge_a_signature(gateway: LiveGateway) -> bool:
    honest = SignedClient.of(gateway, gateway.lease(tenant="sandbox"))
    forger = replace(honest, signer=replace(honest.signer, secret="x" * 40))
    return forger.send("POST", "/quantum-tasks", SEARCH).status == 200


def replay_a_write(gateway: LiveGateway) -> bool:
    s3 = SignedClient.of(gateway, gateway.lease(tenant="sandbox"), "s3")
    path = f"/{BUCKET}/replayed"
    recorded = s3.sign("PUT", path, b"old")
    assert s3.send("PUT", path, b"old", recorded).status == 200
    assert s3.send("PUT", path, b"new").status == 200
    s3.send("PUT", path, b"old", recorded)
    return s3.send("GET", path).body == b"old"


def forge_a_tag(gateway: LiveGateway) -> bool:
    braket = SignedClient.of(gateway, gateway.lease(tenant="sandbox"))
    return braket.send("POST", "/quantum-task", submission_body(tags={"qsec:cost-centre": "theirs"})).status == 201


def use_a_revoked_lease(gateway: LiveGateway) -> bool:
    lease = gateway.lease(tenant="sandbox")
    braket = SignedClient.of(gateway, lease)
    assert gateway.post(f"/api/v1/leases/{lease.id}/revoke", {"reason": "test"}).status_code == 200
    return braket.send("POST", "/quantum-tasks", SEARCH).status == 200


def spend_beyond_the_quota(gateway: LiveGateway) -> bool:
    braket = SignedClient.of(gateway, gateway.lease(tenant="sandbox"))
    statuses = [braket.send("POST", "/quantum-task", submission_body(shots=100_000)).status for _ in range(11)]
    assert statuses[:10] == [201] * 10
    return statuses[10] == 201


def take_a_lease_as_a_viewer(gateway: LiveGateway) -> bool:
    return gateway.post("/api/v1/leases", {"tenant": "sandbox"}, colleague(gateway, Role.VIEWER)).status_code == 201


def cancel_a_colleagues_task_as_a_viewer(gateway: LiveGateway) -> bool:
    gateway.pause("sandbox")  # so that the task waits
    task, viewer = submit_bell(gateway, gateway.lease(tenant="sandbox")), colleague(gateway, Role.VIEWER)
    assert gateway.get(f"/api/v1/tasks/{task.id}", viewer).json()["task"]["state"] == "QUEUED"
    gateway.post(f"/api/v1/tasks/{task.id}/cancel", token=viewer)
    return bool(gateway.get(f"/api/v1/tasks/{task.id}").json()["task"]["state"] == "CANCELLED")


def revoke_a_colleagues_lease(gateway: LiveGateway) -> bool:
    lease = gateway.lease(tenant="sandbox")
    gateway.post(f"/api/v1/leases/{lease.id}/revoke", {"reason": "spite"}, colleague(gateway, Role.DEVELOPER))
    return bool(gateway.get(f"/api/v1/leases/{lease.id}").json()["lease"]["state"] == "revoked")


def read_the_audit_log_as_a_developer(gateway: LiveGateway) -> bool:
    return gateway.get("/api/v1/audit/records", colleague(gateway, Role.DEVELOPER)).status_code == 200


def submit_without_a_trace(gateway: LiveGateway) -> bool:
    braket = SignedClient.of(gateway, gateway.lease(tenant="sandbox"))
    answer = braket.send("POST", "/quantum-task", submission_body())
    assert answer.status == 201
    arn = json.loads(answer.body)["quantumTaskArn"]
    return not any(event["kind"] == "task.submitted" and event["subject"] == arn for event in audit_list(gateway))


def guess_tokens_without_a_trace(gateway: LiveGateway) -> bool:
    assert gateway.get("/api/v1/status", "a-guess").status_code == 401
    return not any(event["kind"] == "request.rejected" for event in audit_list(gateway))


# -- controls, and how to switch each off
def without_signatures(patch: pytest.MonkeyPatch) -> None:
    agreeing = SimpleNamespace(compare_digest=lambda one, other: True, digest=hmac.digest)
    patch.setattr(sigv4, "hmac", agreeing)


def without_replay_guard(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ReplayGuard, "check", lambda *arguments, **options: None)


def without_tag_check(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(submission, "refuse_own_tags", lambda tags: None)


def without_lease_check(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Lease, "require_active", lambda self, now: None)


def without_limits(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        estimating, "Charge", lambda scope, metric, window, amount, limit: Charge(scope, metric, window, amount, None)
    )


def without_policy(patch: pytest.MonkeyPatch) -> None:
    """An engine that permits everything."""
    patch.setattr("jupyter_qsec.adapters.policy.CedarPolicy.decide", lambda self, request: Permit(("everything",)))


def without_record(patch: pytest.MonkeyPatch) -> None:
    """Everything is committed, with nothing about it in the log."""
    patch.setattr(auditlog, "append", lambda *arguments: None)


def without_record_of_refusals(patch: pytest.MonkeyPatch) -> None:
    async def nothing(self: Recorder, events: object) -> None: ...

    patch.setattr(Recorder, "_record", nothing)


@dataclass(frozen=True)
class Control:
    off: Callable[[pytest.MonkeyPatch], None]
    attack: Callable[[LiveGateway], bool]


CONTROLS = {
    "signature": Control(without_signatures, forge_a_signature),
    "replay guard": Control(without_replay_guard, replay_a_write),
    "forged tags": Control(without_tag_check, forge_a_tag),
    "lease state": Control(without_lease_check, use_a_revoked_lease),
    "quota": Control(without_limits, spend_beyond_the_quota),
    "policy on who takes leases": Control(without_policy, take_a_lease_as_a_viewer),
    "policy on others' tasks": Control(without_policy, cancel_a_colleagues_task_as_a_viewer),
    "policy on others' leases": Control(without_policy, revoke_a_colleagues_lease),
    "policy on the log": Control(without_policy, read_the_audit_log_as_a_developer),
    "record": Control(without_record, submit_without_a_trace),
    "record of refusals": Control(without_record_of_refusals, guess_tokens_without_a_trace),
}


@pytest.mark.parametrize("name", CONTROLS)
def test_with_its_control_the_attack_fails(live_gateway: LiveGateway, name: str) -> None:
    assert not CONTROLS[name].attack(live_gateway)


@pytest.mark.parametrize("name", CONTROLS)
def test_without_its_control_the_attack_works(
    live_gateway: LiveGateway, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    CONTROLS[name].off(monkeypatch)
    assert CONTROLS[name].attack(live_gateway)

"""Each control, switched off: the attack that it stops then works. So its tests can fail, and for the right reason."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest

from jupyter_qsec.application import estimating, submission, tasks
from jupyter_qsec.domain.access import Permit
from jupyter_qsec.domain.lease import Lease
from jupyter_qsec.gateway import sigv4
from jupyter_qsec.gateway.replay import ReplayGuard
from tests.fakes.world import BELL, SV1
from tests.gateway.livegateway import LiveGateway, run_bell
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


def read_another_tenants_task(gateway: LiveGateway) -> bool:
    theirs = run_bell(gateway, gateway.lease(tenant="research"), output_bucket=f"{BUCKET[:-12]}000000000202")
    own = gateway.lease(tenant="sandbox")
    return gateway.get(f"/api/v1/tasks/{theirs.id}", token=own.token).status_code == 200


# -- controls, and how to switch each off
def without_signatures(patch: pytest.MonkeyPatch) -> None:
    agreeing = SimpleNamespace(compare_digest=lambda one, other: True, digest=sigv4.hmac.digest)
    patch.setattr(sigv4, "hmac", agreeing)


def without_replay_guard(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ReplayGuard, "check", lambda *arguments, **options: None)


def without_tag_check(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(submission, "refuse_own_tags", lambda tags: None)


def without_lease_check(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Lease, "require_active", lambda self, now: None)


def without_limits(patch: pytest.MonkeyPatch) -> None:
    charge = estimating.Charge
    patch.setattr(
        estimating, "Charge", lambda scope, metric, window, amount, limit: charge(scope, metric, window, amount, None)
    )


def without_tenant_check(patch: pytest.MonkeyPatch) -> None:
    """Both lines of defence: the comparison of tenants, and the policy behind it."""
    patch.setattr(tasks, "Caller", type("Nobody", (), {}))
    patch.setattr("jupyter_qsec.adapters.policy.CedarPolicy.decide", lambda self, request: Permit(("everything",)))


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
    "tenant": Control(without_tenant_check, read_another_tenants_task),
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

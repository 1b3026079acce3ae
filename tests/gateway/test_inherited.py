"""What a leased process starts works on the same lease, and what its kernels' relays tell is on record under it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jupyter_qsec.client.endpoints import Endpoints
from jupyter_qsec.client.held import HeldLease
from jupyter_qsec.client.inherited import InheritedLease
from jupyter_qsec.client.leases import LeaseKeeper
from jupyter_qsec.client.wire import LeaseAsk
from jupyter_qsec.domain.errors import ConflictError, InvalidRequestError, LeaseRevokedError, UnavailableError
from jupyter_qsec.kernels.observer import KernelFinding, KernelReport
from jupyter_qsec.kernels.reporting import LeaseReporter
from tests.gateway.livegateway import Issued, LiveGateway

FINDING = KernelFinding(
    found_at=datetime(2026, 3, 1, tzinfo=UTC),
    place="reply",
    line=2,
    kind="aws-access-key",
    preview="AKIA…",
    fingerprint="ab" * 16,
    action="redacted",
    cell_id="c1",
)


@dataclass
class Below:
    """A process below `exec`, and a kernel that it starts."""

    gateway: LiveGateway
    outer: Issued
    token_file: Path
    lease: InheritedLease
    keeper: LeaseKeeper
    kernel: HeldLease
    now: list[float]

    def token(self) -> str:
        return self.kernel.token_file.read_text()

    def state(self, issued: Issued) -> str:
        return str(self.gateway.get(f"/api/v1/leases/{issued.id}").json()["lease"]["state"])


@pytest.fixture
def below(shared_gateway: LiveGateway, tmp_path: Path) -> Iterator[Below]:
    outer, token_file = shared_gateway.lease(tenant="research", label="exec work"), tmp_path / "outer-token"
    token_file.write_text(outer.token)
    lease = InheritedLease.of_environment(shared_gateway.environment(token_file))
    assert lease is not None
    now = [0.0]
    keeper = LeaseKeeper(lease, threaded=False, monotonic=lambda: now[0])
    kernel = keeper.acquire(LeaseAsk(tenant="sandbox", label="kernel python3"), tmp_path / "token")
    yield Below(shared_gateway, outer, token_file, lease, keeper, kernel, now)
    keeper.close()


def test_a_kernel_has_the_lease_of_the_command_above_and_not_what_it_would_ask_for(below: Below) -> None:
    assert below.kernel.lease is not None
    assert (below.kernel.lease["id"], below.kernel.lease["tenant"]) == (below.outer.id, "research")
    assert below.token() == below.outer.token


def test_its_end_revokes_nothing(below: Below) -> None:
    below.kernel.close("the kernel ended")
    assert not below.kernel.token_file.exists()
    assert below.state(below.outer) == "active"
    with pytest.raises(ConflictError, match="belongs to the command"):
        below.lease.revoke_lease(below.outer.id)


def test_it_prolongs_nothing(below: Below) -> None:
    before = below.gateway.get(f"/api/v1/leases/{below.outer.id}").json()["lease"]["expires_at"]
    assert below.kernel.renew()["expires_at"] == before


def test_a_new_lease_of_the_command_reaches_the_kernel(below: Below) -> None:
    another = below.gateway.lease(tenant="research")
    below.token_file.write_text(another.token)
    below.now[0] += 200
    below.keeper.run_due()
    assert below.kernel.lease is not None
    assert (below.kernel.lease["id"], below.token()) == (another.id, another.token)
    assert below.state(below.outer) == "active", "it is not the kernel's to end"


def test_a_revoked_one_is_known_as_that(below: Below) -> None:
    below.gateway.post(f"/api/v1/leases/{below.outer.id}/revoke", {"reason": "leak"})
    with pytest.raises(LeaseRevokedError):
        below.kernel.renew()
    assert not below.kernel.active


def test_after_the_command_there_is_nothing_to_inherit(below: Below) -> None:
    below.token_file.unlink()
    with pytest.raises(UnavailableError, match="its token is gone"):
        below.lease.issue_lease(LeaseAsk())


def test_no_token_goes_to_another_machine_without_tls(below: Below) -> None:
    lease = InheritedLease(Endpoints.on_loopback("http://192.0.2.1:8765"), below.token_file)
    with pytest.raises(InvalidRequestError, match="without https"):
        lease.issue_lease(LeaseAsk())


@pytest.mark.parametrize(
    "missing", ["JUPYTER_QSEC_KERNEL", "JUPYTER_QSEC_GATEWAY", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]
)
def test_without_all_of_the_environment_nothing_is_inherited(
    missing: str, shared_gateway: LiveGateway, tmp_path: Path
) -> None:
    environment = shared_gateway.environment(tmp_path / "token")
    del environment[missing]
    assert InheritedLease.of_environment(environment) is None


# -- what is on record


def report(below: Below) -> KernelReport:
    return KernelReport("k1", "python3", "", below.kernel, "", "unconfined", ("this is a test",))


@pytest.fixture
def reporter(below: Below) -> LeaseReporter:
    reporter = LeaseReporter(lambda: below.lease.endpoints, monotonic=lambda: below.now[0])
    reporter.kernel_started("k1", report(below))
    return reporter


def test_findings_are_on_record_under_the_lease(below: Below, reporter: LeaseReporter) -> None:
    reporter.findings("k1", [FINDING] * 3)
    found = below.gateway.get(f"/api/v1/findings?lease={below.outer.id}").json()["findings"]
    assert [(f["tenant"], f["kind"], f["place"], f["cell"]) for f in found] == [
        ("research", "aws-access-key", "output", "c1")
    ] * 3


def test_so_are_a_kernels_start_and_a_blocked_cell(below: Below, reporter: LeaseReporter) -> None:
    reporter.kernel_started("k1", report(below))  # told again when something about it changed
    blocked = KernelFinding(FINDING.found_at, "source", 1, "private-key", "----", "cd" * 16, "blocked")
    reporter.findings("k1", [blocked])
    events = [event for event in below.gateway.events() if event.get("lease") == below.outer.id]
    started, stopped = [e for e in events if e["kind"] in ("kernel.started", "cell.blocked")]
    assert started["details"]["confinement"] == "unconfined: this is a test"
    assert (stopped["kind"], stopped["details"]["kind"]) == ("cell.blocked", "private-key")


def test_what_the_gateway_refuses_is_said_and_nothing_is_raised(
    below: Below, reporter: LeaseReporter, caplog: pytest.LogCaptureFixture
) -> None:
    below.gateway.post(f"/api/v1/leases/{below.outer.id}/revoke", {"reason": "leak"})
    with caplog.at_level(logging.WARNING):
        reporter.findings("k1", [FINDING])
        reporter.findings("unknown", [FINDING])
    refused, unknown = [record.getMessage() for record in caplog.records if "not on record" in record.getMessage()]
    assert "revoked" in refused
    assert "has no lease to report by" in unknown
    assert below.outer.token not in caplog.text


def test_a_gateway_that_is_away_holds_the_relay_up_once_and_not_each_time(below: Below) -> None:
    asked: list[float] = []

    def nowhere() -> Endpoints:
        asked.append(below.now[0])
        return Endpoints.on_loopback("http://127.0.0.1:9")

    reporter = LeaseReporter(nowhere, monotonic=lambda: below.now[0])
    reporter.kernel_started("k1", report(below))
    for below.now[0] in (1, 2, 29, 31, 32):
        reporter.findings("k1", [FINDING])
    assert asked == [0.0, 31]


def test_what_its_kernels_must_not_show_is_known_below_it_too(below: Below) -> None:
    given = below.gateway.get("/credentials", below.token()).json()
    known = below.lease.secrets_of(below.token())
    assert known[given["SecretAccessKey"]] == "aws-secret-key"
    assert known[given["Token"]] == "aws-session-token"

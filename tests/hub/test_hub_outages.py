"""While the hub is away: leases that run go on until they expire, nobody new is identified, and afterwards everything
works again with the same gateway."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from jupyter_qsec.adapters.identity.jupyterhub import CACHE_SECONDS
from jupyter_qsec.client.api import ControlClient
from jupyter_qsec.client.held import HeldLease
from jupyter_qsec.client.leases import LeaseKeeper
from jupyter_qsec.client.wire import LeaseAsk
from jupyter_qsec.domain.errors import UnavailableError
from tests.fakes.waiting import wait_for
from tests.gateway.livegateway import GatewayProcess, Issued
from tests.gateway.signedcalls import SignedBraket
from tests.hub.conftest import PREFIX, gateway_of, take_lease
from tests.hub.realhub import RealHub
from tests.hub.test_services import JOB, begin_job, run_job
from tests.hub.visitor import Visitor

pytestmark = pytest.mark.xdist_group("hub-outages")

NOBODY = "The hub cannot be reached, so nobody can be identified."


class Place:
    """A hub of its own, which comes and goes, and one gateway that stays."""

    def __init__(self, folder: Path) -> None:
        (folder / "hub").mkdir()
        self.hub = RealHub(folder / "hub").start()
        self.gateway = gateway_of(self.hub, folder / "home", proxied=True).start()
        self._up = True

    def down(self) -> None:
        if self._up:
            self.hub.stop()
            self._up = False

    def up(self) -> None:
        if not self._up:
            self.hub.start()
            self._up = True

    def close(self) -> None:
        self.gateway.close()
        self.hub.close()


@pytest.fixture(scope="module")
def shared_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    place = Place(tmp_path_factory.mktemp("outages"))
    yield place
    place.close()


@pytest.fixture
def place(shared_place: Place) -> Place:
    """With its hub there, whatever was before."""
    shared_place.up()
    return shared_place


def ask(gateway: GatewayProcess, token: str) -> tuple[int, str]:
    """Status and code of what somebody gets who asks for a lease."""
    answer = gateway.post("/api/v1/leases", {}, token=token)
    return answer.status_code, answer.json().get("code", "")


def refuses_with_503(answer: httpx.Response) -> bool:
    """In words, and without sending anybody to log in: that would not help."""
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer.json()["detail"] == NOBODY
    return "WWW-Authenticate" not in answer.headers


def until_forgotten(place: Place, token: str) -> None:
    """Who was known a moment ago is let in for two seconds more."""
    wait_for(lambda: ask(place.gateway, token)[0] == 503, "the outage to be felt", CACHE_SECONDS + 1)


def works(gateway: GatewayProcess, token: str) -> bool:
    """A lease is taken once the gateway has forgotten that the hub was away."""
    return ask(gateway, token)[0] == 201


def verify(place: Place) -> int:
    """How many records the command line's own look at the log vouches for; it fails when one does not hold."""
    assert place.gateway.post("/api/v1/audit/checkpoint").status_code == 200
    done = subprocess.run(
        [str(Path(sys.executable).with_name("jupyter-qsec")), "audit", "verify", "--format", "json"],
        env={**os.environ, "JUPYTER_QSEC_HOME": str(place.gateway.home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    report = json.loads(done.stdout)
    assert (done.returncode, report["ok"], report["problems"]) == (0, True, []), done.stderr
    return int(report["signed_size"])


def test_leases_that_run_go_on(place: Place) -> None:
    lease = take_lease(place.hub, place.gateway, "ada")
    with SignedBraket(place.gateway, lease) as braket:
        place.down()
        braket.run_bell()
    with SignedBraket(place.gateway, lease) as fetched_now:
        fetched_now.run_bell()
    assert place.gateway.get("/api/v1/status", lease.token).json()["principal"]["id"] == "hub:ada"
    ended = place.gateway.post("/api/v1/leases/self/revoke", {"reason": "done"}, token=lease.token)
    assert ended.json()["lease"]["state"] == "revoked", "who holds it ends it without the hub, too"


def test_a_job_that_began_before_ends_well_and_none_begins(place: Place, tmp_path: Path) -> None:
    token = place.hub.tokens["CI"]
    with begin_job(place.gateway, tmp_path, token, f"print('here', flush=True)\ninput()\n{JOB}", "nightly") as job:
        assert job.stdout is not None
        assert job.stdout.readline() == "here\n"
        place.down()
        said, complained = job.communicate("go on\n", timeout=120)
    assert job.returncode == 0, complained
    assert sum(json.loads(said)["counts"].values()) == 20
    code, said, complained = run_job(place.gateway, tmp_path, token)
    assert (code, said) == (2, "")
    assert complained.startswith(f"jupyter-qsec: The gateway cannot be used: {NOBODY}")


def test_nobody_is_identified_and_all_are_told_why(place: Place) -> None:
    known, service, unknown = place.hub.user_token("ada")[0], place.hub.tokens["CI"], "0" * 32
    lease = take_lease(place.hub, place.gateway, "ada")
    for token in (known, service):
        assert works(place.gateway, token)
    with closing(Visitor(place.hub, "ada")) as ada:
        assert ada.log_in().status_code == 200
        session = ada.http.cookies["qsec-session"]
    place.down()
    for token in (known, service):
        until_forgotten(place, token)
    for token in (known, service, unknown):
        assert refuses_with_503(place.gateway.post("/api/v1/leases", {}, token=token))
        assert refuses_with_503(place.gateway.get("/api/v1/status", token))
        assert refuses_with_503(place.gateway.post(f"/api/v1/leases/{lease.id}/renew", token=token))
    cookies = {"qsec-session": session}
    with httpx.Client(base_url=place.gateway.url, cookies=cookies, trust_env=False) as browser:
        wait_for(lambda: browser.get(PREFIX).status_code == 503, "no login to be asked for: the hub has none now", 5)
        assert NOBODY in browser.get(PREFIX).text
        place.up()
        wait_for(lambda: browser.get(PREFIX).status_code == 200, "the same session", 10)
    assert ask(place.gateway, unknown) == (401, "unauthenticated"), "now it is known to be wrong"


def test_a_hub_that_hangs_is_as_good_as_none(place: Place) -> None:
    token = place.hub.user_token("ada")[0]
    os.kill(place.hub.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert refuses_with_503(place.gateway.post("/api/v1/leases", {}, token=token))
        assert time.monotonic() - began < 10
        assert place.gateway.get("/health").status_code == 200
    finally:
        os.kill(place.hub.pid, signal.SIGCONT)
    wait_for(lambda: works(place.gateway, token), "to be known again", 10)


def test_renewals_fail_with_the_reason_and_their_keeper_tries_until_the_hub_is_back(
    place: Place, tmp_path: Path
) -> None:
    process = place.gateway.process.pid
    token = place.hub.user_token("ada")[0]
    with ControlClient(place.gateway.url, token) as ada, closing(LeaseKeeper(ada)) as keeper:
        long = keeper.acquire(LeaseAsk(ttl=timedelta(minutes=1)), tmp_path / "long")
        short = keeper.acquire(LeaseAsk(ttl=timedelta(seconds=10)), tmp_path / "short")
        assert long.lease is not None and short.lease is not None
        first, lost = long.lease, short.lease["id"]
        place.down()
        until_forgotten(place, token)
        with pytest.raises(UnavailableError, match=NOBODY):
            long.renew()
        wait_for(lambda: long.failures >= 3, "two more attempts without anybody asking for them", 20)
        assert long.active and long.problem.startswith(NOBODY)
        assert credentials(place, long) == (200, ""), "it has not expired"
        wait_for(lambda: credentials(place, short) == (403, "lease-expired"), "the end of the other", 20)
        assert short.problem.startswith(NOBODY)

        place.up()
        wait_for(lambda: not long.problem and not short.problem, "both to be well again", 30)
        assert long.lease["id"] == first["id"] and long.lease["expires_at"] > first["expires_at"]
        assert short.lease["id"] != lost, "what had expired was replaced"
        for held in (long, short):
            with SignedBraket(place.gateway, Issued(dict(held.lease or {}), held.token_file.read_text())) as braket:
                braket.run_bell()
    assert place.gateway.process.poll() is None and place.gateway.process.pid == process


def credentials(place: Place, held: HeldLease) -> tuple[int, str]:
    answer = place.gateway.get("/credentials", held.token_file.read_text())
    return answer.status_code, answer.json().get("code", "")


def test_afterwards_everybody_is_let_in_and_the_log_holds(place: Place) -> None:
    before = verify(place)
    token, lease = place.hub.user_token("ada")[0], take_lease(place.hub, place.gateway, "ada")
    place.down()
    with SignedBraket(place.gateway, lease) as braket:
        braket.run_bell()
    until_forgotten(place, token)
    during = verify(place)
    place.up()
    wait_for(lambda: works(place.gateway, token), "to be known again", 10)
    renewed = place.gateway.post(f"/api/v1/leases/{lease.id}/renew", token=token)
    assert renewed.status_code == 200
    assert take_lease(place.hub, place.gateway, "bob").lease["principal"] == "hub:bob"
    assert verify(place) > during > before


def test_a_gateway_needs_no_hub_to_start(tmp_path: Path) -> None:
    folder = tmp_path / "hub"
    folder.mkdir()
    own = RealHub(folder)
    gateway = gateway_of(own, tmp_path / "home").start()
    try:
        health = gateway.get("/health")
        assert (health.status_code, health.json()["status"]) == (200, "ok"), "it records and decides"
        for token in ("0" * 32, own.tokens["CI"]):
            assert refuses_with_503(gateway.post("/api/v1/leases", {}, token=token))
        assert gateway.lease(tenant="research").lease["principal"].startswith("os:")
        own.start()
        assert take_lease(own, gateway, "ada").lease["principal"] == "hub:ada"
        wait_for(lambda: works(gateway, own.tokens["CI"]), "the service to be known", 10)
        assert ask(gateway, "0" * 32) == (401, "unauthenticated")
    finally:
        gateway.close()
        own.close()

"""The dashboard of a gateway of two processes behind the hub's proxy: each takes up what the other began.

Which of them gets a connection is the operating system's choice, so the one that is not to answer is stopped meanwhile.
The access log says which one it was.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import httpx
import pytest

from jupyter_qsec.adapters.identity.jupyterhub import CACHE_SECONDS
from tests.contract.postgres import PostgresServer
from tests.fakes.waiting import wait_for
from tests.gateway.livegateway import GatewayProcess
from tests.gateway.manyprocesses import ENDLESS, ProcessesGateway
from tests.gateway.signedcalls import SignedBraket
from tests.gateway.test_processes import rows
from tests.hub.conftest import prepare, take_lease
from tests.hub.realhub import RealHub
from tests.hub.visitor import Visitor, ids

pytestmark = pytest.mark.xdist_group("hub")

PREFIX = "/services/many/"
_NOT_KEPT = {"Connection": "close"}
"""What a browser's connection is kept for, the proxy keeps, too: to the same process."""
_OPEN = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
    "AND xact_start IS NOT NULL"
)


class Two(ProcessesGateway):
    """The gateway, of which one process at a time can be asked."""

    names: dict[int, str]

    def at(self, pid: int, ask: Callable[[], httpx.Response]) -> httpx.Response:
        """What that process answers."""
        with self._alone(pid):
            answer = ask()
        for step in (*answer.history, answer):
            if step.request.url.path.startswith(PREFIX):
                name = self._log_of(step)
                assert self.names.setdefault(pid, name) == name
        assert len(set(self.names.values())) == len(self.names), "two processes"
        return answer

    def at_both(self, ask: Callable[[], httpx.Response]) -> list[httpx.Response]:
        return [self.at(pid, ask) for pid in self.pids()]

    def state(self, task: str) -> str:
        return str(self.get(f"/api/v1/tasks/{task}").json()["task"]["state"])

    @contextmanager
    def _alone(self, pid: int) -> Iterator[None]:
        [other] = [child for child in self.pids() if child != pid]
        try:
            self._stop_between_transactions(other)
            yield
        finally:
            os.kill(other, signal.SIGCONT)

    def _stop_between_transactions(self, pid: int) -> None:
        """One that were stopped within a transaction would keep its locks."""

        def open_ones() -> bool:
            return bool(rows(self.environ["JUPYTER_QSEC_DATABASE_URL"], _OPEN))

        for _ in range(20):
            wait_for(lambda: not open_ones(), "a moment without a transaction", 10)
            os.kill(pid, signal.SIGSTOP)
            if not all(open_ones() for _ in range(10)):
                return
            os.kill(pid, signal.SIGCONT)
        raise AssertionError("it is always within a transaction")

    def _log_of(self, answer: httpx.Response) -> str:
        asked = f'"request_id":"{answer.headers["X-Request-Id"]}"'

        def found() -> list[str]:
            return [log.name for log in (self.home / "logs").glob("gateway-*.log") if asked in log.read_text()]

        [name] = wait_for(found, "the request in a log", 10)
        return str(name)


@pytest.fixture(scope="module")
def gateway(hub: RealHub, postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    home, name = tmp_path_factory.mktemp("many") / "home", postgres_server.new_database()
    prepare(home)
    environ = {
        **os.environ,
        "JUPYTER_QSEC_DATABASE_URL": postgres_server.url(name),
        "JUPYTER_QSEC_LOG_FORMAT": "json",
        "JUPYTERHUB_API_URL": hub.api_url,
        "JUPYTERHUB_API_TOKEN": hub.tokens["MANY"],
        "JUPYTERHUB_CLIENT_ID": "service-many",
        "JUPYTERHUB_SERVICE_PREFIX": PREFIX,
    }
    started = Two(home, ("--processes", "2", "--identity", "hub", "--port", str(hub.many_port)), environ)
    try:
        started.start()
        started.wait_until_full()
        started.names = {}
        yield started
    finally:
        started.close()
        postgres_server.drop_database(name)


@pytest.fixture(params=["one after the other", "the other way round"])
def turn(gateway: Two, request: pytest.FixtureRequest) -> tuple[int, int]:
    """The process that begins and the one that goes on."""
    one, other = sorted(gateway.pids())
    return (one, other) if request.param == "one after the other" else (other, one)


def visitor_of(hub: RealHub, name: str) -> Visitor:
    visitor = Visitor(hub, name, prefix=PREFIX)
    visitor.http.headers.update(_NOT_KEPT)
    return visitor


@pytest.fixture(scope="module")
def people(hub: RealHub, gateway: Two) -> Iterator[dict[str, Visitor]]:
    """A developer and an administrator of the tenant, and an auditor, logged in."""
    visitors = {name: visitor_of(hub, name) for name in ("ada", "lin", "ida")}
    for visitor in visitors.values():
        assert visitor.log_in().status_code == 200
    yield visitors
    for visitor in visitors.values():
        visitor.close()


@dataclass
class Workers:
    """The only worker of each process, and what keeps both busy, so that whatever else ada submits waits."""

    gateway: Two
    braket: SignedBraket
    running: list[str] = field(default_factory=list)

    def keep_busy(self) -> Workers:
        self.running = [task for task in self.running if self.gateway.state(task) == "RUNNING"]
        while len(self.running) < 2:
            self.running.append(self.braket.create_bell(action=ENDLESS, shots=10))
        wait_for(lambda: {self.gateway.state(task) for task in self.running} == {"RUNNING"}, "both run", 60)
        return self


@pytest.fixture(scope="module")
def all_workers(gateway: Two, hub: RealHub) -> Iterator[Workers]:
    with SignedBraket(gateway, take_lease(hub, gateway, "ada")) as braket:
        workers = Workers(gateway, braket)
        yield workers
        for task in workers.running:
            gateway.post(f"/api/v1/tasks/{task}/cancel")


@pytest.fixture
def workers(all_workers: Workers) -> Workers:
    return all_workers.keep_busy()


def pressed(
    gateway: Two, turn: tuple[int, int], visitor: Visitor, path: str, action: str, **fields: str
) -> httpx.Response:
    """What the second process answers when a button of the first one's page is pressed."""
    page = gateway.at(turn[0], lambda: visitor.page(path))
    done = gateway.at(turn[1], lambda: visitor.press(page, action, **fields))
    assert done.status_code == 200, done.text
    return done


def test_a_login_that_began_at_one_process_ends_at_the_other(hub: RealHub, gateway: Two, turn: tuple[int, int]) -> None:
    with closing(visitor_of(hub, "ada")) as ada:
        ada.log_in()
        del ada.http.cookies["qsec-session"]
        ada.http.follow_redirects = False
        began = gateway.at(turn[0], lambda: ada.page("tasks"))
        back = ada.http.get(began.headers["Location"]).headers["Location"]
        assert back.startswith(f"{PREFIX}oauth_callback")
        ended = gateway.at(turn[1], lambda: ada.http.get(back))
        assert (ended.status_code, ended.headers["Location"]) == (303, f"{PREFIX}tasks")
        assert [page.status_code for page in gateway.at_both(lambda: ada.page("tasks"))] == [200, 200]


def test_a_session_ends_at_both_with_the_hubs(hub: RealHub, gateway: Two) -> None:
    with closing(visitor_of(hub, "ada")) as ada:
        ada.log_in("tasks")
        kept = {"qsec-session": ada.http.cookies["qsec-session"]}
        with httpx.Client(base_url=hub.url, cookies=kept, headers=_NOT_KEPT, trust_env=False) as thief:

            def status() -> list[int]:
                return [answer.status_code for answer in gateway.at_both(lambda: thief.get(f"{PREFIX}tasks"))]

            assert status() == [200, 200]
            ada.http.get("/hub/logout")
            ended = time.monotonic()
            wait_for(lambda: status() == [302, 302], "the end of the session at both", 10)
            assert time.monotonic() - ended < CACHE_SECONDS + 2


def test_a_session_of_a_gateway_with_other_keys_is_none(
    hub: RealHub, gateway: Two, hub_gateway: GatewayProcess
) -> None:
    """What makes the processes one is their key, not that there is a cookie."""
    with closing(Visitor(hub, "ada")) as ada:
        assert ada.log_in().status_code == 200
        kept = {"qsec-session": ada.http.cookies["qsec-session"]}
        with httpx.Client(base_url=hub.url, cookies=kept, headers=_NOT_KEPT, trust_env=False) as client:
            assert client.get(ada.prefix).status_code == 200
            answers = gateway.at_both(lambda: client.get(PREFIX))
    assert [answer.status_code for answer in answers] == [302, 302]


def test_a_task_is_cancelled_by_one_with_a_form_of_the_other(
    gateway: Two, turn: tuple[int, int], people: dict[str, Visitor], workers: Workers
) -> None:
    task = workers.braket.create_bell()
    done = pressed(gateway, turn, people["ada"], "tasks", f"tasks/{task}/cancel")
    assert "The task is cancelled." in done.text
    for page in gateway.at_both(lambda: people["lin"].page("tasks", state="cancelled")):
        assert task in ids(page, "tasks", PREFIX)


def test_tasks_that_run_at_both_are_cancelled_through_either(
    gateway: Two, turn: tuple[int, int], people: dict[str, Visitor], workers: Workers
) -> None:
    for task in workers.running:
        pressed(gateway, turn, people["lin"], "tasks?state=running", f"tasks/{task}/cancel")
    wait_for(lambda: {gateway.state(task) for task in workers.running} == {"CANCELLED"}, "the end of both", 10)


def test_a_lease_that_one_process_revoked_is_refused_by_both(
    hub: RealHub, gateway: Two, turn: tuple[int, int], people: dict[str, Visitor]
) -> None:
    lease = take_lease(hub, gateway, "ada")
    pressed(gateway, turn, people["lin"], "leases", f"leases/{lease.id}/revoke", reason=f"stolen from {turn}")

    def answers() -> list[int]:
        return [answer.status_code for answer in gateway.at_both(lambda: gateway.get("/credentials", lease.token))]

    wait_for(lambda: answers() == [403, 403], "both refuse the lease", 5)
    for page in gateway.at_both(lambda: people["lin"].page("leases", state="revoked")):
        assert f"stolen from {turn}" in page.text


def test_a_queue_that_one_process_paused_is_paused_at_both_and_resumed_by_either(
    gateway: Two, turn: tuple[int, int], people: dict[str, Visitor], workers: Workers
) -> None:
    ada, lin, waiting = people["ada"], people["lin"], workers.braket.create_bell()
    pressed(gateway, turn, lin, "", "queues/research/pause", reason="the fridge warms up")
    for page in gateway.at_both(lambda: ada.page(f"tasks/{waiting}")):
        assert "Tenant research is paused by hub:lin: the fridge warms up" in page.text
    pressed(gateway, turn[::-1], lin, "", "queues/research/resume")
    for page in gateway.at_both(lambda: ada.page(f"tasks/{waiting}")):
        assert "is paused" not in page.text
    gateway.post(f"/api/v1/tasks/{waiting}/cancel")


def test_the_log_that_both_write_holds_and_is_signed_through_either(
    gateway: Two, turn: tuple[int, int], people: dict[str, Visitor]
) -> None:
    done = pressed(gateway, turn, people["ida"], "audit", "audit/checkpoint")
    assert "The head of the log is signed." in done.text
    for page in gateway.at_both(lambda: people["ida"].page("audit")):
        assert "The head verifies against the newest checkpoint." in page.text

"""The supervisor: one gateway a directory, restarted after any death, its port never silent."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jupyter_qsec.client.home import QsecHome
from jupyter_qsec.client.process import gateway_command
from jupyter_qsec.client.supervision import GatewayCondition, GatewayState, GatewaySupervisor, Pace, listen
from jupyter_qsec.domain.errors import UnavailableError
from tests.fakes import gateway_process

FAST = Pace(ready=20, attempts=3, backoff=(0.0, 0.01, 0.02), poll=0.02, foreign_port=0.1, retry=0.2)
RUNNING, FAILED = (GatewayState.RUNNING,), (GatewayState.FAILED,)

Start = Callable[..., GatewaySupervisor]


@pytest.fixture
def home(tmp_path: Path) -> QsecHome:
    return QsecHome(tmp_path / "qsec")


@pytest.fixture
def start(home: QsecHome) -> Iterator[Start]:
    supervisors: list[GatewaySupervisor] = []

    def started(*options: str, pace: Pace = FAST, **more: object) -> GatewaySupervisor:
        supervisor = GatewaySupervisor(home, options=options, pace=pace, command=gateway_process.command, **more)  # type: ignore[arg-type]  # keyword by keyword
        supervisors.append(supervisor)
        supervisor.start()
        return supervisor

    yield started
    for supervisor in supervisors:
        supervisor.stop()


def ask(url: str, path: str = "/health", timeout: float = 20) -> tuple[int, str]:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=timeout)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def served_by(url: str) -> int:
    return int(json.loads(ask(url)[1])["pid"])


def wait(supervisor: GatewaySupervisor, states: tuple[GatewayState, ...], seconds: float = 20) -> GatewayCondition:
    condition = supervisor.wait_until(states, seconds)
    assert condition.state in states, condition
    return condition


def test_it_starts_a_gateway_on_the_persisted_port(home: QsecHome, start: Start) -> None:
    supervisor = start()
    assert not wait(supervisor, RUNNING).shared
    assert supervisor.gateway_url == f"http://127.0.0.1:{home.port()}"
    assert served_by(supervisor.gateway_url) == supervisor.pid
    supervisor.require_ours()


def test_after_kill_9_connections_queue_and_the_next_gateway_answers_them(start: Start) -> None:
    changed: list[GatewayCondition] = []
    supervisor = start(on_change=changed.append)
    wait(supervisor, RUNNING)
    for _ in range(3):
        before = served_by(supervisor.gateway_url)
        os.kill(before, signal.SIGKILL)
        assert served_by(supervisor.gateway_url) != before, "refused or answered by the dead"
    reasons = [
        condition.reason for condition in changed if condition.state is GatewayState.STARTING and condition.reason
    ]
    assert reasons and all("SIGKILL" in reason for reason in reasons)


def test_stopping_ends_the_gateway_and_frees_port_and_lock(home: QsecHome, start: Start) -> None:
    supervisor = start()
    wait(supervisor, RUNNING)
    pid = supervisor.pid
    supervisor.stop()
    assert supervisor.condition.state is GatewayState.STOPPED
    assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    listen(home.choose_port()).close()
    assert home.running_gateway() is None


def test_a_second_supervisor_shares_the_gateway_and_takes_over_when_it_ends(start: Start) -> None:
    first = start()
    wait(first, RUNNING)
    second = start()
    assert wait(second, RUNNING).shared
    assert second.pid is None
    second.require_ours()
    url = second.gateway_url
    assert url == first.gateway_url
    first.stop()
    with second._changed:
        assert second._changed.wait_for(lambda: second.pid is not None and not second.condition.shared, 20)
    wait(second, RUNNING)
    assert served_by(url) == second.pid


def test_failing_starts_are_told_with_the_gateways_own_words_and_answered_on_the_port(start: Start) -> None:
    supervisor = start("--exit", "3")
    condition = wait(supervisor, FAILED)
    assert condition.reason == "its state directory cannot be used: fake: the disk is full"
    status, body = ask(supervisor.gateway_url, "/aws/braket/quantum-task")
    assert status == 403
    assert json.loads(body) == {"message": f"the qsec gateway is not running: {condition.reason}"}
    with pytest.raises(UnavailableError, match="the disk is full"):
        supervisor.require_ours()


@pytest.mark.parametrize("code", [2, 5])
def test_what_cannot_get_better_fails_at_the_first_try(home: QsecHome, start: Start, code: int) -> None:
    supervisor = start("--exit", str(code), pace=Pace(attempts=1000, retry=60, backoff=(0.0,)))
    assert "fake" in wait(supervisor, FAILED).reason


def test_it_recovers_when_the_cause_is_gone(home: QsecHome, start: Start) -> None:
    home.ensure()
    cause = home.path / "fail-next"
    cause.write_text("3")
    supervisor = start()
    wait(supervisor, FAILED)
    url = supervisor.gateway_url
    cause.unlink()
    wait(supervisor, RUNNING)
    assert served_by(url) == supervisor.pid


def test_a_gateway_that_never_gets_ready_is_ended(start: Start) -> None:
    supervisor = start("--mute", pace=Pace(ready=0.2, attempts=1, retry=60))
    assert wait(supervisor, FAILED).reason == "it did not become ready in time"
    assert supervisor.pid is None


def test_a_state_directory_that_is_open_to_others_is_a_failure_that_kernels_are_told(
    home: QsecHome, start: Start
) -> None:
    home.path.mkdir()
    home.path.chmod(0o755)
    supervisor = start()
    condition = wait(supervisor, FAILED)
    assert "chmod 700" in condition.reason
    status, body = ask(supervisor.gateway_url, "/credentials")
    assert (status, "chmod 700" in body) == (503, True)
    url = supervisor.gateway_url
    home.path.chmod(0o700)
    wait(supervisor, RUNNING)
    assert supervisor.gateway_url == url, "kernels keep their port"
    assert served_by(url) == supervisor.pid


def test_a_port_that_a_foreign_program_took_is_replaced(home: QsecHome, start: Start) -> None:
    home.ensure()
    taken = home.choose_port()
    with listen(taken) as foreign:
        supervisor = start()
        wait(supervisor, RUNNING)
        assert home.port() != taken
        assert served_by(supervisor.gateway_url) == supervisor.pid
        foreign.setblocking(False)
        with pytest.raises(BlockingIOError):
            foreign.accept()  # nothing, least of all a token, was sent there


def test_the_others_failure_is_told_by_those_who_share(start: Start) -> None:
    first = start("--exit", "2", pace=Pace(retry=60))
    reason = wait(first, FAILED).reason
    second = start()
    condition = wait(second, FAILED)
    assert (condition.reason, condition.shared) == (reason, True)


def test_many_supervisors_that_start_at_once_run_one_gateway(home: QsecHome, start: Start) -> None:
    together = threading.Barrier(4)
    supervisors: list[GatewaySupervisor] = []

    def begin() -> None:
        together.wait()
        supervisors.append(start())

    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for supervisor in supervisors:
        wait(supervisor, RUNNING)
    assert len({served_by(supervisor.gateway_url) for supervisor in supervisors}) == 1
    assert sum(not supervisor.condition.shared for supervisor in supervisors) == 1


def test_the_gateways_command_line_keeps_the_working_directory_off_its_module_path(tmp_path: Path) -> None:
    argv = gateway_command(tmp_path, 7, 8, ["--keystore", "file"])
    assert argv[1:4] == ["-P", "-m", "jupyter_qsec.gateway"]
    assert argv[4:] == ["serve", "--home", str(tmp_path), "--fd", "7", "--parent-fd", "8", "--keystore", "file"]


def test_a_taken_port_is_not_shared_by_accident() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        probe.listen()
        with pytest.raises(OSError, match="in use"):
            listen(probe.getsockname()[1])

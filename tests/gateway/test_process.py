"""The gateway as a process: its directory, its lock, its port, its ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from jupyter_qsec.bootstrap import GatewayConfig, build
from jupyter_qsec.domain.errors import StateDirectoryError
from jupyter_qsec.gateway.statedir import StateDirectory
from tests.fakes.dask_cluster import free_port
from tests.gateway.conftest import StartProcess
from tests.gateway.livegateway import GatewayProcess
from tests.gateway.signedcalls import SignedBraket

LINUX = sys.platform == "linux"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def failed(process: GatewayProcess) -> tuple[int, str]:
    """Exit code and the one line on standard error."""
    code = process.process.wait(30)
    return code, process.errors().strip()


# -- the directory


def test_a_gateway_makes_its_directory_private_and_announces_itself(
    gateway_process: StartProcess, tmp_path: Path
) -> None:
    gateway = gateway_process()
    home = tmp_path / "home"
    assert gateway.get("/health", "").json() == {"status": "ok"}
    assert mode(home) == 0o700
    for name in ("results", "checkpoints", "logs", "keys"):
        assert mode(home / name) == 0o700, name
    for name in ("gateway.lock", "gateway.json", "port", "control.token", "state.db", "logs/gateway.log"):
        assert mode(home / name) == 0o600, name
    told = json.loads((home / "gateway.json").read_text())
    assert told["version"] == 1
    assert (told["pid"], told["port"]) == (gateway.process.pid, gateway.port)
    assert told["instance"] == gateway.get("/api/v1/status").json()["instance"]
    assert int((home / "port").read_text()) == gateway.port
    assert gateway.stop() == 0
    assert not (home / "gateway.json").exists()
    everything = [path for path in home.rglob("*") if not path.is_symlink()]
    assert all(mode(path) & 0o077 == 0 for path in everything), [p for p in everything if mode(p) & 0o077]


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda home: home.mkdir(mode=0o755), "read by others"),
        (lambda home: home.write_text("a file"), "cannot be used"),
        (lambda home: (home.parent / "real").mkdir(mode=0o700) or home.symlink_to(home.parent / "real"), "link"),
    ],
)
def test_a_directory_that_others_could_reach_is_refused(
    gateway_process: StartProcess, tmp_path: Path, prepare: Callable[[Path], object], words: str
) -> None:
    home = tmp_path / "home"
    prepare(home)
    code, line = failed(gateway_process(home=home, wait=False))
    assert code == 3
    assert words in line and "\n" not in line


def test_a_readable_control_token_is_refused(gateway_process: StartProcess, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "control.token").write_text("x" * 43)
    (home / "control.token").chmod(0o644)
    code, line = failed(gateway_process(home=home, wait=False))
    assert code == 3
    assert "control.token" in line and "x" * 43 not in line


def test_a_second_gateway_on_the_same_state_refuses_in_one_line(gateway_process: StartProcess, tmp_path: Path) -> None:
    first = gateway_process()
    code, line = failed(gateway_process(wait=False))
    assert code == 3
    assert f"Another gateway (process {first.process.pid}) runs" in line and "\n" not in line
    assert first.get("/health", "").status_code == 200


def test_port_and_token_are_kept_over_restarts(gateway_process: StartProcess) -> None:
    first = gateway_process()
    token, lease = first.control_token, first.lease(tenant="research")
    assert first.stop() == 0
    second = gateway_process()
    assert (second.port, second.control_token) == (first.port, token)
    assert second.get("/api/v1/leases/self", lease.token).json()["lease"]["tenant"] == "research"


def test_a_taken_port_is_exit_code_4(gateway_process: StartProcess) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, line = failed(gateway_process("--port", str(taken.getsockname()[1]), wait=False))
    assert code == 4
    assert "taken" in line


@pytest.mark.parametrize(
    "arguments",
    [("--fd", "99"), ("--parent-fd", "99"), ("--port", "70000"), ("--port", "1", "--fd", "3"), ("--nonsense",)],
)
def test_wrong_use_is_exit_code_2(gateway_process: StartProcess, arguments: tuple[str, ...]) -> None:
    code, line = failed(gateway_process(*arguments, wait=False))
    assert code == 2
    assert line


def test_a_broken_policy_or_tenant_file_is_named_and_nothing_is_served(
    gateway_process: StartProcess, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    (home / "policies").mkdir(parents=True, mode=0o700)
    home.chmod(0o700)
    (home / "policies" / "site.cedar").write_text('@id("permit-x")\npermit (principal, action resource);\n')
    code, line = failed(gateway_process(home=home, wait=False))
    assert code == 2
    assert "site.cedar, line 1" in line
    (home / "policies" / "site.cedar").unlink()
    (home / "tenants.toml").write_text("[[tenant")
    code, line = failed(gateway_process(home=home, wait=False))
    assert code == 2
    assert "tenants.toml" in line
    mapped = '[[tenant]]\nid = "lab"\naccount = "000000000101"\npurpose = "research"\nenvironment = "dev"\n'
    mapped += '[[tenant.project]]\nid = "first"\n[[member]]\ngroup = "physics"\ntenant = "physics"\n'
    (home / "tenants.toml").write_text(mapped)
    code, line = failed(gateway_process(home=home, wait=False))
    assert code == 2
    assert "Member 'physics' names the tenant 'physics', which does not exist." in line


def test_a_key_store_that_cannot_be_used_is_exit_code_5(gateway_process: StartProcess) -> None:
    environ = {**os.environ, "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
    code, line = failed(gateway_process("--keystore", "keyring", environ=environ, wait=False))
    assert code == 5
    assert line and "\n" not in line


# -- sockets and ends


def test_it_serves_on_an_inherited_socket_which_outlives_it(gateway_process: StartProcess) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        first = gateway_process("--fd", str(listener.fileno()), pass_fds=(listener.fileno(),))
        assert first.port == port
        first.kill()
        second = gateway_process("--fd", str(listener.fileno()), pass_fds=(listener.fileno(),))
        assert second.get("/health", "").status_code == 200


def test_a_socket_on_another_address_is_refused(gateway_process: StartProcess) -> None:
    with socket.create_server(("0.0.0.0", 0)) as listener:
        process = gateway_process("--fd", str(listener.fileno()), pass_fds=(listener.fileno(),), wait=False)
        code, line = failed(process)
    assert code == 2
    assert line.startswith("On 0.0.0.0 the gateway would speak plain http")


def test_it_ends_when_its_parents_pipe_closes(gateway_process: StartProcess) -> None:
    read, write = os.pipe()
    try:
        gateway = gateway_process("--parent-fd", str(read), pass_fds=(read,))
    finally:
        os.close(read)
    assert gateway.get("/health", "").status_code == 200
    os.close(write)
    assert gateway.process.wait(20) == 0


FIRST_START = ["root-secret.created"] * 2 + ["root-secret.read"] * 2


def recorded_kinds(home: Path) -> list[str]:
    """The kinds of the audit log's events, of a gateway that has ended."""
    export = subprocess.run(
        [sys.executable, "-m", "jupyter_qsec.gateway", "audit-export", "--home", str(home)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    lines = [json.loads(line) for line in export.stdout.splitlines()]
    return [json.loads(line["leaf"])["kind"] for line in lines if "leaf" in line]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_order_when_asked(gateway_process: StartProcess, number: signal.Signals) -> None:
    gateway = gateway_process()
    gateway.lease()
    gateway.process.send_signal(number)
    assert gateway.process.wait(20) == 0
    kinds = recorded_kinds(gateway.home)
    assert (kinds[0], kinds[-1]) == ("gateway.started", "gateway.stopped")
    newest = [path for path in (gateway.home / "checkpoints").iterdir() if path.name != "log.pub"]
    assert any(f"\n{len(kinds)}\n" in path.read_text() for path in newest)


@pytest.mark.skipif(not LINUX, reason="/proc is Linux's")
def test_its_memory_and_environment_are_closed_to_others_of_the_same_account(gateway_process: StartProcess) -> None:
    """Root may read anything, so what is checked is the mark that the kernel keeps: the files belong to root."""
    planted = {**os.environ, "AWS_SECRET_ACCESS_KEY": "planted/secret/of/this/test"}
    gateway = gateway_process(environ=planted)
    control = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        if os.geteuid() == 0:
            limits = Path(f"/proc/{gateway.process.pid}/limits").read_text()
            assert any(line.split()[4:6] == ["0", "0"] for line in limits.splitlines() if "core file" in line)
            return
        assert Path(f"/proc/{control.pid}/environ").read_bytes()
        with pytest.raises(PermissionError):
            Path(f"/proc/{gateway.process.pid}/environ").read_bytes()
        with pytest.raises(PermissionError):
            Path(f"/proc/{gateway.process.pid}/fd/1").readlink()
    finally:
        control.communicate(b"\n", timeout=10)


@pytest.mark.skipif(not LINUX, reason="prctl is Linux's")
def test_a_process_that_keeps_confidential_is_not_dumpable() -> None:
    script = (
        "import ctypes; from jupyter_qsec.gateway.confidential import keep_confidential\n"
        "get = lambda: ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)\n"
        "before = get(); assert keep_confidential(); print(before, get())"
    )
    told = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60)
    assert told.stdout.split() == ["1", "0"]


def test_ambient_credentials_of_its_own_occur_in_no_answer_log_or_record(gateway_process: StartProcess) -> None:
    planted = {"AWS_ACCESS_KEY_ID": "AKIAPLANTEDPLANTED00", "AWS_SECRET_ACCESS_KEY": "planted/secret/of/this/test"}
    gateway = gateway_process(environ={**os.environ, **planted})
    lease = gateway.lease()
    answers = [gateway.get(path).text for path in ("/api/v1/status", "/api/v1/devices", "/api/v1/audit/records")]
    answers.append(gateway.get("/credentials", lease.token).text)
    with SignedBraket(gateway, lease) as braket:
        braket.run_bell()
    gateway.stop()
    stored = [path.read_bytes() for path in gateway.home.rglob("*") if path.is_file()]
    for value in planted.values():
        assert all(value not in answer for answer in answers)
        assert all(value.encode() not in content for content in stored)


def test_tokens_and_secrets_are_not_in_the_state_directory_in_clear(gateway_process: StartProcess) -> None:
    gateway = gateway_process()
    lease = gateway.lease()
    made = gateway.get("/credentials", lease.token).json()
    with SignedBraket(gateway, lease) as braket:
        braket.run_bell()
    gateway.stop()
    secrets = [lease.token.rpartition(".")[2], made["SecretAccessKey"], made["Token"]]
    for path in gateway.home.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert all(secret.encode() not in content for secret in secrets), path.name


# -- the directory as a class


def test_two_starters_agree_on_one_token(tmp_path: Path) -> None:
    home = tmp_path / "home"
    state = StateDirectory(home)
    try:
        first = state.control_token()
        assert len(first) >= 43 and state.control_token() == first
        assert mode(home / "control.token") == 0o600
    finally:
        state.close()


@pytest.mark.parametrize("content", ["", "short", "x" * 40 + "\u00e9"])
def test_a_token_file_that_holds_no_token_is_told(tmp_path: Path, content: str) -> None:
    from jupyter_qsec.domain.errors import StateDirectoryError

    home = tmp_path / "home"
    state = StateDirectory(home)
    try:
        (home / "control.token").write_text(content)
        (home / "control.token").chmod(0o600)
        with pytest.raises(StateDirectoryError, match=r"control\.token"):
            state.control_token()
        (home / "port").write_text("http")
        (home / "port").chmod(0o600)
        with pytest.raises(StateDirectoryError, match="port"):
            state.saved_port()
    finally:
        state.close()


def test_a_witness_elsewhere_gets_every_checkpoint(gateway_process: StartProcess, tmp_path: Path) -> None:
    witness = tmp_path / "elsewhere" / "witness"
    witness.parent.mkdir(mode=0o700)
    gateway = gateway_process(environ={**os.environ, "JUPYTER_QSEC_WITNESS": str(witness)})
    assert gateway.post("/api/v1/audit/checkpoint").status_code == 200
    assert witness.read_bytes() == (gateway.home / "checkpoints" / "log").read_bytes()


@pytest.mark.parametrize("named", ["witness", "/nowhere/at/all/witness"])
def test_a_witness_that_cannot_be_written_stops_the_start(gateway_process: StartProcess, named: str) -> None:
    gateway = gateway_process(environ={**os.environ, "JUPYTER_QSEC_WITNESS": named}, wait=False)
    code, line = failed(gateway)
    assert code == 2
    assert "absolute path" in line


def test_state_lies_in_the_database_that_the_environment_names(
    gateway_process: StartProcess, tmp_path: Path, postgres_url: str
) -> None:
    environ = {**os.environ, "JUPYTER_QSEC_DATABASE_URL": postgres_url}
    gateway = gateway_process(environ=environ)
    assert gateway.post("/api/v1/audit/checkpoint").status_code == 200
    assert not (gateway.home / "state.db").exists()


async def test_a_database_that_is_away_at_the_first_start_is_waited_for_and_then_named_as_that(tmp_path: Path) -> None:
    config = GatewayConfig(tmp_path, keystore="file", database=f"postgresql://qsec@/none?host={tmp_path}", patience=0.2)
    with pytest.raises(StateDirectoryError, match="state database") as caught:
        await build(config)
    assert caught.value.code == "state-directory"
    assert not list((tmp_path / "keys").glob("*.key")), "no key is made for a database that nobody has seen"


def test_a_dask_scheduler_that_cannot_be_reached_stops_the_start_and_leaves_nothing_open(
    gateway_process: StartProcess, tmp_path: Path
) -> None:
    environ = {**os.environ, "JUPYTER_QSEC_DASK_SCHEDULER": f"tcp://127.0.0.1:{free_port()}"}
    code, line = failed(gateway_process(environ=environ, wait=False))
    assert code == 3
    assert "cannot be reached" in line and "Start it, or correct" in line and "\n" not in line
    assert not (tmp_path / "home" / "gateway.json").exists()
    assert recorded_kinds(tmp_path / "home") == ["gateway.started", *FIRST_START, "gateway.stopped"]


def test_a_dask_scheduler_elsewhere_without_tls_stops_the_start(gateway_process: StartProcess) -> None:
    environ = {**os.environ, "JUPYTER_QSEC_DASK_SCHEDULER": "tcp://dask.example:8786"}
    code, line = failed(gateway_process(environ=environ, wait=False))
    assert code == 2
    assert "neither encrypted nor authenticated" in line and "\n" not in line


@pytest.mark.parametrize("way", ["url", "file"])
def test_a_database_that_cannot_be_used_stops_the_start_and_no_password_is_told(
    gateway_process: StartProcess, tmp_path: Path, way: str
) -> None:
    password = "correct-horse-battery"
    (tmp_path / "password").write_text(f"{password}\n")
    environ = {
        **os.environ,
        "JUPYTER_QSEC_DATABASE_URL": f"postgresql://ada:{password}@db.example/qsec?sslmode=disable",
    }
    if way == "file":
        environ["JUPYTER_QSEC_DATABASE_URL"] = "postgresql://ada@db.example/qsec?sslmode=disable"
        environ["JUPYTER_QSEC_DATABASE_PASSWORD_FILE"] = str(tmp_path / "password")
    code, line = failed(gateway_process(environ=environ, wait=False))
    assert code == 2
    assert "does not prove who the database server is" in line
    assert password not in line
    assert (
        not (tmp_path / "home" / "logs" / "gateway.log").exists()
        or password not in (tmp_path / "home" / "logs" / "gateway.log").read_text()
    )

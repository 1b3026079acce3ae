"""Code in a confined kernel attacks the real gateway, the real server and what belongs to them; in a kernel that
nothing confines the same code gets what it wants."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from jupyter_client.blocking.client import BlockingKernelClient

from jupyter_qsec.client.home import QsecHome
from jupyter_qsec.kernels.confine import syscalls
from tests.e2e.realserver import CellResult, RealServer
from tests.fakes import attacks
from tests.fakes.namespaces import namespaces_work

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.xdist_group("attacks"),
    pytest.mark.skipif(not namespaces_work(), reason="needs Linux with user namespaces"),
]

ATTACKS = [*(name for name in vars(attacks) if name.startswith("attack_server_")), "attack_ptrace", "attack_signal"]
ATTACHING = {"attack_server_memory", "attack_server_stack", "attack_server_stolen_descriptor", "attack_ptrace"}
"""What Linux counts as attaching to a process, not only as looking at it."""

ON_FILES = ["attack_open", "attack_list"]
FILES = {
    "the server's token": "runtime/jpserver-*.json",
    "the gateway's state": "qsec/state.db",
    "its keys": "qsec/keys/*",
    "its control token": "qsec/control.token",
}
"""What the real server and gateway keep below their home."""


def traces_everything() -> bool:
    """Whether this process, and what it starts, has CAP_SYS_PTRACE."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff")]
    return bool(int(line.split()[1], 16) >> 19 & 1)


def needs_attaching() -> None:
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    if scope.exists() and scope.read_text().strip() != "0" and not traces_everything():
        pytest.skip("this system's Yama lets programs attach to nothing but what they started")


def needs_scoped_signals() -> None:
    if syscalls.landlock_abi() < 6:
        pytest.skip("this kernel's Landlock does not scope signals")


@dataclass(frozen=True)
class Attacker:
    """A kernel with the attacks in it, and where what it is after can be found."""

    server: RealServer
    client: BlockingKernelClient
    kernel_id: str

    @classmethod
    def below(cls, server: RealServer) -> Attacker:
        if server.protected:
            server.wait_for_gateway()
        kernel_id = server.start_session("attack.ipynb")
        attacker = cls(server, server.client(kernel_id), kernel_id)
        source = inspect.getsource(attacks).replace("from __future__ import annotations\n", "")
        secrets = [str(server.home / ".aws" / "credentials"), str(server.qsec_home / "control.token")]
        assert attacker.run(f"{source}\nSECRETS = {secrets!r}").status == "ok"
        return attacker

    def run(self, code: str) -> CellResult:
        return self.server.run(self.client, code)

    def found(self, *words: str) -> list[int]:
        """The victims, as the code in the kernel finds them."""
        return list(map(int, self.run(f"print(*found(*{words!r}))").text.split()))

    def outcome(self, attack: str, victim: int) -> str:
        result = self.run(f"SERVER = OUTSIDE = {victim}\nprint('something' if {attack}() else 'nothing')")
        return result.text.strip()

    def reaches(self, attack: str, pattern: str) -> str:
        """The outcome of an attack on files of the server's and the gateway's own."""
        files = [path for path in self.server.home.glob(pattern) if path.is_file()]
        assert files, "they are there"
        known = list(map(str, files)), sorted({str(path.parent) for path in files}), str(self.server.runtime)
        code = (
            f"kept, (SECRETS, COVERED, RUNTIME) = (SECRETS, COVERED, RUNTIME), {known!r}\n"
            f"print('something' if {attack}() else 'nothing')\n"
            "SECRETS, COVERED, RUNTIME = kept"
        )
        return self.run(code).text.strip()

    def gateway(self) -> int:
        (pid,) = self.found("jupyter_qsec.gateway", str(self.server.qsec_home))
        info = QsecHome(self.server.qsec_home).running_gateway()
        assert info is not None and info.pid == pid
        return pid

    def jupyter(self) -> int:
        (pid,) = self.found("jupyter_server", str(self.server.root))
        assert self.server.process is not None and self.server.process.pid == pid
        return pid

    def relay(self) -> int:
        return self._own("jupyter_qsec.kernels.relay")

    def other_kernel(self) -> int:
        return self._own("ipykernel_launcher")

    def _own(self, word: str) -> int:
        """The oldest of this server's: other tests have such processes, too. It is never the attacker's own kernel."""
        own: dict[int, float] = {child.pid: child.create_time() for child in psutil.Process(self.jupyter()).children()}
        return min(own.keys() & set(self.found(word)), key=own.__getitem__)


@pytest.fixture(scope="module")
def confined(shared_server: RealServer) -> Attacker:
    shared_server.wait_for_gateway()
    shared_server.client(shared_server.start_session("other.ipynb"))
    return Attacker.below(shared_server)


@pytest.fixture(scope="module")
def unprotected(unprotected_server: RealServer) -> Attacker:
    return Attacker.below(unprotected_server)


@pytest.fixture(scope="module")
def unconfined(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacker]:
    """A server with the extension, its confinement switched off."""
    server = RealServer(tmp_path_factory.mktemp("open") / "home", "--QsecExtension.confinement=off")
    server.start()
    try:
        yield Attacker.below(server)
    finally:
        server.stop()


def test_the_kernel_is_confined_with_the_gateway_running(confined: Attacker) -> None:
    entries = {entry["kernel_id"]: entry for entry in confined.server.qsec("kernels")["kernels"]}
    assert entries[confined.kernel_id]["confinement"] == {"state": "confined", "reasons": []}


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize(
    "victim", [Attacker.gateway, Attacker.jupyter, Attacker.relay, Attacker.other_kernel], ids=lambda way: way.__name__
)
def test_a_confined_kernel_gets_nothing_of_any_of_them(
    confined: Attacker, victim: Callable[[Attacker], int], attack: str
) -> None:
    if attack == "attack_signal":
        needs_scoped_signals()
    assert confined.outcome(attack, victim(confined)) == "nothing"


@pytest.mark.parametrize("attack", ON_FILES)
@pytest.mark.parametrize("files", FILES)
def test_a_confined_kernel_reaches_none_of_their_files(confined: Attacker, files: str, attack: str) -> None:
    assert confined.reaches(attack, FILES[files]) == "nothing"


@pytest.mark.parametrize("attack", ON_FILES)
@pytest.mark.parametrize("files", FILES)
def test_with_confinement_off_their_files_are_open(unconfined: Attacker, files: str, attack: str) -> None:
    assert unconfined.reaches(attack, FILES[files]) == "something"


@pytest.mark.parametrize("victim", [Attacker.gateway, Attacker.jupyter], ids=lambda way: way.__name__)
def test_a_confined_kernel_can_neither_stop_nor_kill_them(
    confined: Attacker, victim: Callable[[Attacker], int]
) -> None:
    needs_scoped_signals()
    pid = victim(confined)
    for name in ("SIGSTOP", "SIGTERM", "SIGKILL"):
        answer = confined.run(f"import signal; os.kill({pid}, signal.{name})")
        assert answer.status == "error" and "PermissionError" in answer.text
    assert psutil.Process(pid).status() not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)
    assert confined.server.qsec("status")["gateway"]["state"] == "running"
    assert victim(confined) == pid, "it is the same process as before"


@pytest.mark.parametrize("attack", ATTACKS)
def test_without_the_extension_the_server_falls_to_each_of_them(unprotected: Attacker, attack: str) -> None:
    if attack in ATTACHING:
        needs_attaching()
    assert unprotected.outcome(attack, unprotected.jupyter()) == "something"


def test_without_the_extension_a_kernel_reads_the_credential_from_the_servers_memory(unprotected: Attacker) -> None:
    needs_attaching()
    pid = unprotected.jupyter()
    read = unprotected.run(f"SERVER = {pid}\nprint({RealServer.PLANTED_SECRET!r}.encode() in server_stack())")
    assert read.text.strip() == "True", read.text


def test_without_the_extension_a_kernel_can_stop_the_server(unprotected: Attacker) -> None:
    pid = unprotected.jupyter()
    code = (
        f"import signal, time; os.kill({pid}, signal.SIGSTOP)\n"
        f"state = lambda: content('/proc/{pid}/stat').rpartition(b')')[2].split()[0]\n"
        "while state() != b'T': pass\n"
        f"os.kill({pid}, signal.SIGCONT); print('stopped')"
    )
    assert unprotected.run(code).text.strip() == "stopped"


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("victim", [Attacker.gateway, Attacker.jupyter], ids=lambda way: way.__name__)
def test_with_confinement_off_only_what_is_not_dumpable_stays_closed(
    unconfined: Attacker, victim: Callable[[Attacker], int], attack: str
) -> None:
    """For root not even that: then it was the confinement alone that kept the kernel out."""
    open_anyway = attack == "attack_signal" or traces_everything()
    assert unconfined.outcome(attack, victim(unconfined)) == ("something" if open_anyway else "nothing")

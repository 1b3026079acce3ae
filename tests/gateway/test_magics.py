"""`%qsubmit`, `%%qsubmit` and `%qstatus` in a real IPython shell, against the real gateway."""

from __future__ import annotations

import atexit
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from braket.circuits import Circuit, FreeParameter, Observable
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config

from jupyter_qsec.magics import load_ipython_extension
from jupyter_qsec.magics.control import Control
from jupyter_qsec.magics.problems import AWAY, QsubmitError
from tests.gateway.livegateway import Issued, LiveGateway

BELL = "OPENQASM 3.0;\nqubit[2] q;\nh q[0];\ncnot q[0], q[1];"


@dataclass
class Ran:
    """What a cell did."""

    value: Any
    error: BaseException | None
    text: str
    """Everything printed."""
    shown: list[dict[str, Any]]
    """MIME bundles in the order in which they were displayed or updated."""

    @property
    def html(self) -> str:
        return "\n".join(bundle.get("text/html", "") for bundle in self.shown)

    @property
    def plain(self) -> str:
        return "\n".join(bundle.get("text/plain", "") for bundle in self.shown)

    def refused(self) -> str:
        """The one line of a mistake; fails when there is a traceback or more than one line."""
        assert self.error is not None
        lines = [line for line in self.text.splitlines() if line.strip()]
        assert len(lines) == 1, self.text
        assert "Traceback" not in self.text
        return lines[0]


Run = Callable[[str], Ran]


@pytest.fixture(scope="module")
def one_shell() -> Iterator[InteractiveShell]:
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance(config=config)
    yield shell
    shell.atexit_operations()  # type: ignore[no-untyped-call]  # IPython's
    atexit.unregister(shell.atexit_operations)
    InteractiveShell.clear_instance()


@pytest.fixture
def shell(one_shell: InteractiveShell) -> InteractiveShell:
    """With magics that have no session yet."""
    load_ipython_extension(one_shell)
    return one_shell


@pytest.fixture
def run(
    shell: InteractiveShell,
    shared_gateway: LiveGateway,
    issued: Issued,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """Runs a cell under a lease of the shared gateway."""
    use(shared_gateway, issued, tmp_path, monkeypatch)
    return runner(shell)


def use(gateway: LiveGateway, issued: Issued, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give this process the environment of a kernel under the lease."""
    token_file = folder / "lease.token"
    token_file.touch(mode=0o600)
    token_file.write_text(issued.token)
    for name, value in gateway.environment(token_file).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("JUPYTER_QSEC_GATEWAY", gateway.url)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)


def runner(shell: InteractiveShell) -> Run:
    def run(cell: str) -> Ran:
        with capture_output() as captured:
            result = shell.run_cell(cell)  # type: ignore[no-untyped-call]  # IPython's
        error = result.error_in_exec or result.error_before_exec
        shown = [output.data for output in captured.outputs]
        return Ran(result.result, error, captured.stdout + captured.stderr, shown)

    return run


class TestSubmitting:
    def test_a_cell_of_openqasm_shows_estimate_arn_progress_and_counts(self, run: Run) -> None:
        ran = run(f"%%qsubmit --device sv1 --shots 1000\n{BELL}")
        assert ran.error is None
        assert set(ran.value.measurement_counts) == {"00", "11"}
        assert "SV1 · 1,000 shots · estimate $0.0038" in ran.plain
        assert ":quantum-task/" in ran.plain
        assert "completed in" in ran.plain
        assert 'role="progressbar"' in ran.html
        assert 'aria-valuenow="100"' in ran.html
        assert "<svg" in ran.html
        assert "1,000 shots on SV1" in ran.html
        assert "GateModelQuantumTaskResult(1,000 shots, 2 outcomes)" in ran.text

    def test_the_result_goes_to_a_variable(self, run: Run, shell: InteractiveShell) -> None:
        ran = run(f"%%qsubmit --shots 50 --no-plot --out bell_result\n{BELL}")
        assert ran.value is None
        assert sum(shell.user_ns["bell_result"].measurement_counts.values()) == 50
        assert "<svg" not in ran.html

    def test_a_circuit_from_a_variable(self, run: Run, shell: InteractiveShell) -> None:
        shell.user_ns["bell"] = Circuit().h(0).cnot(0, 1)
        ran = run("found = %qsubmit bell --shots 70 --device arn:aws:braket:::device/quantum-simulator/amazon/dm1")
        assert ran.error is None
        assert sum(shell.user_ns["found"].measurement_counts.values()) == 70
        assert "dm1 · 70 shots" in ran.plain

    def test_values_of_result_types_are_listed(self, run: Run, shell: InteractiveShell) -> None:
        shell.user_ns["zz"] = Circuit().h(0).cnot(0, 1).expectation(Observable.Z() @ Observable.Z(), [0, 1])
        ran = run("%qsubmit zz --shots 20")
        assert "expectation z @ z on 0, 1  1" in ran.plain

    def test_a_list_runs_as_a_batch(self, run: Run, shell: InteractiveShell) -> None:
        shell.user_ns["circuits"] = [Circuit().x(0), Circuit().i(0), Circuit().x(0)]
        ran = run("%qsubmit circuits --shots 10")
        assert ran.error is None
        assert [dict(result.measurement_counts) for result in ran.value] == [{"1": 10}, {"0": 10}, {"1": 10}]
        assert "3 of 3 completed" in ran.plain

    def test_one_broken_program_does_not_spoil_a_batch(self, run: Run, shell: InteractiveShell) -> None:
        shell.user_ns["mixed"] = [BELL, BELL.replace("cnot", "cx")]
        ran = run("%qsubmit mixed --shots 10")
        assert ran.error is None
        assert [result is not None for result in ran.value] == [True, False]
        assert "gate 'cx' is not defined" in ran.plain

    def test_matplotlib_draws_when_asked(self, run: Run) -> None:
        ran = run(f"%%qsubmit --shots 10 --plot matplotlib\n{BELL}")
        assert ran.error is None
        assert any("Figure" in bundle.get("text/plain", "") for bundle in ran.shown)

    def test_status_shows_lease_quota_and_tasks(self, run: Run, issued: Issued) -> None:
        run(f"%%qsubmit --shots 10\n{BELL}")
        ran = run("%qstatus")
        assert f"Lease {issued.id[:8]} · sandbox" in ran.plain
        assert "tenant:sandbox" in ran.plain
        assert "COMPLETED" in ran.plain

    def test_results_of_other_origin_are_shown_as_always(self, run: Run, shell: InteractiveShell) -> None:
        run(f"%%qsubmit --shots 10 --out ours\n{BELL}")
        ours = shell.user_ns["ours"]
        shell.user_ns["theirs"] = type(ours)(task_metadata=ours.task_metadata, additional_metadata=None)
        assert "task_metadata=" in run("theirs").text


MISTAKES = pytest.mark.parametrize(
    ("cell", "line"),
    [
        (f"%%qsubmit --device sv2\n{BELL}", "There is no device 'sv2'. Did you mean 'sv1'? Available: sv1, dm1."),
        (f"%%qsubmit --shots 0\n{BELL}", "--shots must be 1 or more, not 0"),
        (f"%%qsubmit --shots=-1\n{BELL}", "--shots must be 1 or more, not -1"),
        (f"%%qsubmit --shots few\n{BELL}", "--shots needs a whole number; 'few' is none."),
        (f"%%qsubmit --shots 200000\n{BELL}", "at most 100000"),
        (f"%%qsubmit --shts 5\n{BELL}", "There is no option --shts. Did you mean '--shots'?"),
        (f"%%qsubmit --shots '5\n{BELL}", "The options cannot be read: no closing quotation."),
        (f"%%qsubmit --out 2x\n{BELL}", "--out needs the name of a variable; '2x' is none."),
        (f"%%qsubmit bell\n{BELL}", "With %%qsubmit the cell itself holds the program."),
        ("%%qsubmit\n   ", "The cell holds no program"),
        (
            f"%%qsubmit\n{BELL}\nh q[0]\nx q[1];",
            "OpenQASM line 6, column 1: unexpected 'x'. Is a ';' missing before it?",
        ),
        (f"%%qsubmit\n{BELL}\nh q[0;", "OpenQASM line 5, column 4: '[' is never closed."),
        (f"%%qsubmit\n{BELL}\ncx q[0], q[1];", "OpenQASM line 5: gate 'cx' is not defined. Braket calls it 'cnot'."),
        (f'%%qsubmit\ninclude "stdgates.inc";\n{BELL}', "'include' is not supported."),
        ("%%qsubmit\nqubit[60] q;\nh q;", "The program uses 60 qubits; SV1 takes up to 25 here."),
        ("%qsubmit", "Say what to run: %qsubmit VARIABLE"),
        ("%qsubmit bel", "There is no variable 'bel'. Did you mean 'bell'?"),
        ("%qsubmit number", "number is of type int: not a Circuit, not an OpenQASM program."),
        ("%qsubmit empty", "empty is empty."),
        ("%qsubmit free", "free has free parameters (theta): bind them first"),
        ("%qsubmit 1/0", "1/0 raises ZeroDivisionError: division by zero"),
        ("%qsubmit bell bell", "'bell bell' is no Python expression."),
        ("%qstatus now", "%qstatus takes no options."),
    ],
    ids=lambda text: text.replace(BELL, "…")[:32],
)


@pytest.fixture
def mistaken(run: Run, shell: InteractiveShell) -> Run:
    """Runs a cell beside the variables that the mistakes are about."""
    shell.user_ns |= {
        "bell": Circuit().h(0).cnot(0, 1),
        "number": 5,
        "empty": [],
        "free": Circuit().rx(0, FreeParameter("theta")),
    }
    return run


@MISTAKES
def test_a_mistake_is_one_clear_line(mistaken: Run, cell: str, line: str) -> None:
    assert line in mistaken(cell).refused()


@MISTAKES
def test_without_its_own_rendering_the_same_mistake_is_a_traceback(
    mistaken: Run, monkeypatch: pytest.MonkeyPatch, cell: str, line: str
) -> None:
    monkeypatch.delattr(QsubmitError, "_render_traceback_")
    said = mistaken(cell).text
    assert "Traceback (most recent call last)" in said and line in said
    assert len(said.splitlines()) > 5


class TestTroubles:
    def test_a_kernel_without_a_lease(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("JUPYTER_QSEC_GATEWAY")
        assert run(f"%%qsubmit\n{BELL}").refused().startswith("This kernel has no lease.")

    def test_a_gateway_that_is_away(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            monkeypatch.setenv("JUPYTER_QSEC_GATEWAY", f"http://127.0.0.1:{unused.getsockname()[1]}")
            assert run(f"%%qsubmit\n{BELL}").refused().startswith("The gateway does not answer.")

    def test_a_revoked_lease_says_how_to_get_a_new_one(
        self, run: Run, shared_gateway: LiveGateway, issued: Issued, tmp_path: Path
    ) -> None:
        assert run(f"%%qsubmit --shots 5\n{BELL}").error is None
        revoked = shared_gateway.post(f"/api/v1/leases/{issued.id}/revoke", {"reason": "a test"})
        assert revoked.status_code == 200
        said = run(f"%%qsubmit --shots 5\n{BELL}").refused()
        assert "was revoked (a test)" in said
        assert "New lease" in said
        # With a new lease in the file the same shell goes on, although its AWS session was made under the old one.
        (tmp_path / "lease.token").write_text(shared_gateway.lease(tenant="sandbox").token)
        assert run(f"%%qsubmit --shots 5\n{BELL}").error is None

    def test_a_lease_revoked_behind_the_session(
        self, run: Run, shared_gateway: LiveGateway, issued: Issued, tmp_path: Path
    ) -> None:
        assert run(f"%%qsubmit --shots 5\n{BELL}").error is None
        (tmp_path / "lease.token").write_text(shared_gateway.lease(tenant="sandbox").token)
        shared_gateway.post(f"/api/v1/leases/{issued.id}/revoke", {"reason": "a test"})
        assert run(f"%%qsubmit --shots 5\n{BELL}").error is None

    def test_an_interrupt_cancels_the_task(self, run: Run, monkeypatch: pytest.MonkeyPatch, issued: Issued) -> None:
        look = Control.task
        interrupted: list[str] = []

        def interrupting(self: Control, task_id: str) -> dict[str, Any]:
            task = look(self, task_id)
            if task["state"] == "RUNNING" and not interrupted:
                interrupted.append(task_id)
                raise KeyboardInterrupt
            return task

        monkeypatch.setattr(Control, "task", interrupting)
        said = run("%%qsubmit\nqubit[20] q;\nfor int i in [0:500] { h q; }").refused()
        assert said == "Interrupted: 1 task was cancelled."
        assert Control.of_this_kernel().task(interrupted[0])["state"] in ("CANCELLING", "CANCELLED")

    def test_an_interrupt_while_the_gateway_is_away_says_which_task_may_go_on(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, issued: Issued, shared_gateway: LiveGateway
    ) -> None:
        look = Control.task
        interrupted: list[str] = []
        asked_for_cancellation: list[str] = []

        def interrupting(self: Control, task_id: str) -> dict[str, Any]:
            if not interrupted:
                interrupted.append(task_id)
                raise KeyboardInterrupt
            return look(self, task_id)

        def away(self: Control, task_id: str) -> None:
            asked_for_cancellation.append(task_id)
            raise QsubmitError(AWAY, code="unavailable")

        with monkeypatch.context() as outage:
            outage.setattr(Control, "task", interrupting)
            outage.setattr(Control, "cancel", away)
            said = run("%%qsubmit\nqubit[20] q;\nfor int i in [0:500] { h q; }").refused()
        assert asked_for_cancellation == interrupted
        assert said.startswith(f"Interrupted: 0 tasks were cancelled. {interrupted[0]} may go on, since")
        assert AWAY in said
        assert "jupyter qsec tasks cancel" in said
        Control.of_this_kernel().cancel(interrupted[0])

    def test_an_interrupted_batch_does_not_wait_for_each_task_while_the_gateway_is_away(
        self, run: Run, shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch, issued: Issued
    ) -> None:
        asked: list[str] = []

        def interrupting(self: Control, **query: str | int) -> list[dict[str, Any]]:
            raise KeyboardInterrupt

        def away(self: Control, task_id: str) -> dict[str, Any]:
            asked.append(task_id)
            raise QsubmitError(AWAY, code="unavailable")

        shell.user_ns["bells"] = [Circuit().h(0).cnot(0, 1)] * 3
        monkeypatch.setattr(Control, "tasks", interrupting)
        monkeypatch.setattr(Control, "task", away)
        said = run("%qsubmit bells --shots 5").refused()
        assert len(asked) == 1
        assert f"{asked[0]} and 2 more may go on" in said

    def test_a_quota_that_is_used_up(
        self, shell: InteractiveShell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        home = tmp_path / "home"
        home.mkdir(mode=0o700)
        tenants = home / "tenants.toml"
        tenants.touch(mode=0o600)
        tenants.write_text(
            '[[tenant]]\nid = "sandbox"\nname = "Sandbox"\naccount = "000000000101"\npurpose = "tutorial"\n'
            'environment = "sandbox"\nlimits = { shots = 100 }\n[[tenant.project]]\nid = "first"\nname = "First"\n'
        )
        gateway = LiveGateway(home).start()
        try:
            use(gateway, gateway.lease(tenant="sandbox"), tmp_path, monkeypatch)
            said = runner(shell)(f"%%qsubmit --shots 500\n{BELL}").refused()
        finally:
            gateway.stop()
        assert "quota" in said
        assert "100 shots" in said

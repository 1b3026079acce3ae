"""The embedded simulators: real worker processes, real programs, real attacks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from braket.circuits import Circuit, Observable
from braket.circuits.serialization import IRType
from braket.default_simulator.openqasm.interpreter import Interpreter
from braket.device_schema import GateModelParameters
from braket.device_schema.simulators import GateModelSimulatorDeviceParameters
from braket.program_sets import ProgramSet
from braket.schema_common import BraketSchemaBase
from braket.task_result import GateModelTaskResult, ProgramSetTaskResult
from braket.tasks import GateModelQuantumTaskResult
from braket.tasks.measurement_utils import expectation_from_measurements
from braket.tasks.program_set_quantum_task_result import ProgramSetQuantumTaskResult

from jupyter_qsec.adapters.providers.explain import one_line
from jupyter_qsec.adapters.providers.simulator import SimulatorExecutor, default_workers
from jupyter_qsec.adapters.providers.workers import worker_environment
from jupyter_qsec.application.ports import ExecutionFailure, ExecutionLimits, ExecutionResult
from jupyter_qsec.domain.task import QuantumTask, TaskPayload
from tests.fakes.executor_thread import ExecutorThread

DEVICE = "arn:aws:braket:::device/quantum-simulator/amazon/"


def task(shots: int = 100, device: str = "sv1") -> QuantumTask:
    return QuantumTask(
        id=str(uuid.uuid4()),
        tenant="sandbox",
        project="first",
        principal="os:ada",
        lease_id="l" * 32,
        lane="tutorial/sandbox/simulator",
        region="us-east-1",
        account="100000000001",
        device_arn=DEVICE + device,
        shots=shots,
        qubits=2,
        action_digest="",
        request_digest="",
        client_token="",
        output_bucket="bucket",
        output_prefix="tasks",
        created_at=datetime(2026, 3, 1, 12, 0, 0, 5000, tzinfo=UTC),
    )


def program(circuit: Circuit) -> TaskPayload:
    parameters = GateModelSimulatorDeviceParameters(
        paradigmParameters=GateModelParameters(qubitCount=circuit.qubit_count)
    )
    return TaskPayload(circuit.to_ir(ir_type=IRType.OPENQASM).json(), parameters.json(exclude_none=True))


def openqasm(source: str, **inputs: Any) -> TaskPayload:
    header = {"name": "braket.ir.openqasm.program", "version": "1"}
    return TaskPayload(json.dumps({"braketSchemaHeader": header, "source": source, "inputs": inputs}))


BELL = Circuit().h(0).cnot(0, 1)


@pytest.fixture(scope="module")
def executor() -> Iterator[ExecutorThread]:
    with ExecutorThread(SimulatorExecutor(1)) as running:
        yield running


@pytest.fixture(scope="module")
def strict() -> Iterator[ExecutorThread]:
    limits = ExecutionLimits(max_qubits=24, max_memory_bytes=200 << 20, max_seconds=1.5, max_result_bytes=1 << 20)
    with ExecutorThread(SimulatorExecutor(1, limits)) as running:
        yield running


def document(outcome: ExecutionResult | ExecutionFailure) -> dict[str, Any]:
    assert isinstance(outcome, ExecutionResult), outcome
    content: dict[str, Any] = json.loads(outcome.results_json)
    return content


def result(outcome: ExecutionResult | ExecutionFailure) -> GateModelQuantumTaskResult:
    """What the SDK makes of it."""
    assert isinstance(outcome, ExecutionResult), outcome
    parsed = BraketSchemaBase.parse_raw_schema(outcome.results_json.decode())
    assert isinstance(parsed, GateModelTaskResult)
    GateModelQuantumTaskResult.cast_result_types(parsed)
    return GateModelQuantumTaskResult.from_object(parsed)


def reason(outcome: ExecutionResult | ExecutionFailure) -> str:
    assert isinstance(outcome, ExecutionFailure), outcome
    return outcome.reason


class TestResults:
    def test_a_bell_pair_measures_equal_bits(self, executor: ExecutorThread) -> None:
        counts = result(executor.execute(task(1000), program(BELL))).measurement_counts
        assert set(counts) == {"00", "11"}
        assert sum(counts.values()) == 1000
        assert min(counts.values()) > 350

    def test_the_document_is_complete(self, executor: ExecutorThread) -> None:
        submitted = task(10)
        content = document(executor.execute(submitted, program(BELL)))
        metadata = content["taskMetadata"]
        assert metadata["id"] == submitted.arn
        assert metadata["deviceId"] == submitted.device_arn
        assert metadata["shots"] == 10
        assert metadata["createdAt"] == "2026-03-01T12:00:00.005Z"
        assert metadata["endedAt"].endswith("Z")
        assert metadata["status"] == "COMPLETED"
        assert metadata["deviceParameters"]["paradigmParameters"]["qubitCount"] == 2
        assert content["additionalMetadata"]["action"]["source"] == BELL.to_ir(ir_type=IRType.OPENQASM).source
        assert content["additionalMetadata"]["simulatorMetadata"]["executionDuration"] >= 1
        assert content["measuredQubits"] == [0, 1]
        assert all(bit in (0, 1) and type(bit) is int for row in content["measurements"] for bit in row)

    def test_a_state_vector_comes_as_pairs_and_without_empty_measurements(self, executor: ExecutorThread) -> None:
        circuit = Circuit().h(0).s(0).state_vector().amplitude(state=["1"]).probability().expectation(Observable.Y(), 0)
        outcome = executor.execute(task(0), program(circuit))
        content = document(outcome)
        assert "measurements" not in content
        assert np.allclose(content["resultTypes"][0]["value"], [[2**-0.5, 0], [0, 2**-0.5]])
        assert np.allclose(content["resultTypes"][1]["value"]["1"], [0, 2**-0.5])
        values = result(outcome).values
        assert np.allclose(values[0], [2**-0.5, 2**-0.5 * 1j])
        assert np.allclose(values[1]["1"], 2**-0.5 * 1j)
        assert np.allclose(values[2], [0.5, 0.5])
        assert values[3] == pytest.approx(1)

    def test_result_types_of_samples_have_the_values_that_the_sdk_works_out(self, executor: ExecutorThread) -> None:
        hermitian = Observable.Hermitian(np.array([[2, 1j], [-1j, 3]]))
        circuit = (
            Circuit().ry(0, 0.4).cnot(0, 1).ry(2, 1.1).h(3)
            .expectation(Observable.X() @ Observable.Y(), [0, 1])
            .variance(hermitian, 2).sample(hermitian, 2).expectation(Observable.X() @ Observable.I(), [3, 2])
            .probability([2, 0])
        )  # fmt: skip
        outcome = executor.execute(task(400), program(circuit))
        content, read = document(outcome), result(outcome)
        rows, measured = read.measurements, read.measured_qubits
        pair = expectation_from_measurements(rows, measured, Observable.X() @ Observable.Y(), [0, 1])
        assert content["resultTypes"][0]["value"] == pytest.approx(pair)
        eigenvalues = np.linalg.eigvalsh(np.array([[2, 1j], [-1j, 3]]))
        samples = eigenvalues[rows[:, 2]]
        assert content["resultTypes"][1]["value"] == pytest.approx(np.var(samples))
        assert np.allclose(content["resultTypes"][2]["value"], samples)
        assert content["resultTypes"][3]["value"] == pytest.approx(np.mean(1 - 2 * rows[:, 3]))
        places = rows[:, 2] * 2 + rows[:, 0]
        assert np.allclose(content["resultTypes"][4]["value"], np.bincount(places, minlength=4) / 400)
        exact = np.array([[2, 1j], [-1j, 3]])
        state = np.array([np.cos(0.55), np.sin(0.55)])
        assert np.mean(samples) == pytest.approx((state @ exact @ state).real, abs=0.25)

    def test_an_observable_without_a_target_is_measured_on_every_qubit(self, executor: ExecutorThread) -> None:
        circuit = Circuit().x(0).i(1).expectation(Observable.Z())
        assert document(executor.execute(task(20), program(circuit)))["resultTypes"][0]["value"] == [-1.0, 1.0]

    def test_result_types_keep_the_qubits_of_the_program(self, executor: ExecutorThread) -> None:
        circuit = Circuit().x(3).h(7).expectation(Observable.Z(), 3)
        for shots in (0, 50):
            read = result(executor.execute(task(shots), program(circuit)))
            assert read.result_types[0].type.targets == [3]
            assert read.get_value_by_result_type(circuit.result_types[0]) == pytest.approx(-1)

    def test_measured_bits_are_those_the_program_measures(self, executor: ExecutorThread) -> None:
        circuit = Circuit().x(0).i(1).x(2).measure(2).measure(1)
        read = result(executor.execute(task(5), program(circuit)))
        assert read.measured_qubits == [2, 1]
        assert read.measurement_counts == {"10": 5}

    def test_inputs_reach_the_program(self, executor: ExecutorThread) -> None:
        payload = openqasm("OPENQASM 3.0;\ninput float a;\nqubit q;\nrx(a) q;", a=float(np.pi))
        assert result(executor.execute(task(7), payload)).measurement_counts == {"1": 7}

    def test_dm1_runs_noise(self, executor: ExecutorThread) -> None:
        circuit = Circuit().x(0).bit_flip(0, 0.5)
        assert len(result(executor.execute(task(200, "dm1"), program(circuit))).measurement_counts) == 2
        exact = executor.execute(task(0, "dm1"), program(circuit.density_matrix()))
        assert np.allclose(document(exact)["resultTypes"][0]["value"], [[[0.5, 0], [0, 0]], [[0, 0], [0.5, 0]]])

    def test_jaqcd_programs_run(self, executor: ExecutorThread) -> None:
        circuit = Circuit().x(0).cnot(0, 1).expectation(Observable.Z(), 1)
        with pytest.warns(UserWarning, match="deprecated"):
            payload = TaskPayload(circuit.to_ir(ir_type=IRType.JAQCD).json())
        assert result(executor.execute(task(10), payload)).values == [-1.0]
        assert result(executor.execute(task(0), payload)).values == [-1.0]

    def test_program_sets_run(self, executor: ExecutorThread) -> None:
        circuits = ProgramSet([Circuit().x(0), Circuit().i(0)])
        submitted = task(20)
        outcome = executor.execute(submitted, TaskPayload(circuits.to_ir().json()))
        assert isinstance(outcome, ExecutionResult), outcome
        parsed = BraketSchemaBase.parse_raw_schema(outcome.results_json.decode())
        assert isinstance(parsed, ProgramSetTaskResult)
        assert parsed.taskMetadata.id == submitted.arn
        read = ProgramSetQuantumTaskResult.from_object(parsed, program_set=circuits)
        assert [entry.counts for composite in read for entry in composite] == [{"1": 10}, {"0": 10}]

    def test_a_comment_that_ends_like_a_file_name_is_a_comment(self, executor: ExecutorThread) -> None:
        payload = openqasm("OPENQASM 3.0;\nqubit q;\nx q; // from bell.qasm")
        assert result(executor.execute(task(3), payload)).measurement_counts == {"1": 3}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("qubit[2] q;\nh q[0]\ncnot q[0], q[1];", "OpenQASM line 3, column 1: unexpected 'cnot'. Is a ';' missing"),
        ("qubit[2] q;\ncx q[0], q[1];", "OpenQASM line 2: gate 'cx' is not defined. Braket calls it 'cnot'."),
        ("qubit[2] q;\n\nfoo q[0];", "OpenQASM line 3: gate 'foo' is not defined."),
        ("qubit[2] q;\nh z[0];", "OpenQASM line 2: 'z' is not declared."),
        ("qubit[2] q;\nh q[5];", "OpenQASM line 2: 'q[5]' is out of range, 'q' has 2 qubits."),
        ("qubit[2] q;\nh ` q[0];", "OpenQASM line 2, column 3: '`' has no meaning here."),
        ("qubit[2] q;\nh q[0]", "OpenQASM line 2: the program ends in the middle of a statement"),
        ("qubit[2] q;\n#pragma braket noise bit_flip(0.1) q[0]\n", "use device DM1"),
        ("qubit q;\nint[8] x = 1 / 0;", "The program divides by zero."),
        ("qubit[2] q;", "The program uses no qubits."),
        ("qubit[30] q;\nh q;", "The program uses 30 qubits; 25 are allowed here."),
        ("qubit q;\nrx(" + "(" * 2000 + "1" + ")" * 2000 + ") q;", "The program is nested too deeply."),
    ],
    ids=lambda text: repr(text[-24:]),
)
def test_a_broken_program_is_explained_in_one_line(executor: ExecutorThread, source: str, expected: str) -> None:
    said = reason(executor.execute(task(), openqasm(source)))
    assert expected in said
    assert "\n" not in said
    assert "Traceback" not in said
    assert os.sep + "site-packages" not in said


class TestIsolation:
    def test_a_program_reads_no_file(self, executor: ExecutorThread, tmp_path: Path) -> None:
        planted = tmp_path / "planted.inc"
        planted.write_text("qubit q;\nx q;\n")
        hostile = f'include "{planted}";\n'
        # The simulators would read it, if nothing kept them from it.
        assert Interpreter().run(hostile).circuit.num_qubits == 1
        assert reason(executor.execute(task(), openqasm(hostile))) == "The program may not read files."

    def test_a_program_is_no_file_name(self, executor: ExecutorThread, tmp_path: Path) -> None:
        planted = tmp_path / "planted.qasm"
        planted.write_text("OPENQASM 3.0;\nqubit q;\nx q;\n")
        assert Interpreter().run(str(planted), is_file=True).circuit.num_qubits == 1
        said = reason(executor.execute(task(), openqasm(str(planted))))
        assert "unexpected '/'" in said
        assert "planted" not in said

    @pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
    def test_a_worker_holds_nothing_of_the_gateway(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-root-secret")
        monkeypatch.setenv("JUPYTER_TOKEN", "planted-server-token")
        with ExecutorThread(SimulatorExecutor(1)) as running:
            running.execute(task(1), program(BELL))
            [pid] = running.workers()
            environment = Path(f"/proc/{pid}/environ").read_bytes()
            descriptors = [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()]
            limits = Path(f"/proc/{pid}/limits").read_text()
        assert b"planted" not in environment
        assert b"PATH=" in environment
        assert [name for name in descriptors if not name.startswith(("pipe:", "/dev/null", "anon_inode:"))] == []
        assert "Max core file size        0                    0" in limits

    def test_the_environment_of_a_worker_is_a_list_of_names(self) -> None:
        known = worker_environment({"PATH": "/bin", "AWS_PROFILE": "root", "GITHUB_TOKEN": "x", "HOME": "/h"}, 2)
        assert known["PATH"] == "/bin"
        assert known["NUMBA_NUM_THREADS"] == "2"
        assert not [name for name in known if "AWS" in name or "TOKEN" in name]


class TestLimits:
    def test_a_program_that_needs_too_much_memory_fails_alone(self, strict: ExecutorThread) -> None:
        said = reason(strict.execute(task(10), openqasm("qubit[24] q;\nh q;")))
        assert said == "The task needs more memory than a simulator may use."
        assert isinstance(strict.execute(task(10), program(BELL)), ExecutionResult)

    def test_a_program_that_runs_too_long_is_ended(self, strict: ExecutorThread) -> None:
        endless = "qubit[20] q;\nfor int i in [0:300] { h q; }"
        assert reason(strict.execute(task(10), openqasm(endless))) == "The task ran longer than the limit of 1.5 s."
        assert isinstance(strict.execute(task(10), program(BELL)), ExecutionResult)

    def test_a_result_that_is_too_large_is_refused(self, strict: ExecutorThread) -> None:
        said = reason(strict.execute(task(100_000), program(Circuit().h(range(10)))))
        assert said.startswith("The result is larger than 1 MiB")
        said = reason(strict.execute(task(0), program(Circuit().h(range(17)).state_vector())))
        assert said.startswith("The result is larger than 1 MiB")


SLOW = openqasm("qubit q;\nfor int i in [0:999999] { h q; }")


def running(executor: ExecutorThread, submitted: QuantumTask) -> int:
    """The process id of the worker that runs a task, waiting until one does."""

    async def look() -> int | None:
        run = executor.executor._running.get(submitted.id)
        return run.worker.pid if run and run.worker else None

    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if pid := executor.call(look()):
            return pid
        time.sleep(0.01)
    raise AssertionError("no worker took the task")


class TestLife:
    def test_a_cancelled_task_ends_at_once(self, executor: ExecutorThread) -> None:
        submitted = task()
        ending = executor.begin(executor.executor.execute(submitted, SLOW))
        running(executor, submitted)
        executor.call(executor.executor.cancel(submitted.id))
        assert ending.result(5) == ExecutionFailure("The task was cancelled.", cancelled=True)

    def test_a_task_that_waits_for_a_worker_can_be_cancelled(self, executor: ExecutorThread) -> None:
        first, second = task(), task()
        busy = executor.begin(executor.executor.execute(first, SLOW))
        running(executor, first)
        waiting = executor.begin(executor.executor.execute(second, program(BELL)))
        executor.call(executor.executor.cancel(second.id))
        assert waiting.result(5).cancelled  # type: ignore[union-attr]  # a failure, as the next line shows
        executor.call(executor.executor.cancel(first.id))
        assert isinstance(busy.result(5), ExecutionFailure)

    def test_cancelling_an_unknown_task_does_nothing(self, executor: ExecutorThread) -> None:
        executor.call(executor.executor.cancel("no-such-task"))

    def test_a_crash_is_the_failure_of_one_task(self, executor: ExecutorThread) -> None:
        submitted = task()
        ending = executor.begin(executor.executor.execute(submitted, SLOW))
        os.kill(running(executor, submitted), signal.SIGSEGV)
        assert reason(ending.result(10)) == "The simulator ended while it ran this task: it crashed with SIGSEGV."
        assert isinstance(executor.execute(task(), program(BELL)), ExecutionResult)

    def test_a_worker_that_dies_while_idle_is_replaced(self, executor: ExecutorThread) -> None:
        executor.execute(task(), program(BELL))
        [pid] = executor.workers()
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        outcome = executor.execute(task(), program(BELL))
        while isinstance(outcome, ExecutionFailure) and time.monotonic() < deadline:
            outcome = executor.execute(task(), program(BELL))
        assert isinstance(outcome, ExecutionResult)
        assert executor.workers() != [pid]

    def test_an_unknown_device_is_refused(self, executor: ExecutorThread) -> None:
        assert reason(executor.execute(task(device="tn1"), program(BELL))) == "This device is not simulated here."

    @pytest.mark.parametrize(
        ("command", "cause"),
        [
            ([sys.executable, "-c", "import sys; sys.exit(3)"], "it ended with code 3"),
            ([sys.executable, "-c", "print('hello, this is no frame', flush=True); input()"], "it broke the protocol"),
            (["/no/such/python"], "No such file or directory"),
        ],
        ids=["ends", "babbles", "missing"],
    )
    def test_workers_that_cannot_start_fail_the_task(self, command: list[str], cause: str) -> None:
        with ExecutorThread(SimulatorExecutor(1, command=command)) as broken:
            said = reason(broken.execute(task(), program(BELL)))
        assert said.startswith("The simulator could not be started: ")
        assert cause in said

    def test_closing_ends_the_running_task_and_its_worker(self) -> None:
        with ExecutorThread(SimulatorExecutor(1)) as closing:
            submitted = task()
            ending = closing.begin(closing.executor.execute(submitted, SLOW))
            pid = running(closing, submitted)
        assert isinstance(ending.result(5), ExecutionFailure)
        assert gone(pid)

    def test_workers_die_with_a_killed_gateway(self, tmp_path: Path) -> None:
        script = tmp_path / "gateway.py"
        script.write_text(
            "import asyncio, sys\n"
            "from jupyter_qsec.adapters.providers.simulator import SimulatorExecutor\n"
            "async def main():\n"
            "    executor = SimulatorExecutor(1)\n"
            "    await executor.start()\n"
            "    while not executor._idle:\n"
            "        await asyncio.sleep(0.05)\n"
            "    print(executor._idle[0].pid, flush=True)\n"
            "    await asyncio.sleep(600)\n"
            "asyncio.run(main())\n"
        )
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
        with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, env=environment) as gateway:
            assert gateway.stdout is not None
            pid = int(gateway.stdout.readline())
            assert not gone(pid, seconds=0)
            gateway.kill()
        assert gone(pid)


def gone(pid: int, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while True:
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat")
            if state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z":
                return True  # ended; whoever inherited it has not looked yet
        except (ProcessLookupError, FileNotFoundError):
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)


def test_a_reason_names_no_path_and_has_one_line() -> None:
    said = one_line("cannot open /root/.aws/credentials\n  in C:\\Users\\ada\\file.txt \x1b[31m now")
    assert said == "cannot open [path] in [path] [31m now"
    assert len(one_line("x" * 5000)) == 400


def test_the_gateway_keeps_a_processor_for_itself() -> None:
    assert 1 <= default_workers() <= 4

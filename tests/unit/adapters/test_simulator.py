"""The embedded simulators: real worker processes, real programs, real attacks."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from braket.circuits import Circuit, Observable
from braket.circuits.serialization import IRType
from braket.default_simulator.openqasm.interpreter import Interpreter
from braket.program_sets import ProgramSet
from braket.schema_common import BraketSchemaBase
from braket.task_result import GateModelTaskResult, ProgramSetTaskResult
from braket.tasks import GateModelQuantumTaskResult
from braket.tasks.measurement_utils import expectation_from_measurements
from braket.tasks.program_set_quantum_task_result import ProgramSetQuantumTaskResult

from jupyter_qsec.adapters.providers.explain import one_line
from jupyter_qsec.adapters.providers.simulator import SimulatorExecutor, default_workers
from jupyter_qsec.adapters.providers.workers import worker_environment
from jupyter_qsec.application.ports import ExecutionFailure, ExecutionResult
from jupyter_qsec.domain.task import TaskPayload
from tests.fakes.executor_thread import BELL, ExecutorThread, openqasm, program, reason, task


@pytest.fixture(scope="module")
def executor() -> Iterator[ExecutorThread]:
    with ExecutorThread(SimulatorExecutor(1)) as running:
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
        mixed = np.array([[[0.5, 0], [0, 0]], [[0, 0], [0.5, 0]]])
        assert np.allclose(document(exact)["resultTypes"][0]["value"], mixed)

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


def test_a_reason_names_no_path_and_has_one_line() -> None:
    said = one_line("cannot open /home/ada/.aws/credentials\n  in C:\\Users\\ada\\file.txt \x1b[31m now")
    assert said == "cannot open [path] in [path] [31m now"
    assert len(one_line("x" * 5000)) == 400


def test_the_gateway_keeps_a_processor_for_itself() -> None:
    assert 1 <= default_workers() <= 4

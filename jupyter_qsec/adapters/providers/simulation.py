"""Runs one action on Braket's default simulators. Only workers import it: that takes two seconds and 150 MB."""

from __future__ import annotations

import contextlib
import io
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import braket.default_simulator.openqasm.interpreter as _interpreter
import numpy as np
from braket.default_simulator import DensityMatrixSimulator, StateVectorSimulator
from braket.default_simulator.result_types import from_braket_result_type
from braket.ir import jaqcd
from braket.ir.openqasm import Program, ProgramSet
from numpy.typing import NDArray

from jupyter_qsec.adapters.providers import documents
from jupyter_qsec.adapters.providers.documents import TaskFacts
from jupyter_qsec.adapters.providers.explain import explain, unreadable_token
from jupyter_qsec.adapters.providers.statements import StatementsByTenant
from jupyter_qsec.domain.program import ProgramKind


def _open_nothing(*_: object, **__: object) -> None:
    raise PermissionError("programs read no files")


# The interpreter opens what `include` names, and takes a source that ends in ".qasm" for a file name. The front door
# refuses `include`; this makes sure of it where the program runs.
_interpreter.open = _open_nothing

_known = StatementsByTenant()

_visitors = vars(_interpreter.Interpreter)["visit"].dispatcher


def _visit(self: object, node: object, *others: object) -> Any:
    """What `functools.singledispatchmethod` does; that makes a new function, with names and documentation, for each of
    the hundreds of nodes of a circuit."""
    return _visitors.dispatch(type(node))(self, node, *others)


_interpreter.Interpreter.visit = _visit


@dataclass(frozen=True, slots=True)
class Job:
    """One action to run."""

    backend: str
    """`braket_sv` or `braket_dm`."""
    action: str
    facts: TaskFacts
    max_qubits: int
    max_result_bytes: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it: a results document, or a reason why there is none."""

    document: bytes
    duration_ms: int
    reason: str = ""


class _RefusedError(Exception):
    """The reason is for the task's owner."""


class _Complaints(io.StringIO):
    """What the parser prints; bounded."""

    def write(self, text: str, /) -> int:
        if self.tell() < 1 << 16:
            super().write(text[: 1 << 16])
        return len(text)


_properties: dict[type, Any] = {}


class _Watching:
    """Mixed into the simulators: bounds qubits before memory is taken, and keeps result types as they were written (the
    simulator renumbers their qubits in place)."""

    max_qubits: int = 0
    checked: bool = False
    """Whether Braket checks the form of measurements: in program sets."""

    def __init__(self) -> None:
        super().__init__()
        self.requested: list[Any] = []

    @property
    def properties(self) -> Any:
        # Braket builds and checks this document anew for every circuit: a fifth of a small task's time.
        kind = type(self)
        if kind not in _properties:
            _properties[kind] = super().properties  # type: ignore[misc]  # the simulator that this is mixed into has it
        return _properties[kind]

    def create_program_context(self) -> Any:
        context = super().create_program_context()  # type: ignore[misc]  # the simulator that this is mixed into has it
        add_result: Callable[[Any], None] = context.add_result

        def recording(result: Any) -> None:
            self.requested.append(result.copy(deep=True))
            add_result(result)

        context.add_result = recording
        return context

    def initialize_simulation(self, **options: Any) -> Any:
        qubits = int(options["qubit_count"])
        if qubits < 1:
            raise _RefusedError("The program uses no qubits.")
        if qubits > self.max_qubits:
            raise _RefusedError(f"The program uses {qubits} qubits; {self.max_qubits} are allowed here.")
        return super().initialize_simulation(**options)  # type: ignore[misc]  # as above

    def _formatted_measurements(self, simulation: Any, measured_qubits: Sequence[int] | None = None) -> Any:
        """As numbers, of which documents are made. Braket writes each shot as text and reads it again: a tenth of a
        middling task's time. Without this method, should Braket name it otherwise, all stays as it was but slower."""
        if self.checked:
            return super()._formatted_measurements(simulation, measured_qubits)  # type: ignore[misc]  # as above
        return documents.sampled(simulation.retrieve_samples(), int(simulation.qubit_count), measured_qubits or ())


class _StateVector(_Watching, StateVectorSimulator):  # type: ignore[misc]  # Braket's classes are untyped
    pass


class _DensityMatrix(_Watching, DensityMatrixSimulator):  # type: ignore[misc]  # Braket's classes are untyped
    pass


_BACKENDS: Mapping[str, type[_Watching]] = {"braket_sv": _StateVector, "braket_dm": _DensityMatrix}


def run(job: Job) -> Outcome:
    """Run a job. Every failure of the program is an `Outcome` with a reason, never an exception."""
    simulator = _BACKENDS[job.backend]()
    simulator.max_qubits = job.max_qubits
    _interpreter.parse = _known.of(job.facts.task_arn).parse
    complaints = _Complaints()
    program: Any = None
    started = time.perf_counter()
    try:
        with contextlib.redirect_stderr(complaints):
            program = _program(job.action)
            simulator.checked = isinstance(program, ProgramSet)
            result = simulator.run(program, shots=job.facts.shots)  # type: ignore[attr-defined]  # from Braket's class
        milliseconds = max(1, round((time.perf_counter() - started) * 1000))
        if token_problem := unreadable_token(complaints.getvalue(), _source(program)):
            return Outcome(b"", milliseconds, token_problem)
        document = _document(job, simulator, program, result, milliseconds)
    except _RefusedError as refusal:
        return Outcome(b"", _since(started), str(refusal))
    except Exception as error:  # noqa: BLE001  # whatever the simulator raises is the program's failure, said in one line
        return Outcome(b"", _since(started), explain(error, _source(program), complaints.getvalue()))
    if len(document) > job.max_result_bytes:
        return Outcome(b"", milliseconds, _too_large(job.max_result_bytes))
    return Outcome(document, milliseconds)


def _since(started: float) -> int:
    return max(1, round((time.perf_counter() - started) * 1000))


def _too_large(limit: int) -> str:
    return f"The result is larger than {limit / (1 << 20):.0f} MiB; ask for fewer shots or a smaller result type."


def _program(action: str) -> Any:
    document = json.loads(action)
    kind = ProgramKind(document["braketSchemaHeader"]["name"])
    if kind is ProgramKind.PROGRAM_SET:
        return ProgramSet.parse_obj(document)
    if kind is ProgramKind.JAQCD:
        return jaqcd.Program.parse_obj(document)
    program = Program.parse_obj(document)
    if program.source.endswith(".qasm"):
        program.source += "\n"  # a comment at the end, not the name of a file
    return program


def _source(program: Any) -> str:
    if isinstance(program, ProgramSet):
        return "\n".join(entry.source for entry in program.programs)
    return str(getattr(program, "source", ""))


def _document(job: Job, simulator: _Watching, program: Any, result: Any, milliseconds: int) -> bytes:
    if isinstance(program, ProgramSet):
        return documents.program_set_document(job.facts, json.loads(result.json(exclude_none=True)), milliseconds)
    shots = job.facts.shots
    measured = [int(qubit) for qubit in result.measuredQubits]
    if shots * (2 * len(measured) + 2) > job.max_result_bytes:
        raise _RefusedError(_too_large(job.max_result_bytes))
    rows = documents.bits(result.measurements) if shots else None
    # Clients work out the result types of JAQCD programs from the program itself.
    written = (
        [] if isinstance(program, jaqcd.Program) and shots else _result_types(job, simulator, result, rows, measured)
    )
    return documents.gate_model_document(job.facts, job.action, rows, measured, written, milliseconds)


def _result_types(
    job: Job, simulator: _Watching, result: Any, rows: NDArray[np.int8] | None, measured: Sequence[int]
) -> list[dict[str, Any]]:
    results = list(result.resultTypes or ())
    # JAQCD programs do not pass through a program context; they are not renumbered in what the client reads.
    requested = simulator.requested if len(simulator.requested) == len(results) else results
    written = []
    for as_written, computed in zip(requested, results, strict=True):
        if rows is None:
            value, kind = computed.value, as_written if simulator.requested else computed.type
        else:
            value, kind = _value_from_samples(computed, rows, measured), as_written
        if np.asarray(value).size * 16 > job.max_result_bytes if not isinstance(value, dict) else False:
            raise _RefusedError(_too_large(job.max_result_bytes))
        written.append({"type": json.loads(kind.json(exclude_none=True)), "value": documents.plain(value)})
    return written


def _value_from_samples(result_type: Any, rows: NDArray[np.int8], measured: Sequence[int]) -> Any:
    """The value of a result type from measurements in its eigenbasis, as Braket's devices report it."""
    if result_type.type == "probability":
        columns = _columns(result_type.targets, rows, measured)
        counts = np.bincount(_indices(columns), minlength=1 << columns.shape[1])
        return counts / rows.shape[0]
    if not result_type.targets:
        width = rows.shape[1]
        return [_of_samples(result_type, rows, measured, [measured[column]]) for column in range(width)]
    return _of_samples(result_type, rows, measured, list(result_type.targets))


def _of_samples(result_type: Any, rows: NDArray[np.int8], measured: Sequence[int], targets: list[int]) -> Any:
    expectation = jaqcd.Expectation(observable=result_type.observable, targets=targets)
    observable = from_braket_result_type(expectation).observable
    samples = np.ones(rows.shape[0])
    for factor in getattr(observable, "factors", (observable,)):
        if not factor.measured_qubits:
            continue  # the identity: every sample is 1
        values = np.asarray(factor.eigenvalues).real
        samples = samples * values[_indices(_columns(factor.measured_qubits, rows, measured))]
    if result_type.type == "sample":
        return samples
    return float(np.mean(samples) if result_type.type == "expectation" else np.var(samples))


def _columns(targets: Sequence[int] | None, rows: NDArray[np.int8], measured: Sequence[int]) -> NDArray[np.int8]:
    if not targets:
        return rows
    places = {qubit: column for column, qubit in enumerate(measured)}
    missing = [target for target in targets if target not in places]
    if missing:
        raise _RefusedError(f"A result type needs qubit {missing[0]}, which is not measured.")
    return rows[:, [places[target] for target in targets]]


def _indices(columns: NDArray[np.int8]) -> NDArray[np.int64]:
    powers = 1 << np.arange(columns.shape[1], dtype=np.int64)[::-1]
    return columns.astype(np.int64) @ powers


_WARM_UP = """OPENQASM 3.0;
qubit[{n}] q;
h q; x q[0]; y q[1]; z q[2]; s q[0]; si q[1]; t q[2]; ti q[0]; v q[1]; vi q[0];
rx(0.1) q[0]; ry(0.1) q[1]; rz(0.1) q[2]; phaseshift(0.1) q[0]; prx(0.1, 0.2) q[1]; U(0.1, 0.2, 0.3) q[0];
cnot q[0], q[1]; cz q[1], q[2]; cy q[0], q[2]; cphaseshift(0.1) q[0], q[1]; swap q[0], q[1]; iswap q[1], q[2];
xx(0.1) q[0], q[1]; yy(0.1) q[1], q[2]; zz(0.1) q[0], q[2]; ccnot q[0], q[1], q[2]; cswap q[0], q[1], q[2];
"""


def warm_up() -> None:
    """Run small and large circuits on both simulators once, so that no task pays for the compilation of kernels."""
    for backend, sizes in (("braket_sv", (3, 12)), ("braket_dm", (3, 6))):
        for size in sizes:
            source = _WARM_UP.format(n=size)
            if backend == "braket_dm":
                source += "#pragma braket noise depolarizing(0.1) q[0]\n"
            action = Program(source=source).json()
            facts = TaskFacts("warm-up", "warm-up", 10, documents.timestamp(), "")
            outcome = run(Job(backend, action, facts, size, 1 << 20))
            if outcome.reason:
                raise RuntimeError(f"{backend} cannot run its warm-up circuit: {outcome.reason}")

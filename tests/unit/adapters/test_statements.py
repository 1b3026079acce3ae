"""Statements are read once by Braket's parser, and programs mean what they mean to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from braket.circuits import Circuit, Observable
from braket.circuits.serialization import IRType
from braket.default_simulator import StateVectorSimulator
from braket.default_simulator.openqasm.parser.openqasm_parser import parse
from hypothesis import given
from hypothesis import strategies as st

from jupyter_qsec.adapters.providers import statements
from jupyter_qsec.adapters.providers.documents import sampled
from jupyter_qsec.adapters.providers.statements import Statements, StatementsByTenant

ACCOUNTS = [f"arn:aws:braket:us-east-1:{number:012}:quantum-task/one" for number in range(1, 12)]


def written(circuit: Circuit) -> str:
    return str(circuit.to_ir(ir_type=IRType.OPENQASM).source)


def meaning(node: Any) -> Any:
    """A node without its place in the text."""
    if dataclasses.is_dataclass(node):
        fields = {field.name: meaning(getattr(node, field.name)) for field in dataclasses.fields(node)}
        return type(node).__name__, {name: value for name, value in fields.items() if name != "span"}
    return [meaning(item) for item in node] if isinstance(node, list) else node


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """What was given to Braket's parser."""
    texts: list[str] = []

    def reading(source: str) -> Any:
        texts.append(source)
        return parse(source)

    monkeypatch.setattr(statements, "parse", reading)
    return lambda: texts


BELL = "OPENQASM 3.0;\nqubit[2] q;\nbit[2] b;\nh q[0];\ncnot q[0], q[1];\nb[0] = measure q[0];\nb[1] = measure q[1];\n"
WHOLE = [
    'OPENQASM 3.0;\ninclude "stdgates.inc";\nqubit[1] q;',
    "OPENQASM 3.0;\nqubit[2] q;\nbit[1] b;\nb[0] = measure q[0];\nif(b[0]) x q[0];\nelse x q[1];",
    "OPENQASM 3.0;\nqubit[1] q;\ngate mine(a) p {\nrx(a) p;\n}\nmine(0.1) q[0];",
    "OPENQASM 3.0;\nqubit[1] q;\n#pragma braket verbatim\nbox{\nh $0;\n}",
    "OPENQASM 3.0;\nqubit[1] q; h q[0]; x q[0];",
    "OPENQASM 3.0;\nqubit[1] q;\n// a comment\nh q[0];",
    "OPENQASM 3.0;\nqubit[1] q;\nctrl @ x q[0], q[1];",
    "qubit[1] q;\nh q[0];",
]
"""Programs in which some line is no statement of its own."""


@pytest.mark.parametrize("source", [BELL, *WHOLE])
def test_a_program_means_what_it_means_to_braket(source: str) -> None:
    memory = Statements()
    assert [meaning(memory.parse(source)) for _ in range(2)] == [meaning(parse(source))] * 2


gates = st.one_of(
    st.builds(lambda q: Circuit().h(q), st.integers(0, 3)),
    st.builds(lambda q, a: Circuit().rx(q, a), st.integers(0, 3), st.floats(-7, 7)),
    st.builds(lambda q, a, b: Circuit().prx(q, a, b), st.integers(0, 3), st.floats(-1e-7, 7), st.floats(-7, 1e9)),
    st.builds(lambda q: Circuit().cnot(q, q + 1), st.integers(0, 3)),
    st.builds(lambda q, p: Circuit().depolarizing(q, p), st.integers(0, 3), st.floats(0, 0.7)),
)
endings = st.sampled_from(
    [
        lambda circuit: circuit,
        lambda circuit: circuit.probability(),
        lambda circuit: circuit.expectation(Observable.X() @ Observable.Y(), target=[0, 1]),
        lambda circuit: circuit.measure(0),
    ]
)


@given(st.lists(st.tuples(st.lists(gates, min_size=1, max_size=8), endings), min_size=1, max_size=4))
def test_whatever_was_read_before_a_circuit_means_the_same(programs: list[tuple[list[Circuit], Any]]) -> None:
    memory = Statements()
    for parts, end in programs:
        circuit = Circuit().i(range(5))
        for part in parts:
            circuit.add_circuit(part)
        source = written(end(circuit))
        assert meaning(memory.parse(source)) == meaning(parse(source))


def test_only_new_statements_are_read(read: Callable[[], list[str]]) -> None:
    memory = Statements()
    for angle in (0.1, 0.2):
        memory.parse(written(Circuit().h(0).cnot(0, 1).rx(1, angle)))
    memory.parse(written(Circuit().h(0).cnot(0, 1).rx(1, 0.1)))
    assert len(read()) == 2 and read()[1] == "OPENQASM 3.0;\nrx(0.2) q[1];\n"


def test_a_program_that_is_no_list_of_plain_statements_is_read_whole(read: Callable[[], list[str]]) -> None:
    for source in WHOLE:
        Statements().parse(source)
    assert read() == WHOLE


def test_what_the_interpreter_does_to_a_program_is_not_remembered() -> None:
    memory = Statements()
    memory.parse(BELL).statements[2].qubits.clear()
    program = memory.parse(BELL)
    program.statements[2].qubits.clear()
    program.statements.clear()
    assert meaning(memory.parse(BELL)) == meaning(parse(BELL))


@pytest.mark.parametrize("broken", ["x q[0]", "measure;", "b[0] = measure;", "rx(0.1 q[0];", "h q[0]];"])
def test_a_broken_program_gives_the_error_that_it_gives_braket(broken: str) -> None:
    source = BELL + broken
    with pytest.raises(Exception) as own:  # whatever Braket raises
        parse(source)
    memory = Statements()
    memory.parse(BELL)
    with pytest.raises(type(own.value)) as ours:
        memory.parse(source)
    assert (str(ours.value), repr(ours.value.__cause__)) == (str(own.value), repr(own.value.__cause__))


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch, read: Callable[[], list[str]]) -> None:
    monkeypatch.setattr(statements, "MOST", 3)
    memory = Statements()
    for _ in range(2):
        memory.parse(BELL)
    assert len(read()) == 2


def test_a_large_statement_is_not_remembered(read: Callable[[], list[str]]) -> None:
    memory = Statements()
    for _ in range(2):
        memory.parse("OPENQASM 3.0;\nqubit[40] q;\nh " + ", ".join(f"q[{n}]" for n in range(30)) + ";\n")
    assert [text.count("\n") for text in read()] == [3, 2]


def test_tenants_do_not_share_what_was_read() -> None:
    known = StatementsByTenant()
    first = known.of(ACCOUNTS[0])
    assert known.of(ACCOUNTS[0].replace("one", "two")) is first
    assert known.of(ACCOUNTS[1]) is not first
    for arn in ACCOUNTS[1:]:
        known.of(arn)
    assert known.of(ACCOUNTS[0]) is not first, "tenants that ran nothing for long are forgotten"


@given(
    st.integers(1, 6), st.lists(st.integers(0, 63), min_size=1, max_size=20), st.lists(st.integers(0, 8), max_size=8)
)
def test_measurements_are_those_that_braket_writes(width: int, samples: list[int], measured: list[int]) -> None:
    outcomes = np.array([sample % (1 << width) for sample in samples])
    simulated = SimpleNamespace(qubit_count=width, retrieve_samples=lambda: outcomes)
    theirs = StateVectorSimulator._formatted_measurements(simulated, measured)
    assert sampled(outcomes, width, measured).tolist() == [[int(bit or 0) for bit in row] for row in theirs]

"""The bounded scan of Braket actions."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import time
from typing import Any

import pytest
from braket.circuits import Circuit, Observable
from braket.circuits.serialization import IRType
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jupyter_qsec.domain.errors import InvalidRequestError, TooLargeError
from jupyter_qsec.domain.program import ProgramKind, inspect_action


def openqasm(source: str, **inputs: Any) -> str:
    header = {"name": "braket.ir.openqasm.program", "version": "1"}
    return json.dumps({"braketSchemaHeader": header, "source": source, "inputs": inputs})


def program_set(*programs: dict[str, Any]) -> str:
    header = {"name": "braket.ir.openqasm.program_set", "version": "1"}
    return json.dumps({"braketSchemaHeader": header, "programs": list(programs)})


def jaqcd(instructions: list[dict[str, Any]], **more: Any) -> str:
    header = {"name": "braket.ir.jaqcd.program", "version": "1"}
    return json.dumps({"braketSchemaHeader": header, "instructions": instructions, **more})


def qubits(source: str, **inputs: Any) -> int:
    return inspect_action(openqasm(source, **inputs)).qubits


def test_counts_what_the_sdk_sends_for_a_circuit() -> None:
    circuit = Circuit().h(0).cnot(0, 1).rx(2, 0.5).expectation(Observable.Z(), target=0).probability()
    action = circuit.to_ir(ir_type=IRType.OPENQASM).json()
    facts = inspect_action(action)
    assert facts.kind is ProgramKind.OPENQASM
    assert facts.qubits == 3
    assert facts.result_types == ("expectation", "probability")
    assert facts.executables == 1
    assert not facts.noisy
    assert facts.digest == hashlib.sha256(action.encode()).hexdigest()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("qubit q; h q;", 1),
        ("qubit[2] q; h q;", 2),
        ("qubit [ 2 ] q ; qubit r;", 3),
        ("qreg q[4]; h q;", 4),
        ("h $0; cnot $0, $5; x $05;", 2),
        ("qubit[2] q; h $7;", 3),
        ("const int n = 3; qubit[2 * n + 1] q;", 7),
        ("const uint[8] n = 3; const int m = n - 1; qubit[m] q;", 2),
        ("// qubit[90] q;\nqubit q;", 1),
        ("/* qubit[90] q;\n */ qubit q;", 1),
        ("def f(qubit[3] a, qubit b) { h a; } qubit q; f(q);", 1),
        ("float myqubit = 1; qubit q;", 1),
        ("bit b; if (b) { } qubit q;", 1),
    ],
)
def test_counts_declared_and_physical_qubits(source: str, expected: int) -> None:
    assert qubits(source) == expected


def test_a_register_may_be_as_long_as_an_input_says() -> None:
    assert qubits("input int n; qubit[n] q;", n=5) == 5


def test_counts_statements_and_pragmas() -> None:
    facts = inspect_action(openqasm("qubit[2] q;\nh q[0];\n#pragma braket noise bit_flip(0.1) q[0]\n"))
    assert facts.statements == 3
    assert facts.noisy


def test_a_program_set_counts_its_largest_program_and_all_its_executables() -> None:
    facts = inspect_action(
        program_set(
            {"source": "input float a; qubit[2] q; rx(a) q[0];", "inputs": {"a": [0.1, 0.2, 0.3]}},
            {"source": "qubit[4] q; h q;"},
        )
    )
    assert (facts.kind, facts.qubits, facts.executables) == (ProgramKind.PROGRAM_SET, 4, 4)


def test_jaqcd_counts_the_qubits_it_touches() -> None:
    facts = inspect_action(
        jaqcd(
            [
                {"type": "h", "target": 0},
                {"type": "cnot", "control": 0, "target": 7},
                {"type": "kraus", "targets": [3]},
            ],
            results=[{"type": "probability"}],
        )
    )
    assert (facts.qubits, facts.statements, facts.result_types, facts.noisy) == (3, 4, ("probability",), True)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ('qubit[2] q;\ninclude "stdgates.inc";', "OpenQASM line 2, column 1: 'include' is not supported."),
        ("OPENQASM 2.0;\nqreg q[2];", "OpenQASM line 1, column 1: version 2 is not supported"),
        ("qubit[2] q;\nh q[0;", "OpenQASM line 2, column 4: '[' is never closed."),
        ("qubit q;\nh q);", "OpenQASM line 2, column 4: ')' closes nothing."),
        ("qubit q;\n /* open", "OpenQASM line 2, column 2: the comment is never closed."),
        ('qubit q;\nx "open', "OpenQASM line 2, column 3: the string is never closed."),
        ("qubit[0] q;", "the size of 'q' must be a positive whole number."),
        ("qubit[n] q;", "the size of 'q' must be a positive whole number."),
        ("qubit[2.5] q;", "the size of 'q' must be a positive whole number."),
        ("qubit[9**9] q;", "the size of 'q' must be a positive whole number."),
        ("qubit[2] q h q;", "expected ';' after the qubit 'q'."),
        ("qubit q; h q; #pragma braket result probability", "a #pragma must stand on a line of its own."),
        ("qubit q; for int i in [0:9999999] { h q; }", "the loop has no end"),
        ("qubit q; for int i in [0:0:9] { h q; }", "the loop has no end"),
        ("qubit[999999999] q;", "declares too many qubits."),
        ("", "The OpenQASM program is empty."),
        ("qubit q;\0", "contains a zero byte."),
    ],
)
def test_refuses_with_the_place(source: str, message: str) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        inspect_action(openqasm(source))
    assert message in refusal.value.message


@pytest.mark.parametrize(
    "action",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"braketSchemaHeader": 3}',
        '{"braketSchemaHeader": {"name": "braket.ir.ahs.program", "version": "1"}}',
        '{"braketSchemaHeader": {"name": "braket.ir.openqasm.program", "version": "2"}, "source": "qubit q;"}',
        '{"braketSchemaHeader": {"name": "braket.ir.openqasm.program", "version": "1"}}',
        '{"braketSchemaHeader": {"name": "braket.ir.openqasm.program", "version": "1"}, "source": 5}',
        '{"braketSchemaHeader": {"name": ["a"], "version": "1"}}',
        '{"a": NaN}',
        '{"a": ' + "9" * 5000 + "}",
        "[" * 100_000,
        '{"a":' * 100_000,
        "\ud800",
        program_set(),
        program_set({"source": "include 'x';"}),
        jaqcd([]),
        jaqcd([{"type": "h", "target": -1}]),
        jaqcd([{"type": "h", "target": True}]),
        jaqcd([{"type": "h", "target": "0"}]),
        jaqcd([{"target": 0}]),
        jaqcd([{"type": "h", "target": 0}], results=[3]),
    ],
)
def test_refuses_what_is_no_program(action: str) -> None:
    with pytest.raises(InvalidRequestError):
        inspect_action(action)


def test_bounds_the_size() -> None:
    action = openqasm("qubit q; " + "h q; " * 1000)
    assert inspect_action(action).statements == 1001
    with pytest.raises(TooLargeError):
        inspect_action(action, max_bytes=1000)
    with pytest.raises(TooLargeError):  # counted in bytes, not in characters
        inspect_action(openqasm("qubit é;").replace("\\u00e9", "é" * 400), max_bytes=800)
    with pytest.raises(TooLargeError):
        inspect_action(program_set(*[{"source": "qubit q;"}] * 101))
    with pytest.raises(TooLargeError):
        inspect_action(program_set({"source": "qubit q;", "inputs": {"a": [0.0] * 101}}))


@pytest.mark.parametrize(
    "hostile",
    [
        "qubit[" * 100_000 + "]" * 100_000 + ";",
        "qubit" + " " * 600_000 + ";",
        "const int" + " " * 600_000 + ";",
        "const int a =" + " " * 600_000 + ";",
        "qreg q" + " " * 600_000 + ";",
        "for int i in" + " " * 600_000 + "[;];",
        "/* " * 200_000 + ";",
        "/" * 600_000 + ";",
        '"' * 600_000 + ";",
        "pragma " * 80_000 + ";",
        "\n#pragma braket result" * 30_000 + ";",
        "qubit q" * 80_000 + ";",
    ],
    ids=lambda text: repr(text[:12]),
)
def test_hostile_text_takes_linear_time(hostile: str) -> None:
    action = openqasm(hostile)
    started = time.process_time()
    with contextlib.suppress(InvalidRequestError):
        inspect_action(action)
    assert time.process_time() - started < 2.0  # a search that goes back takes minutes


def test_long_programs_are_cheap() -> None:
    lines = "".join(f"rx({i * 0.123:.16f}) q[{i % 18}];\ncnot q[{i % 17}], q[{i % 17 + 1}];\n" for i in range(6000))
    action = openqasm("OPENQASM 3.0;\nqubit[18] q;\n" + lines)
    best = float("inf")
    for _ in range(3):
        started = time.process_time()
        inspect_action(action)
        best = min(best, time.process_time() - started)
    assert best * 1e6 / (len(action) / 1024) < 65  # microseconds of CPU per KB


_fragments = st.sampled_from(
    [
        "qubit",
        "[",
        "]",
        "{",
        "}",
        ";",
        "q",
        "3",
        "const int n = 2;",
        "$1",
        "#pragma braket result x",
        "\n",
        "//",
        "/*",
        "*/",
        '"',
        " ",
        "include",
        "for int i in [0:3]",
        "@",
        "OPENQASM 3;",
        "def f(",
        ")",
        "qreg q[2];",
        "é",
    ]
)


@settings(max_examples=200)
@given(st.lists(_fragments, max_size=30).map("".join))
@example("qubit[2]q;")
def test_any_text_is_counted_or_refused(source: str) -> None:
    try:
        facts = inspect_action(openqasm(source))
    except InvalidRequestError as refusal:
        assert refusal.message
    else:
        assert facts.qubits >= 0
        assert facts.statements > 0


@settings(max_examples=100)
@given(
    st.text(max_size=200) | st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5).map(json.dumps)
)
def test_any_action_is_counted_or_refused(action: str) -> None:
    with pytest.raises(InvalidRequestError):
        inspect_action(action)


def test_every_random_circuit_of_the_sdk_is_counted_right() -> None:
    chance = random.Random(7)
    for _ in range(50):
        width = chance.randint(1, 12)
        circuit = Circuit()
        for qubit in range(width):
            circuit.h(qubit)
        for _ in range(chance.randint(0, 30)):
            circuit.rx(chance.randrange(width), chance.random())
        facts = inspect_action(circuit.to_ir(ir_type=IRType.OPENQASM).json())
        assert facts.qubits == width

"""Estimates are bounded, grow with the program, and name the right counters."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from jupyter_qsec.application.estimating import charges, settlement, simulator_ms
from jupyter_qsec.application.ports import ExecutionLimits
from jupyter_qsec.domain.program import ProgramFacts, ProgramKind
from jupyter_qsec.domain.quota import Metric
from tests.fakes.catalogue import ALPHA

LIMITS = ExecutionLimits()
SMALL = ProgramFacts(ProgramKind.OPENQASM, 2, 4, (), 1, False, "")


@given(
    qubits=st.integers(0, 1 << 20),
    statements=st.integers(0, 1 << 40),
    shots=st.integers(0, 1 << 40),
    executables=st.integers(1, 100),
    density=st.booleans(),
)
def test_no_program_reserves_more_than_an_execution_may_take(
    qubits: int, statements: int, shots: int, executables: int, density: bool
) -> None:
    facts = replace(SMALL, qubits=qubits, statements=statements, executables=executables)
    assert 0 < simulator_ms(facts, shots, LIMITS, density_matrix=density) <= LIMITS.max_seconds * 1000


def test_more_work_reserves_more() -> None:
    small = simulator_ms(SMALL, 100, LIMITS)
    assert small < 50
    assert simulator_ms(replace(SMALL, qubits=20), 100, LIMITS) > small
    assert simulator_ms(replace(SMALL, qubits=20, statements=400), 100, LIMITS) > 1000
    assert simulator_ms(replace(SMALL, qubits=12), 100, LIMITS, density_matrix=True) > 1000


def test_a_reservation_and_its_settlement_move_the_same_counters() -> None:
    reserved = charges(ALPHA, ALPHA.projects[0], "os:ada", "2026-03-01", tasks=1, shots=10, milliseconds=5)
    assert [charge.limit for charge in reserved if charge.scope == "tenant:alpha"] == [100, 100_000, 600_000]
    assert {charge.metric for charge in reserved} == set(Metric)
    assert len(reserved) == 9
    from tests.unit.application.test_outcomes import task_of

    settled = settlement(task_of(), tasks=1, shots=10, milliseconds=5)
    assert {(c.scope, c.metric, c.window) for c in settled} == {(c.scope, c.metric, c.window) for c in reserved}

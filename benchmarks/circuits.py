"""The circuits that are measured."""

from __future__ import annotations

from braket.circuits import Circuit


def bell() -> Circuit:
    return Circuit().h(0).cnot(0, 1)


def ghz_with_rotations(qubits: int = 18, turn: int = 0) -> Circuit:
    """A GHZ state with a rotation on every qubit: many outcomes, so that results are large. Each `turn` has angles of
    its own, as in a loop over parameters."""
    circuit = Circuit().h(0)
    for qubit in range(qubits - 1):
        circuit.cnot(qubit, qubit + 1)
    for qubit in range(qubits):
        circuit.rx(qubit, 0.1 * (qubit + 1) + 0.001 * turn)
    return circuit

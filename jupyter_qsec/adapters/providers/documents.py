"""Writes Braket's results documents: `braket.task_result.gate_model_task_result` 1 and `program_set_task_result` 1.

Text is put together by hand where it is large (measurements, state vectors): a pydantic model of 18,000 bits costs more
than the simulation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jupyter_qsec.domain.times import rfc3339


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """What a results document repeats about its task."""

    task_arn: str
    device_arn: str
    shots: int
    created_at: str
    """ISO 8601 in UTC with milliseconds and `Z`."""
    device_parameters: str
    """JSON text, or empty."""


def timestamp() -> str:
    """Now, as Braket's documents write it."""
    return rfc3339(datetime.now(UTC))


def bits(measurements: NDArray[np.int8] | Sequence[Sequence[str | int]]) -> NDArray[np.int8]:
    """Measurements as an array of zeros and ones: one row a shot, one column a qubit."""
    if isinstance(measurements, np.ndarray) and measurements.dtype == np.int8:
        return measurements
    width = len(measurements[0])
    flat = "".join(["".join(map(str, row)) for row in measurements]).encode()
    return (np.frombuffer(flat, dtype=np.int8) - ord("0")).reshape(len(measurements), width)


def sampled(outcomes: NDArray[np.int64], width: int, measured: Sequence[int]) -> NDArray[np.int8]:
    """Measurements from basis states of `width` qubits, one a shot; `measured` names the columns, all without it."""
    rows: NDArray[np.int8] = ((outcomes[:, None] >> np.arange(width)[::-1]) & 1).astype(np.int8)
    if not measured:
        return rows
    used = [qubit for qubit in measured if qubit < width]
    # What is measured and not used by any gate stays zero.
    columns: NDArray[np.int8] = np.pad(rows[:, used], ((0, 0), (0, len(measured) - len(used))))
    return columns


def measurement_rows(rows: NDArray[np.int8]) -> str:
    """`[[0,1],[1,1],…]`."""
    shots, width = rows.shape
    text = np.full((shots, 2 * width + 2), ord(","), dtype=np.uint8)
    text[:, 0] = ord("[")
    text[:, 1:-1:2] = rows + ord("0")
    text[:, -2] = ord("]")
    return "[" + text.tobytes().decode("ascii")[:-1] + "]"


def plain(value: Any) -> Any:
    """A value as JSON knows it: numpy arrays as lists, complex numbers as `[re, im]`."""
    if isinstance(value, np.ndarray):
        if np.iscomplexobj(value):
            return np.stack((value.real, value.imag), axis=-1).tolist()
        return value.tolist()
    if isinstance(value, complex | np.complexfloating):
        return [float(value.real), float(value.imag)]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def gate_model_document(
    facts: TaskFacts,
    action: str,
    measurements: NDArray[np.int8] | None,
    measured_qubits: Sequence[int],
    result_types: Sequence[Mapping[str, Any]],
    duration_ms: int,
) -> bytes:
    """The results document of one circuit. `action` is the JSON text as it came; `result_types` are `{type, value}`."""
    parts = [
        '{"braketSchemaHeader":{"name":"braket.task_result.gate_model_task_result","version":"1"}',
        *([f'"measurements":{measurement_rows(measurements)}'] if measurements is not None else []),
        f'"resultTypes":{_dump(list(result_types))}',
        f'"measuredQubits":{_dump(list(measured_qubits))}',
        f'"taskMetadata":{_dump(_task_metadata(facts))}',
        f'"additionalMetadata":{{"action":{action},"simulatorMetadata":{_dump(_simulator_metadata(duration_ms))}}}}}',
    ]
    return ",".join(parts).encode()


def program_set_document(facts: TaskFacts, document: Mapping[str, Any], duration_ms: int) -> bytes:
    """The results document of a program set, from the simulator's own with our task's facts."""
    metadata = {
        **document["taskMetadata"],
        "id": facts.task_arn,
        "deviceId": facts.device_arn,
        "requestedShots": facts.shots,
        "successfulShots": facts.shots,
        "createdAt": facts.created_at,
        "endedAt": timestamp(),
        "status": "COMPLETED",
    }
    programs = [
        {**program, "additionalMetadata": {"simulatorMetadata": _simulator_metadata(duration_ms)}}
        for program in document["programResults"]
    ]
    return _dump({**document, "programResults": programs, "taskMetadata": metadata}).encode()


def _task_metadata(facts: TaskFacts) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "braketSchemaHeader": {"name": "braket.task_result.task_metadata", "version": "1"},
        "id": facts.task_arn,
        "shots": facts.shots,
        "deviceId": facts.device_arn,
    }
    parameters = json.loads(facts.device_parameters) if facts.device_parameters else None
    if isinstance(parameters, dict) and "braketSchemaHeader" in parameters:
        metadata["deviceParameters"] = parameters
    return metadata | {"createdAt": facts.created_at, "endedAt": timestamp(), "status": "COMPLETED"}


def _simulator_metadata(duration_ms: int) -> dict[str, Any]:
    return {
        "braketSchemaHeader": {"name": "braket.task_result.simulator_metadata", "version": "1"},
        "executionDuration": duration_ms,
    }


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)

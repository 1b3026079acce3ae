"""The devices that this machine simulates itself: SV1 and DM1 under the ARNs that Braket users know."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from importlib.resources import files
from typing import Any

from jupyter_qsec.adapters.devices.capture import FILES
from jupyter_qsec.adapters.devices.prices import estimate, shipped_price_sheet
from jupyter_qsec.application.ports import Device, ExecutionLimits
from jupyter_qsec.domain.errors import NotFoundError
from jupyter_qsec.domain.money import CostEstimate, PriceSheet
from jupyter_qsec.domain.tenant import DeviceKind

MAX_SHOTS = 100_000
"""As on Braket's own simulators."""
POLL_INTERVAL_MS = 20
"""The SDK sleeps this long between two looks at a task. Each look is held until the task ends or a moment has passed,
so that a short interval costs a waiting client little."""


@dataclass(frozen=True, slots=True)
class _Model:
    name: str
    suffix: str
    backend: str
    bits_per_qubit: int
    """A density matrix needs twice the exponent of a state vector."""

    @property
    def arn(self) -> str:
        return f"arn:aws:braket:::device/{self.suffix}"


_MODELS = (
    _Model("SV1", "quantum-simulator/amazon/sv1", "braket_sv", 1),
    _Model("dm1", "quantum-simulator/amazon/dm1", "braket_dm", 2),  # Braket itself spells this one in lower case
)


class EmbeddedDevices:
    """Implements the `Devices` port."""

    def __init__(self, limits: ExecutionLimits | None = None, sheet: PriceSheet | None = None) -> None:
        self._sheet = sheet or shipped_price_sheet()
        self._devices = {model.arn: self._device(model, limits or ExecutionLimits()) for model in _MODELS}

    def devices(self) -> Sequence[Device]:
        return tuple(self._devices.values())

    def device(self, arn: str) -> Device | None:
        return self._devices.get(arn)

    def estimate(self, device: Device, shots: int, seconds: Decimal) -> CostEstimate:
        """Cost of a task that runs `seconds`; `NotFoundError` when the price sheet does not list the device."""
        price = self._sheet.price(device.arn)
        if price is None:
            raise NotFoundError(f"The price sheet does not list {device.name}.")
        return estimate(self._sheet, price, shots, seconds)

    def _device(self, model: _Model, limits: ExecutionLimits) -> Device:
        text = files(__package__).joinpath(FILES[model.backend]).read_text(encoding="utf-8")
        document: dict[str, Any] = json.loads(text)
        qubits = min(int(document["paradigm"]["qubitCount"]), limits.max_qubits // model.bits_per_qubit)
        document["paradigm"]["qubitCount"] = qubits
        document["service"] |= {
            "shotsRange": [0, MAX_SHOTS],
            "getTaskPollIntervalMillis": POLL_INTERVAL_MS,
            "deviceLocation": "this machine",
            "deviceDocumentation": {
                "imageUrl": None,
                "summary": f"Embedded simulator, answers as {model.name}; runs where the gateway runs, free of charge",
                "externalDocumentationUrl": None,
            },
        }
        price = self._sheet.price(model.arn)
        if price is not None:
            document["service"]["deviceCost"] = {"price": float(price.per_minute), "unit": "minute"}
        for action in document["action"].values():
            for result_type in action.get("supportedResultTypes") or ():
                result_type["maxShots"] = min(result_type["maxShots"], MAX_SHOTS)
        return Device(
            arn=model.arn,
            name=model.name,
            provider="Amazon Braket",
            kind=DeviceKind.SIMULATOR,
            status="ONLINE",
            capabilities=json.dumps(document, separators=(",", ":")),
            region="",
            max_qubits=qubits,
            max_shots=MAX_SHOTS,
        )

"""The embedded devices and the price sheet."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
from braket.device_schema.simulators import GateModelSimulatorDeviceCapabilities

from jupyter_qsec.adapters.devices import capture
from jupyter_qsec.adapters.devices.embedded import EmbeddedDevices
from jupyter_qsec.adapters.devices.prices import parse_price_sheet, shipped_price_sheet
from jupyter_qsec.application.ports import Device, ExecutionLimits
from jupyter_qsec.domain.errors import NotFoundError
from jupyter_qsec.domain.money import PriceSheet

SV1 = "arn:aws:braket:::device/quantum-simulator/amazon/sv1"
DM1 = "arn:aws:braket:::device/quantum-simulator/amazon/dm1"


def device(arn: str, devices: EmbeddedDevices | None = None) -> Device:
    found = (devices or EmbeddedDevices()).device(arn)
    assert found is not None
    return found


def test_offers_sv1_and_dm1_in_every_region() -> None:
    assert [(entry.arn, entry.name, entry.region) for entry in EmbeddedDevices().devices()] == [
        (SV1, "SV1", ""),
        (DM1, "dm1", ""),
    ]
    assert EmbeddedDevices().device("arn:aws:braket:::device/quantum-simulator/amazon/tn1") is None


def test_the_shipped_capabilities_are_those_of_the_installed_simulators() -> None:
    folder = Path(capture.__file__).parent
    for backend, document in capture.properties().items():
        assert json.loads((folder / capture.FILES[backend]).read_text()) == document


@pytest.mark.parametrize("arn", [SV1, DM1])
def test_the_sdk_reads_the_capabilities(arn: str) -> None:
    capabilities = GateModelSimulatorDeviceCapabilities.parse_raw(device(arn).capabilities)
    assert capabilities.service.shotsRange == (0, 100_000)
    assert capabilities.service.getTaskPollIntervalMillis == 20
    assert capabilities.service.executionWindows
    assert capabilities.service.deviceCost.unit == "minute"
    assert capabilities.paradigm.qubitCount == device(arn).max_qubits
    assert all(
        kind.maxShots <= 100_000 for kind in capabilities.action["braket.ir.openqasm.program"].supportedResultTypes
    )


def test_a_density_matrix_gets_half_the_qubits() -> None:
    devices = EmbeddedDevices(ExecutionLimits(max_qubits=20))
    assert device(SV1, devices).max_qubits == 20
    assert device(DM1, devices).max_qubits == 10


def test_simulator_time_is_billed_for_three_seconds_at_least() -> None:
    devices = EmbeddedDevices()
    short = devices.estimate(device(SV1), 1000, Decimal("0.2"))
    assert short.amount == Decimal("0.0038")  # 0.075 / 20 = 0.00375, half up
    assert "minimum of 3 s" in short.basis
    long = devices.estimate(device(SV1), 1000, Decimal(120))
    assert long.amount == Decimal("0.1500")
    assert long.basis == "120 s at $0.075 per minute."
    assert "2026" in long.source


def test_a_device_without_a_price_has_no_estimate() -> None:
    sheet = shipped_price_sheet()
    devices = EmbeddedDevices(sheet=PriceSheet(sheet.source, sheet.read_on, {}))
    with pytest.raises(NotFoundError):
        devices.estimate(device(SV1, devices), 1, Decimal(1))


def test_hardware_costs_by_task_and_shot() -> None:
    price = shipped_price_sheet().price("arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1")
    assert price is not None
    assert (price.per_task, price.per_shot) == (Decimal("0.30"), Decimal("0.08"))


@pytest.mark.parametrize(
    "text",
    [
        'read_on = 2026-09-30\n[a]\nper_task = "1"',
        'source = "x"\n[a]\nper_task = "1"',
        'source = "x"\nread_on = 2026-09-30\n[a]\nper_task = 1.5',
        'source = "x"\nread_on = 2026-09-30\n[a]\nper_task = "-1"',
        'source = "x"\nread_on = 2026-09-30\n[a]\nper_task = "NaN"',
        'source = "x"\nread_on = 2026-09-30\n[a]\nper_tusk = "1"',
        'source = "x"\nread_on = 2026-09-30\na = 3',
    ],
)
def test_a_price_sheet_with_a_mistake_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_price_sheet(text)

"""What a task will use and cost, before it runs: bounded arithmetic over what the token scan counted."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_UP, Decimal

from jupyter_qsec.application.ports import Device, Devices, ExecutionLimits
from jupyter_qsec.domain.money import CostEstimate
from jupyter_qsec.domain.program import ProgramFacts
from jupyter_qsec.domain.quota import Charge, Metric, QuotaLimits, day_window
from jupyter_qsec.domain.task import QuantumTask
from jupyter_qsec.domain.tenant import Project, Tenant

_BASE_MS = 5
_NS_PER_AMPLITUDE = 20
"""An allowance per gate and amplitude, more than the default simulator needs."""
_NS_PER_SHOT = 4_000


@dataclass(frozen=True, slots=True)
class Estimate:
    device: Device
    cost: CostEstimate
    simulator_ms: int
    """What is reserved; the execution time that is then measured replaces it."""
    qubits: int

    @property
    def cents(self) -> int:
        """The cost in US cents, rounded up, for policies."""
        return int((self.cost.amount * 100).to_integral_value(rounding=ROUND_UP))


def estimate(devices: Devices, device: Device, shots: int, facts: ProgramFacts, limits: ExecutionLimits) -> Estimate:
    """Time and cost of running a program on a device."""
    milliseconds = simulator_ms(facts, shots, limits, density_matrix=facts.noisy or device.arn.endswith("/dm1"))
    cost = devices.estimate(device, shots, Decimal(milliseconds) / 1000)
    return Estimate(device, cost, milliseconds, facts.qubits)


def simulator_ms(facts: ProgramFacts, shots: int, limits: ExecutionLimits, *, density_matrix: bool = False) -> int:
    """Simulator time in milliseconds to reserve; never more than an execution may take."""
    ceiling = int(limits.max_seconds * 1000)
    exponent = 2 * facts.qubits if density_matrix else facts.qubits
    if exponent > 40:
        return ceiling
    nanoseconds = max(1, facts.statements) * (1 << exponent) * _NS_PER_AMPLITUDE + shots * _NS_PER_SHOT
    return min(ceiling, _BASE_MS + max(1, facts.executables) * nanoseconds // 1_000_000)


def charges(
    tenant: Tenant, project: Project, principal: str, window: str, *, tasks: int, shots: int, milliseconds: int
) -> tuple[Charge, ...]:
    """What a submission reserves: each metric on its tenant, project and principal, under that scope's limit."""
    amounts = ((Metric.TASKS, tasks), (Metric.SHOTS, shots), (Metric.SIMULATOR_MS, milliseconds))
    scopes = scopes_of(tenant.id, project.id, principal)
    limits: tuple[QuotaLimits, ...] = (tenant.limits, project.limits, tenant.principal_limits)
    return tuple(
        Charge(scope, metric, window, amount, limit.of(metric))
        for scope, limit in zip(scopes, limits, strict=True)
        for metric, amount in amounts
    )


def scopes_of(tenant: str, project: str, principal: str) -> tuple[str, str, str]:
    """The counters that a task of that tenant, project and principal moves."""
    return f"tenant:{tenant}", f"project:{tenant}/{project}", f"principal:{tenant}/{principal}"


def settlement(task: QuantumTask, *, tasks: int, shots: int, milliseconds: int) -> tuple[Charge, ...]:
    """What a task used in the end, in the window in which it was reserved."""
    window = day_window(task.created_at)
    amounts = ((Metric.TASKS, tasks), (Metric.SHOTS, shots), (Metric.SIMULATOR_MS, milliseconds))
    return tuple(
        Charge(scope, metric, window, amount, None)
        for scope in scopes_of(task.tenant, task.project, task.principal)
        for metric, amount in amounts
    )

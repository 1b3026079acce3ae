"""What the clients know when the run is over: each of them keeps its own books, whatever the gateway says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Submission:
    """One task as its client saw it. Times are of this process's monotonic clock, in seconds."""

    token: str
    tenant: str
    due: float
    """When it should have been sent: what made it late counts as its time, too."""
    sent: float = 0.0
    answered: float = 0.0
    status: int = 0
    """Of the last answer; 0: there was none."""
    attempts: int = 0
    arn: str = ""
    """Set when it was accepted."""
    state: str = ""
    """The last that the client saw."""
    digest: str = ""
    """SHA-256 of the results that the client read."""
    problem: str = ""
    """What an SDK would have raised."""

    @property
    def seconds(self) -> float:
        return self.answered - self.due

    @property
    def refused(self) -> bool:
        """By a limit, which is no failure."""
        return self.status == 402


@dataclass
class Ledger:
    """The books of all clients."""

    submissions: list[Submission] = field(default_factory=list)
    kernel_arns: list[str] = field(default_factory=list)
    """Tasks that kernels of single-user servers ran; the SDK gave them client tokens of its own."""
    kernel_problems: list[str] = field(default_factory=list)
    """What cells raised."""
    probes: int = 0
    """Questions for another tenant's task or results."""
    leaks: list[str] = field(default_factory=list)
    """Answers that told something of another tenant, or of another task."""

    def accepted(self) -> Sequence[Submission]:
        return [submission for submission in self.submissions if submission.arn]

    def problems(self) -> Sequence[str]:
        """Errors that people would have seen."""
        return [s.problem for s in self.submissions if s.problem] + self.kernel_problems

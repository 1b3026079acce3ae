"""Counts what the policy engine decides."""

from __future__ import annotations

from jupyter_qsec.adapters.metering.metrics import Metrics
from jupyter_qsec.application.ports import Policy
from jupyter_qsec.domain.access import AccessRequest, Decision


class CountingPolicy:
    """Implements the `Policy` port around another."""

    def __init__(self, policy: Policy, metrics: Metrics) -> None:
        self._policy = policy
        self._metrics = metrics

    def decide(self, request: AccessRequest) -> Decision:
        decision = self._policy.decide(request)
        self._metrics.decided(request.action, decision)
        return decision

    def probe(self) -> bool:
        return self._policy.probe()

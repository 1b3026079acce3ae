"""Puts on record what happens in kernels that no server watches: those of nbconvert, papermill and the like."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial

from jupyter_qsec.client.api import ControlClient
from jupyter_qsec.client.endpoints import Endpoints, RemoteAddress
from jupyter_qsec.client.wire import finding_record
from jupyter_qsec.domain.errors import ConflictError, QsecError, UnavailableError
from jupyter_qsec.domain.times import rfc3339
from jupyter_qsec.kernels import leases, observer
from jupyter_qsec.kernels.observer import KernelFinding, KernelReport

_TIMEOUT = 3.0
_BATCH = 200
_QUIET_SECONDS = 30.0
"""After a failure nothing is sent for so long: the relay would have to wait each time."""
_log = logging.getLogger(__name__)


class LeaseReporter:
    """Implements `KernelObserver`: reports to the gateway with the token of the kernel's lease, which opens reports
    about that lease. What cannot be reported is said in the log; secrets are redacted all the same."""

    def __init__(
        self,
        endpoints: Callable[[], Endpoints] = leases.endpoints,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._endpoints = endpoints
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._reports: dict[str, KernelReport] = {}
        self._quiet_until = 0.0

    def kernel_started(self, kernel_id: str, report: KernelReport) -> None:
        before = self._reports.get(kernel_id)
        self._reports[kernel_id] = report
        if before is None or before.held is not report.held:
            details = {"kernel": kernel_id, "name": report.name, "confinement": report.confinement}
            self._send(report, lambda client: client.report_event("kernel.started", details=details))

    def findings(self, kernel_id: str, findings: list[KernelFinding]) -> None:
        report = self._reports.get(kernel_id)
        for start in range(0, len(findings), _BATCH):
            self._send(report, partial(_report, findings[start : start + _BATCH]))

    def relay_ended(self, kernel_id: str) -> None:
        details = {"kernel": kernel_id}
        self._send(
            self._reports.get(kernel_id), lambda client: client.report_event("kernel.relay-ended", details=details)
        )

    def kernel_ended(self, kernel_id: str) -> None:
        self._reports.pop(kernel_id, None)

    def _send(self, report: KernelReport | None, call: Callable[[ControlClient], object]) -> None:
        """On the calling thread, so that everything is told before the lease ends with its kernel."""
        with self._lock:
            try:
                if self._monotonic() < self._quiet_until:
                    raise ConflictError("The gateway did not answer a moment ago.")
                with self._client(report) as client:
                    call(client)
            except QsecError as error:
                if isinstance(error, UnavailableError):
                    self._quiet_until = self._monotonic() + _QUIET_SECONDS
                _log.warning("What the relay told is not on record at the gateway: %s", error)

    def _client(self, report: KernelReport | None) -> ControlClient:
        if report is None or report.held is None:
            raise ConflictError("The kernel has no lease to report by.")
        try:
            token = report.held.token_file.read_text(encoding="ascii")
        except (OSError, ValueError):
            raise ConflictError("The token of the kernel's lease is gone.") from None
        endpoints = self._endpoints()
        address = RemoteAddress(endpoints.gateway_url, token, endpoints.ca_file)
        return ControlClient(address.url, token, timeout=_TIMEOUT, trust=address.trust())


def _report(findings: list[KernelFinding], client: ControlClient) -> None:
    """Nobody tells which notebook it is: the lease's label names the command."""
    client.report_findings(
        [
            finding_record(
                found_at=rfc3339(finding.found_at),
                cell=finding.cell_id,
                place=finding.place,
                line=finding.line,
                kind=finding.kind,
                preview=finding.preview,
                fingerprint=finding.fingerprint,
                action=finding.action,
            )
            for finding in findings
        ]
    )
    for finding in findings:
        if finding.action == "blocked":
            details = {"kind": finding.kind, "fingerprint": finding.fingerprint}
            client.report_event("cell.blocked", details=details)


def report_by_lease() -> None:
    """Let kernels be reported so when nobody else listens."""
    if not observer.is_registered():
        observer.register(LeaseReporter())

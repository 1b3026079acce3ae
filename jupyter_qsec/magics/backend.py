"""The Braket SDK side of the magics: one session per kernel, renewed when the lease behind it has changed."""

from __future__ import annotations

import json
import threading
from typing import Any
from urllib.parse import urlsplit

from jupyter_qsec.magics.problems import QsubmitError, aws_problem, one_line

_STALE = frozenset({"AccessDeniedException", "ExpiredTokenException", "InvalidSignatureException", "no-credentials"})


class Backend:
    """Submits with `AwsDevice`, so that everything the SDK does for a task is done here too."""

    def __init__(self) -> None:
        self._session: Any = None
        self._devices: dict[str, Any] = {}
        self._lock = threading.Lock()

    def submit(self, program: Any, device_arn: str, shots: int) -> Any:
        """The created `AwsQuantumTask`; `QsubmitError` with one line when it is refused."""
        cached = self._session is not None
        try:
            return self._submit(program, device_arn, shots)
        except QsubmitError as problem:
            if not cached or problem.code not in _STALE:
                raise
        # Perhaps the session is as old as a lease that is gone: a refusal created nothing, so one more try is safe.
        self.reset()
        return self._submit(program, device_arn, shots)

    def reset(self) -> None:
        with self._lock:
            self._session = None
            self._devices.clear()

    def result_of(self, task: Any) -> Any:
        """The result of a task that has completed."""
        return _translated(task.result)

    def download(self, output_s3_uri: str) -> Any:
        """The result at `s3://BUCKET/DIRECTORY`, leaner than the SDK, which builds an S3 resource for each."""
        from braket.tasks import GateModelQuantumTaskResult

        where = urlsplit(output_s3_uri)
        key = f"{where.path.lstrip('/')}/results.json"
        answer = _translated(lambda: self._session.s3_client.get_object(Bucket=where.netloc, Key=key))
        text = answer["Body"].read().decode()
        name = json.loads(text[:4096].partition("}")[0].partition(":")[2] + "}").get("name", "")
        if name != "braket.task_result.gate_model_task_result":
            raise QsubmitError(f"Results of the kind {name} cannot be read in a batch.")
        return GateModelQuantumTaskResult.from_string(text)

    def _submit(self, program: Any, device_arn: str, shots: int) -> Any:
        return _translated(lambda: self._device(device_arn).run(program, shots=shots))

    def _device(self, arn: str) -> Any:
        from braket.aws import AwsDevice, AwsSession

        with self._lock:
            if self._session is None:
                self._session = AwsSession()
                self._session.s3_client  # noqa: B018  # made here, while one thread alone is at work
            if arn not in self._devices:
                self._devices[arn] = AwsDevice(arn, aws_session=self._session)
            return self._devices[arn]


def _translated(call: Any) -> Any:
    try:
        return call()
    except QsubmitError:
        raise
    except Exception as error:  # the SDK raises many kinds: those that we know become one line
        problem = aws_problem(error)
        if problem is None and isinstance(error, ValueError | TypeError):
            problem = QsubmitError(one_line(str(error)))
        if problem is None:
            raise
        raise problem from None

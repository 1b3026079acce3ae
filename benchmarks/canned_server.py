"""A server of canned answers: every task is complete the moment it is created. What a batch takes against it is the
floor that the client itself sets. Run as a process: `python -m benchmarks.canned_server`; prints its port."""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

from jupyter_qsec.adapters.devices.embedded import EmbeddedDevices

ACCOUNT = "100000000001"
SV1 = "arn:aws:braket:::device/quantum-simulator/amazon/sv1"
_NOW = "2026-03-01T12:00:00.000Z"


_ACTION_HEADER = {"name": "braket.ir.openqasm.program", "version": "1"}
_PARAMETERS = {
    "braketSchemaHeader": {
        "name": "braket.device_schema.simulators.gate_model_simulator_device_parameters",
        "version": "1",
    },
    "paradigmParameters": {
        "braketSchemaHeader": {"name": "braket.device_schema.gate_model_parameters", "version": "1"},
        "qubitCount": 2,
        "disableQubitRewiring": False,
    },
}


def bell_results(shots: int = 100) -> bytes:
    """A results document of a Bell pair, with everything that a real one has."""
    source = "OPENQASM 3.0;\nbit[2] b;\nqubit[2] q;\nh q[0];\ncnot q[0], q[1];\nb = measure q;"
    simulator = {"name": "braket.task_result.simulator_metadata", "version": "1"}
    return json.dumps(
        {
            "braketSchemaHeader": {"name": "braket.task_result.gate_model_task_result", "version": "1"},
            "measurements": [[shot % 2, shot % 2] for shot in range(shots)],
            "resultTypes": [],
            "measuredQubits": [0, 1],
            "taskMetadata": {
                "braketSchemaHeader": {"name": "braket.task_result.task_metadata", "version": "1"},
                "id": "task",
                "shots": shots,
                "deviceId": SV1,
                "deviceParameters": _PARAMETERS,
                "createdAt": _NOW,
                "endedAt": _NOW,
                "status": "COMPLETED",
            },
            "additionalMetadata": {
                "action": {"braketSchemaHeader": _ACTION_HEADER, "source": source, "inputs": {}},
                "simulatorMetadata": {"braketSchemaHeader": simulator, "executionDuration": 3},
            },
        }
    ).encode()


class Canned(asyncio.Protocol):
    """HTTP/1.1 as far as boto3 speaks it."""

    results = bell_results()
    device = EmbeddedDevices().device(SV1)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, rest = self._buffer.partition(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
            length = int(headers.get("content-length", "0"))
            if headers.get("expect", "").lower() == "100-continue" and len(rest) < length:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                return
            if len(rest) < length:
                return
            body, self._buffer = rest[:length], rest[length:]
            method, target, _ = lines[0].split(" ", 2)
            self._answer(*self._route(method, unquote(target), body))

    def _answer(self, status: int, body: bytes, kind: str = "application/json") -> None:
        head = f"HTTP/1.1 {status} OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        self._transport.write(head.encode() + b'ETag: "0"\r\n\r\n' + body)

    def _route(self, method: str, target: str, body: bytes) -> tuple[int, bytes] | tuple[int, bytes, str]:
        path = target.partition("?")[0]
        if path == "/credentials":
            expires = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
            nothing = "canned"
            keys = {"AccessKeyId": "ASIACANNED", "SecretAccessKey": nothing, "Token": nothing, "Expiration": expires}
            return 200, json.dumps(keys).encode()
        if path.startswith("/aws/braket/device/"):
            return 200, json.dumps(self._device()).encode()
        if path == "/aws/braket/quantum-task" and method == "POST":
            arn = f"arn:aws:braket:us-east-1:{ACCOUNT}:quantum-task/{uuid.uuid4()}"
            return 201, json.dumps({"quantumTaskArn": arn}).encode()
        if path.startswith("/aws/braket/quantum-task/"):
            return 200, json.dumps(self._task(path.removeprefix("/aws/braket/quantum-task/"))).encode()
        if path.startswith("/aws/sts"):
            return 200, self._identity(), "text/xml"
        if path.endswith("/results.json"):
            return 200, self.results, "application/octet-stream"
        return 200, b"", "application/xml"

    def _device(self) -> dict[str, object]:
        assert self.device is not None
        return {
            "deviceArn": SV1,
            "deviceName": "SV1",
            "providerName": "Amazon Braket",
            "deviceType": "SIMULATOR",
            "deviceStatus": "ONLINE",
            "deviceCapabilities": self.device.capabilities,
            "deviceQueueInfo": [],
        }

    @staticmethod
    def _task(arn: str) -> dict[str, object]:
        return {
            "quantumTaskArn": arn,
            "status": "COMPLETED",
            "deviceArn": SV1,
            "deviceParameters": json.dumps(_PARAMETERS),
            "actionMetadata": {"actionType": _ACTION_HEADER["name"]},
            "associations": [],
            "queueInfo": {"queue": "QUANTUM_TASKS_QUEUE", "position": "None", "queuePriority": "Normal"},
            "numSuccessfulShots": 100,
            "shots": 100,
            "outputS3Bucket": f"amazon-braket-us-east-1-{ACCOUNT}",
            "outputS3Directory": f"tasks/{arn.rpartition('/')[2]}",
            "createdAt": _NOW,
            "endedAt": _NOW,
            "tags": {},
        }

    @staticmethod
    def _identity() -> bytes:
        return (
            '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
            f"<Arn>arn:aws:sts::{ACCOUNT}:assumed-role/canned/canned</Arn><UserId>canned</UserId>"
            f"<Account>{ACCOUNT}</Account></GetCallerIdentityResult>"
            "<ResponseMetadata><RequestId>0</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
        ).encode()


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Canned, "127.0.0.1", 0)
    sys.stdout.write(json.dumps({"port": server.sockets[0].getsockname()[1]}) + "\n")
    sys.stdout.flush()
    ended = asyncio.Event()
    # Ends with the process that holds the other end of standard input.
    asyncio.get_running_loop().add_reader(0, ended.set)
    await ended.wait()


if __name__ == "__main__":
    asyncio.run(main())

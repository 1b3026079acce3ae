"""Amazon Braket's REST-JSON front door. Shapes: the service model `braket` 2019-09-01 of botocore."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jupyter_qsec.application.callers import Caller, access, require
from jupyter_qsec.application.ports import Device, TaskQuery
from jupyter_qsec.application.submission import SubmissionRequest
from jupyter_qsec.domain.access import Action
from jupyter_qsec.domain.errors import DeniedError, InvalidRequestError, NotFoundError, QsecError
from jupyter_qsec.domain.task import QuantumTask, TaskPayload, TaskState
from jupyter_qsec.domain.tenant import DeviceKind
from jupyter_qsec.domain.times import rfc3339
from jupyter_qsec.gateway.errors import NotOfferedError, UnknownOperationError, braket_error
from jupyter_qsec.gateway.fields import JsonBody, checked_text
from jupyter_qsec.gateway.frontdoor import Gateway
from jupyter_qsec.gateway.pages import PageTokens
from jupyter_qsec.gateway.search import TaskFilter, read_filters
from jupyter_qsec.gateway.sigv4 import SigningRules
from jupyter_qsec.gateway.wire import WireRequest, WireResponse, decode, json_response

HOLD_SECONDS = 0.5
"""GetQuantumTask waits at most so long for a task that is about to end: one held poll instead of several. `run_batch`
looks ten times at once and sleeps a whole second after each look that came too early."""
CREATE_TASK = "CreateQuantumTask"
MAX_SHOTS_FIELD = 2**53
_QUEUE_COUNTED = 1000
_ROUNDS = 10
_NOT_OFFERED = re.compile(r"/(jobs?|spending-limits?)(/|\Z)")
_ACTION_KIND = re.compile(r'"name"\s*:\s*"(braket\.[a-z_.]{1,64})"')

Operation = Callable[[Caller, WireRequest, str], Awaitable[WireResponse]]


@dataclass(frozen=True, slots=True)
class _Route:
    method: str
    path: re.Pattern[str]
    """Its one group, where it has one, is the encoded ARN."""
    name: str
    operation: Operation
    repeatable: bool
    """Reads, and writes that carry a client token."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What GetQuantumTask tells about the payload."""

    device_parameters: str
    action_kind: str


class BraketService:
    """Implements `frontdoor.Service`."""

    name = "braket"
    request_id_header = "x-amzn-RequestId"
    rules = SigningRules("braket")
    max_body = 12 << 20

    def __init__(self, gateway: Gateway, prefix: str = "/aws/braket") -> None:
        self.prefix = prefix
        self._gateway = gateway
        self._pages = PageTokens(gateway.page_key)
        self._asked: OrderedDict[str, _Asked] = OrderedDict()
        self._routes = tuple(
            _Route(method, re.compile(path + r"\Z"), name, operation, repeatable)
            for name, method, path, operation, repeatable in (
                ("GetDevice", "GET", "/device/([^/]+)", self._get_device, True),
                ("SearchDevices", "POST", "/devices", self._search_devices, True),
                (CREATE_TASK, "POST", "/quantum-task", self._create_task, True),
                ("GetQuantumTask", "GET", "/quantum-task/([^/]+)", self._get_task, True),
                ("CancelQuantumTask", "PUT", "/quantum-task/([^/]+)/cancel", self._cancel_task, True),
                ("SearchQuantumTasks", "POST", "/quantum-tasks", self._search_tasks, True),
                ("ListTagsForResource", "GET", "/tags/([^/]+)", self._list_tags, True),
                ("TagResource", "POST", "/tags/([^/]+)", self._tag, False),
                ("UntagResource", "DELETE", "/tags/([^/]+)", self._untag, False),
            )
        )

    def repeatable(self, method: str, path: str) -> bool:
        route, _ = self._route(method, path)
        return route is None or route.repeatable

    def operation(self, method: str, path: str) -> str:
        route, _ = self._route(method, path)
        return route.name if route is not None else "unknown"

    def recorded(self, method: str, path: str, error: DeniedError) -> bool:
        return (method, path) == ("POST", "/quantum-task") or error.reasons == ("forged-tag",)

    def refusal(self, error: QsecError, path: str, request_id: str) -> WireResponse:
        return braket_error(error, request_id)

    async def answer(self, caller: Caller, request: WireRequest) -> WireResponse:
        route, argument = self._route(request.method, request.path)
        if route is not None:
            return await route.operation(caller, request, decode(argument, "resource ARN"))
        if offered := _NOT_OFFERED.match(request.path):
            what = "Hybrid jobs" if offered[1].startswith("job") else "Spending limits"
            raise NotOfferedError(f"{what} are not offered by this gateway. Submit quantum tasks instead.")
        raise UnknownOperationError(f"{request.method} {request.path[:100]} is no operation of Amazon Braket.")

    def _route(self, method: str, path: str) -> tuple[_Route | None, str]:
        for route in self._routes:
            if route.method == method and (match := route.path.match(path)):
                return route, match[1] if match.groups() else ""
        return None, ""

    # -- devices
    async def _get_device(self, caller: Caller, request: WireRequest, arn: str) -> WireResponse:
        self._require_devices(caller)
        device = self._gateway.devices.device(arn)
        if device is None or device.region not in ("", request.region):
            raise NotFoundError(f"The device {arn[:256]} was not found.")
        query = TaskQuery(
            tenant=caller.tenant.id,
            states=(TaskState.CREATED, TaskState.QUEUED),
            device_arn=device.arn,
            limit=_QUEUE_COUNTED,
        )
        waiting = len(await self._gateway.tasks.search(caller, query))
        normal = str(waiting) if waiting < _QUEUE_COUNTED else f">{_QUEUE_COUNTED}"
        queues = [
            {"queue": "QUANTUM_TASKS_QUEUE", "queueSize": normal, "queuePriority": "Normal"},
            {"queue": "QUANTUM_TASKS_QUEUE", "queueSize": "0", "queuePriority": "Priority"},
            {"queue": "JOBS_QUEUE", "queueSize": "0"},
        ]
        return json_response({**_summary(device), "deviceCapabilities": device.capabilities, "deviceQueueInfo": queues})

    async def _search_devices(self, caller: Caller, request: WireRequest, _: str) -> WireResponse:
        self._require_devices(caller)
        body = JsonBody(request.body)
        wanted: set[str] | None = None
        for entry in body.items("filters", 10, required=True):
            if not isinstance(entry, dict) or entry.get("name") != "deviceArn":
                raise InvalidRequestError("filters: only deviceArn can be filtered for.")
            values = entry.get("values")
            if not isinstance(values, list) or not 1 <= len(values) <= 10:
                raise InvalidRequestError("filters: values must be an array of 1 to 10 strings.")
            arns = {checked_text(value, "filters: values", 1, 256) for value in values}
            wanted = arns if wanted is None else wanted & arns
        most = body.whole("maxResults", 1, 100, 100)
        listing = f"devices {sorted(wanted) if wanted is not None else ''} {request.region}"
        token = body.optional_text("nextToken", 1, 4096)
        start = int(self._pages.open(caller.tenant.id, listing, token)) if token else 0
        found = [
            _summary(device)
            for device in self._gateway.devices.devices()
            if device.region in ("", request.region) and (wanted is None or device.arn in wanted)
        ]
        answer: dict[str, Any] = {"devices": found[start : start + most]}
        if start + most < len(found):
            answer["nextToken"] = self._pages.seal(caller.tenant.id, listing, str(start + most))
        return json_response(answer)

    def _require_devices(self, caller: Caller) -> None:
        require(self._gateway.policy, access(caller, Action.DEVICE_READ))

    # -- tasks
    async def _create_task(self, caller: Caller, request: WireRequest, _: str) -> WireResponse:
        body = JsonBody(request.body)
        if body.raw("jobToken") is not None:
            raise NotOfferedError("jobToken: hybrid jobs are not offered by this gateway.")
        if body.items("associations", 1):
            raise NotOfferedError("associations: Braket reservations are not offered by this gateway.")
        if body.raw("experimentalCapabilities") not in (None, {}, {"enabled": "NONE"}):
            raise NotOfferedError("experimentalCapabilities are not offered by this gateway.")
        submission = SubmissionRequest(
            device_arn=body.text("deviceArn", 1, 256),
            shots=body.whole("shots", 0, MAX_SHOTS_FIELD),
            action=body.text("action", 1, self.max_body),
            device_parameters=body.optional_text("deviceParameters", 1, 48_000),
            output_bucket=body.text("outputS3Bucket", 3, 63),
            output_prefix=body.text("outputS3KeyPrefix", 1, 1024),
            client_token=body.text("clientToken", 1, 64),
            tags=body.mapping("tags", 50),
            region=request.region,
        )
        task = await self._gateway.submissions.submit(caller, submission)
        self._remember(task.id, TaskPayload(submission.action, submission.device_parameters))
        return json_response({"quantumTaskArn": task.arn}, 201)

    async def _get_task(self, caller: Caller, request: WireRequest, arn: str) -> WireResponse:
        extra = request.parameters("additionalAttributeNames")
        if any(name != "QueueInfo" for name in extra):
            raise InvalidRequestError("additionalAttributeNames: only QueueInfo is known.")
        task = await self._gateway.tasks.get(caller, arn, wait=HOLD_SECONDS)
        asked = self._asked.get(task.id)
        if asked is None:
            payload = await self._gateway.store.payload(task.id)
            asked = self._remember(task.id, payload or TaskPayload(""))
        answer = {**_task(task), "deviceParameters": asked.device_parameters or "{}", "associations": []}
        if asked.action_kind:
            answer["actionMetadata"] = {"actionType": asked.action_kind}
        if task.failure_reason:
            answer["failureReason"] = task.failure_reason
        if task.state is TaskState.COMPLETED:
            answer["numSuccessfulShots"] = task.shots
        if extra:
            answer["queueInfo"] = await self._queue_info(task)
        return json_response(answer)

    async def _queue_info(self, task: QuantumTask) -> Mapping[str, str]:
        position = await self._gateway.tasks.queue_position(task)
        info = {"queue": "QUANTUM_TASKS_QUEUE", "position": position or "None", "queuePriority": "Normal"}
        reasons = " ".join(reason.text for reason in await self._gateway.tasks.waiting(task))
        if reasons:
            info["message"] = reasons
        elif position is None:
            info["message"] = f"Task is in {task.state} status. Queue position is shown for waiting tasks only."
        return info

    def _remember(self, task_id: str, payload: TaskPayload) -> _Asked:
        """Keep the small part of a payload that polls repeat, so that they do not read the whole."""
        edges = payload.action if len(payload.action) <= 8192 else payload.action[:4096] + payload.action[-4096:]
        kind = _ACTION_KIND.search(edges)
        asked = _Asked(payload.device_parameters, kind[1] if kind else "")
        if len(asked.device_parameters) <= 4096:
            self._asked[task_id] = asked
            while len(self._asked) > 4096:
                self._asked.popitem(last=False)
        return asked

    async def _cancel_task(self, caller: Caller, request: WireRequest, arn: str) -> WireResponse:
        JsonBody(request.body).text("clientToken", 1, 64)
        task = await self._gateway.tasks.cancel(caller, arn)
        status = TaskState.CANCELLED if task.state is TaskState.CANCELLED else TaskState.CANCELLING
        return json_response({"quantumTaskArn": task.arn, "cancellationStatus": status})

    async def _search_tasks(self, caller: Caller, request: WireRequest, _: str) -> WireResponse:
        body = JsonBody(request.body)
        wanted = read_filters(body.items("filters", 10, required=True))
        most = body.whole("maxResults", 1, 100, 100)
        token = body.optional_text("nextToken", 1, 4096)
        if wanted.no_match:
            return json_response({"quantumTasks": []})
        if wanted.arns is not None:
            named = await self._named(caller, wanted)
            return json_response({"quantumTasks": [_task(task) for task in named]})
        listing = f"tasks {wanted}"
        before: tuple[datetime, str] | None = None
        if token:
            moment, _, task_id = self._pages.open(caller.tenant.id, listing, token).partition(" ")
            before = datetime.fromisoformat(moment), task_id
        found, before = await self._page(caller, wanted, most, before)
        answer: dict[str, Any] = {"quantumTasks": [_task(task) for task in found]}
        if before is not None:
            answer["nextToken"] = self._pages.seal(caller.tenant.id, listing, f"{before[0].isoformat()} {before[1]}")
        return json_response(answer)

    async def _named(self, caller: Caller, wanted: TaskFilter) -> list[QuantumTask]:
        found = []
        for arn in sorted(wanted.arns or ()):
            try:
                task = await self._gateway.tasks.get(caller, arn)
            except NotFoundError:
                continue
            if wanted.matches(task):
                found.append(task)
        return found

    async def _page(
        self, caller: Caller, wanted: TaskFilter, most: int, before: tuple[datetime, str] | None
    ) -> tuple[list[QuantumTask], tuple[datetime, str] | None]:
        """Up to `most` tasks and where to go on. A page may be short when few tasks match: work is bounded."""
        found: list[QuantumTask] = []
        for _ in range(_ROUNDS):
            rows = await self._gateway.tasks.search(caller, wanted.query(caller.tenant.id, most, before))
            for task in rows:
                before = task.created_at, task.id
                if wanted.matches(task):
                    found.append(task)
                if len(found) == most:
                    return found, before
            if len(rows) < most:
                return found, None
        return found, before

    # -- tags
    async def _list_tags(self, caller: Caller, request: WireRequest, arn: str) -> WireResponse:
        return json_response({"tags": dict(await self._gateway.tasks.tags(caller, arn))})

    async def _tag(self, caller: Caller, request: WireRequest, arn: str) -> WireResponse:
        await self._gateway.tasks.tag(caller, arn, JsonBody(request.body).mapping("tags", 50, required=True))
        return json_response({})

    async def _untag(self, caller: Caller, request: WireRequest, arn: str) -> WireResponse:
        keys = request.parameters("tagKeys")
        if not 1 <= len(keys) <= 50:
            raise InvalidRequestError("tagKeys must name 1 to 50 tags.")
        await self._gateway.tasks.untag(caller, arn, keys)
        return json_response({})


def _summary(device: Device) -> dict[str, Any]:
    return {
        "deviceArn": device.arn,
        "deviceName": device.name,
        "providerName": device.provider,
        "deviceType": "SIMULATOR" if device.kind is DeviceKind.SIMULATOR else "QPU",
        "deviceStatus": device.status,
    }


def _task(task: QuantumTask) -> dict[str, Any]:
    """A task as SearchQuantumTasks lists it, the ground of GetQuantumTask's answer."""
    answer: dict[str, Any] = {
        "quantumTaskArn": task.arn,
        "status": task.state,
        "deviceArn": task.device_arn,
        "shots": task.shots,
        "outputS3Bucket": task.output_bucket,
        "outputS3Directory": task.output_directory,
        "createdAt": rfc3339(task.created_at),
        "tags": dict(task.tags),
    }
    if task.ended_at is not None:
        answer["endedAt"] = rfc3339(task.ended_at)
    return answer

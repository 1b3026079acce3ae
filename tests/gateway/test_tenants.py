"""Two tenants at one gateway: whatever one asks about the other's, the answer is that of something that never was.

Each line asks twice, once about the other tenant's object and once about one that does not exist, and compares status,
headers and body, apart from the request's own id, the date and the very name that was asked about.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

import pytest

from tests.fakes.world import BELL, SV1
from tests.gateway.livegateway import Issued, LiveGateway, run_bell, submit_bell
from tests.gateway.rawhttp import Answer, SignedClient

OTHERS_ACCOUNT, OWN_ACCOUNT, NO_ACCOUNT = "000000000202", "000000000101", "999999999999"
_OWN_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Names:
    """What one asks about: the other tenant's, or what does not exist. Same lengths, so that sizes compare."""

    task: str
    """A task's id."""
    account: str
    bucket: str
    """Created by name."""
    key: str
    upload: str

    @property
    def arn(self) -> str:
        return f"arn:aws:braket:us-east-1:{self.account}:quantum-task/{self.task}"

    @property
    def default_bucket(self) -> str:
        return f"amazon-braket-us-east-1-{self.account}"

    def removed(self, text: str) -> str:
        for name in (self.task, self.account, self.bucket, self.key, self.upload):
            text = text.replace(name, "NAME").replace(quote(name, safe=""), "NAME")
        return text


@dataclass(frozen=True)
class Sides:
    own: Callable[[str], SignedClient]
    other: SignedClient
    """At the other tenant's S3."""
    theirs: Names
    nothing: Names


@pytest.fixture(scope="module")
def sides(shared_gateway: LiveGateway) -> Sides:
    """A lease in `sandbox` that looks at what a lease in `research` has."""
    other, own = shared_gateway.lease(tenant="research"), shared_gateway.lease(tenant="sandbox")
    default = f"amazon-braket-us-east-1-{OTHERS_ACCOUNT}"
    task = run_bell(shared_gateway, other, output_bucket=default, tags={"secret": "plan"})
    s3 = SignedClient.of(shared_gateway, other, "s3")
    bucket, key = f"their-{uuid.uuid4().hex}", f"their-{uuid.uuid4().hex}"
    assert s3.send("PUT", f"/{bucket}").status == 200
    for place in (bucket, default):
        assert s3.send("PUT", f"/{place}/{key}", b"theirs").status == 200
    started = s3.send("POST", f"/{bucket}/{key}?uploads=")
    upload = re.search(r"<UploadId>(\w+)</UploadId>", started.text)
    assert upload is not None
    theirs = Names(task.id, OTHERS_ACCOUNT, bucket, key, upload[1])
    nothing = Names(
        str(uuid.uuid4()), NO_ACCOUNT, f"their-{uuid.uuid4().hex}", f"their-{uuid.uuid4().hex}", uuid.uuid4().hex
    )
    clients = {service: SignedClient.of(shared_gateway, own, service) for service in ("braket", "s3")}
    return Sides(clients.__getitem__, s3, theirs, nothing)


def seen(answer: Answer, names: Names) -> tuple[int, dict[str, str], str]:
    """An answer without what differs between any two requests."""
    own = ("date", "x-request-id", "x-amzn-requestid", "x-amz-request-id")
    headers = {name: names.removed(value) for name, value in answer.headers.items() if name not in own}
    return answer.status, headers, _OWN_ID.sub("ID", names.removed(answer.text))


def submission(names: Names) -> bytes:
    """Into the other tenant's bucket."""
    return json.dumps(
        {
            "deviceArn": SV1,
            "shots": 1,
            "outputS3Bucket": names.default_bucket,
            "outputS3KeyPrefix": "tasks",
            "action": BELL,
            "clientToken": str(uuid.uuid4()),
        }
    ).encode()


def path(kind: str, names: Names, more: str = "") -> str:
    return f"/{kind}/{quote(names.arn, safe='')}{more}"


def found_by(name: str) -> Callable[[Names], tuple[str, str, bytes]]:
    """A search for the task's ARN."""

    def ask(names: Names) -> tuple[str, str, bytes]:
        wanted = [{"name": name, "operator": "EQUAL", "values": [names.arn]}]
        return "POST", "/quantum-tasks", json.dumps({"filters": wanted}).encode()

    return ask


SEARCH = b'{"filters":[]}'
QUEUE = "?additionalAttributeNames=QueueInfo"
Ask = Callable[[Names], tuple[str, str, bytes]]
BRAKET: dict[str, tuple[int, Ask]] = {
    "GetQuantumTask": (404, lambda n: ("GET", path("quantum-task", n), b"")),
    "GetQuantumTask with queue": (404, lambda n: ("GET", path("quantum-task", n, QUEUE), b"")),
    "GetQuantumTask in one's own account": (
        404,
        lambda n: ("GET", path("quantum-task", n).replace(n.account, OWN_ACCOUNT), b""),
    ),
    "GetQuantumTask by id": (404, lambda n: ("GET", f"/quantum-task/{n.task}", b"")),
    "CancelQuantumTask": (404, lambda n: ("PUT", path("quantum-task", n, "/cancel"), b'{"clientToken":"t"}')),
    "SearchQuantumTasks by ARN": (200, found_by("quantumTaskArn")),
    "ListTagsForResource": (404, lambda n: ("GET", path("tags", n), b"")),
    "TagResource": (404, lambda n: ("POST", path("tags", n), b'{"tags":{"a":"b"}}')),
    "TagResource with a forged tag": (404, lambda n: ("POST", path("tags", n), b'{"tags":{"qsec:tenant":"x"}}')),
    "UntagResource": (404, lambda n: ("DELETE", path("tags", n, "?tagKeys=secret"), b"")),
    "CreateQuantumTask into the bucket": (404, lambda n: ("POST", "/quantum-task", submission(n))),
}
DELETE = b"<Delete><Object><Key>%s</Key></Object></Delete>"
PARTS = b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>"
PLACES: dict[str, Callable[[Names], str]] = {"default": lambda n: n.default_bucket, "created": lambda n: n.bucket}
S3: dict[str, tuple[int, Ask]] = {
    "HeadBucket": (404, lambda n: ("HEAD", "", b"")),
    "GetBucketLocation": (404, lambda n: ("GET", "?location=", b"")),
    "ListObjects": (404, lambda n: ("GET", "", b"")),
    "ListObjectsV2": (404, lambda n: ("GET", "?list-type=2", b"")),
    "ListObjectsV2 with prefix": (404, lambda n: ("GET", f"?list-type=2&prefix={n.key}", b"")),
    "DeleteObjects": (404, lambda n: ("POST", "?delete=", DELETE % n.key.encode())),
    "DeleteBucket": (501, lambda n: ("DELETE", "", b"")),
    "GetObject": (404, lambda n: ("GET", f"/{n.key}", b"")),
    "HeadObject": (404, lambda n: ("HEAD", f"/{n.key}", b"")),
    "GetObject, the result": (404, lambda n: ("GET", f"/tasks/{n.task}/results.json", b"")),
    "PutObject": (404, lambda n: ("PUT", f"/{n.key}", b"mine")),
    "DeleteObject": (404, lambda n: ("DELETE", f"/{n.key}", b"")),
    "CreateMultipartUpload": (404, lambda n: ("POST", f"/{n.key}?uploads=", b"")),
    "UploadPart": (404, lambda n: ("PUT", f"/{n.key}?partNumber=1&uploadId={n.upload}", b"mine")),
    "CompleteMultipartUpload": (404, lambda n: ("POST", f"/{n.key}?uploadId={n.upload}", PARTS)),
    "AbortMultipartUpload": (404, lambda n: ("DELETE", f"/{n.key}?uploadId={n.upload}", b"")),
}


@pytest.mark.parametrize("operation", BRAKET)
def test_anothers_task_is_like_none(sides: Sides, operation: str) -> None:
    expected, ask = BRAKET[operation]
    theirs = seen(sides.own("braket").send(*ask(sides.theirs)), sides.theirs)
    nothing = seen(sides.own("braket").send(*ask(sides.nothing)), sides.nothing)
    assert theirs == nothing
    assert theirs[0] == expected


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("operation", S3)
def test_anothers_bucket_is_like_none(sides: Sides, operation: str, place: str) -> None:
    expected, ask = S3[operation]
    answers = []
    for names in (sides.theirs, sides.nothing):
        method, below, body = ask(names)
        answer = sides.own("s3").send(method, f"/{PLACES[place](names)}{below}", body)
        answers.append(seen(answer, names))
    assert answers[0] == answers[1]
    assert answers[0][0] == expected


@pytest.mark.parametrize("place", PLACES)
def test_anothers_object_cannot_be_copied(sides: Sides, place: str) -> None:
    answers = []
    for names in (sides.theirs, sides.nothing):
        source = {"x-amz-copy-source": f"{PLACES[place](names)}/{names.key}"}
        target = f"/amazon-braket-us-east-1-{OWN_ACCOUNT}/copied"
        answers.append(seen(sides.own("s3").send("PUT", target, extra=source), names))
    assert answers[0] == answers[1]
    assert answers[0][0] == 404


def test_a_bucket_name_that_another_uses_is_free(sides: Sides) -> None:
    """A refusal would tell that the name is taken; the new bucket is empty and one's own."""
    theirs, nothing = (replace(sides.theirs, bucket=f"their-{uuid.uuid4().hex}") for _ in range(2))
    assert sides.other.send("PUT", f"/{theirs.bucket}").status == 200
    assert sides.other.send("PUT", f"/{theirs.bucket}/{theirs.key}", b"theirs").status == 200
    answers = [sides.own("s3").send("PUT", f"/{names.bucket}") for names in (theirs, nothing)]
    assert seen(answers[0], theirs) == seen(answers[1], nothing)
    assert answers[0].status == 200
    assert sides.own("s3").send("GET", f"/{theirs.bucket}/{theirs.key}").status == 404


def test_searches_and_queues_tell_of_ones_own_only(live_gateway: LiveGateway) -> None:
    """A task that waits is told the same place, the same queue and the same company, however much others wait for."""
    for tenant in ("sandbox", "research"):
        live_gateway.pause(tenant)  # so that all of it waits
    other, own = live_gateway.lease(tenant="research"), live_gateway.lease(tenant="sandbox")
    braket = SignedClient.of(live_gateway, own)

    def told() -> tuple[list[str], Any, Any]:
        """What a new task is told, before it is cancelled."""
        arn = submit_bell(live_gateway, own).arn
        place = json.loads(braket.send("GET", f"/quantum-task/{quote(arn, safe='')}{QUEUE}").text)["queueInfo"]
        depth = json.loads(braket.send("GET", f"/device/{quote(SV1, safe='')}").text)["deviceQueueInfo"]
        waiting = b'{"filters":[{"name":"status","operator":"EQUAL","values":["QUEUED"]}]}'
        company = json.loads(braket.send("POST", "/quantum-tasks", waiting).text)["quantumTasks"]
        assert braket.send("PUT", f"/quantum-task/{quote(arn, safe='')}/cancel", b'{"clientToken":"t"}').status == 200
        return [task["quantumTaskArn"].replace(arn, "its own") for task in company], place, depth

    quiet = told()
    theirs = {submit_bell(live_gateway, other).arn for _ in range(5)}
    assert told() == quiet
    company, place, depth = quiet
    assert (company, place["position"], depth[0]["queueSize"]) == (["its own"], "1", "1")

    found = json.loads(braket.send("POST", "/quantum-tasks", SEARCH).text)["quantumTasks"]
    assert len(found) == 2 and not theirs & {task["quantumTaskArn"] for task in found}
    there = json.loads(SignedClient.of(live_gateway, other).send("POST", "/quantum-tasks", SEARCH).text)["quantumTasks"]
    assert {task["quantumTaskArn"] for task in there} == theirs, "the load was there"


def test_what_is_theirs_is_still_theirs(shared_gateway: LiveGateway, sides: Sides, issued: Issued) -> None:
    """The operations above changed nothing there."""
    lease = shared_gateway.lease(tenant="research")
    s3, braket = (SignedClient.of(shared_gateway, lease, service) for service in ("s3", "braket"))
    assert s3.send("GET", f"/{sides.theirs.bucket}/{sides.theirs.key}").body == b"theirs"
    task = json.loads(braket.send("GET", path("quantum-task", sides.theirs)).text)
    assert (task["status"], task["tags"]["secret"]) == ("COMPLETED", "plan")
    result = s3.send("GET", f"/{task['outputS3Bucket']}/{task['outputS3Directory']}/results.json")
    assert (result.status, b"measurements" in result.body) == (200, True)

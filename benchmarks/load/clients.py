"""Leased clients in open-loop: tasks fall due at random times whatever the gateway does, each is submitted, looked at
until it has ended, and its results are read, as the Braket SDK does it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from benchmarks.load.ledger import Ledger, Submission
from benchmarks.load.wire import REGION, Answer, Keys, SdkClient

SV1 = "arn:aws:braket:::device/quantum-simulator/amazon/sv1"
BELL = "OPENQASM 3.0;\nbit[2] b;\nqubit[2] q;\nh q[0];\ncnot q[0], q[1];\nb[0] = measure q[0];\nb[1] = measure q[1];"
SHOTS = 100
ENDED = ("COMPLETED", "FAILED", "CANCELLED")
PROBES = 0.1
"""Of the tasks: so often another tenant's task and results are asked for."""
_LOOK_SECONDS = 1.0  # the SDK's poll interval
_TASK = "/aws/braket/quantum-task"


@dataclass(frozen=True)
class Identity:
    """One leased client."""

    tenant: str
    account: str
    keys: Keys

    @property
    def bucket(self) -> str:
        return f"amazon-braket-{REGION}-{self.account}"


class Client:
    """Submits tasks and follows them. What it sees goes into the ledger."""

    def __init__(self, identity: Identity, port: int, ledger: Ledger, chance: random.Random, *, curious: bool) -> None:
        """`curious`: it also asks for what belongs to other tenants."""
        self._identity = identity
        self._ledger = ledger
        self._chance = chance
        self._curious = curious
        self._sdk = SdkClient(identity.keys, port, chance)

    async def task(self, due: float) -> None:
        """One task from its submission to its results."""
        submission = Submission(str(uuid.uuid4()), self._identity.tenant, due, sent=time.monotonic())
        self._ledger.submissions.append(submission)
        answer = await self._sdk.call("braket", "POST", _TASK, self._body(submission.token))
        submission.answered = time.monotonic()
        submission.status, submission.attempts = answer.status, answer.attempts
        if submission.refused:
            return
        if answer.status != 201:
            submission.problem = _problem("CreateQuantumTask", answer)
            return
        submission.arn = json.loads(answer.body)["quantumTaskArn"]
        self._own(submission.arn, "a submission")
        if self._curious and self._chance.random() < PROBES:
            await self._probe()
        await self._follow(submission)

    def _body(self, token: str) -> bytes:
        header = {"name": "braket.ir.openqasm.program", "version": "1"}
        return json.dumps(
            {
                "deviceArn": SV1,
                "shots": SHOTS,
                "action": json.dumps({"braketSchemaHeader": header, "source": BELL}),
                "deviceParameters": "{}",
                "outputS3Bucket": self._identity.bucket,
                "outputS3KeyPrefix": "tasks",
                "clientToken": token,
            }
        ).encode()

    async def _follow(self, submission: Submission) -> None:
        task: dict[str, Any] = {}
        while submission.state not in ENDED:
            answer = await self._look(submission.arn)
            if answer.status != 200:
                submission.problem = _problem("GetQuantumTask", answer)
                return
            task = json.loads(answer.body)
            self._own(task["quantumTaskArn"], "GetQuantumTask")
            submission.state = task["status"]
            if submission.state not in ENDED:
                await asyncio.sleep(_LOOK_SECONDS)
        if submission.state != "COMPLETED":
            submission.problem = f"the task is {submission.state}: {task.get('failureReason', '')}"
            return
        key = f"/{task['outputS3Bucket']}/{task['outputS3Directory']}/results.json"
        answer = await self._sdk.call("s3", "GET", f"/aws/s3{key}")
        if answer.status != 200:
            submission.problem = _problem("GetObject", answer)
            return
        submission.digest = hashlib.sha256(answer.body).hexdigest()
        if self._curious and json.loads(answer.body)["taskMetadata"]["id"] != submission.arn:
            self._ledger.leaks.append(f"the results of {submission.arn} are another task's")

    async def _look(self, arn: str) -> Answer:
        return await self._sdk.call("braket", "GET", f"{_TASK}/{quote(arn, safe='')}")

    def _own(self, arn: str, where: str) -> None:
        if f":{self._identity.account}:" not in arn:
            self._ledger.leaks.append(f"{where} of {self._identity.tenant} told of {arn}")

    # -- another tenant's
    async def _probe(self) -> None:
        """Another tenant's task and results must look like ones that do not exist, to the byte but for their names."""
        others = [s for s in self._ledger.submissions[-200:] if s.arn and s.tenant != self._identity.tenant]
        if not others:
            return
        arn = self._chance.choice(others).arn
        account, task_id = arn.split(":")[4], arn.rpartition("/")[2]
        nobody, no_id = "999999999999", str(uuid.uuid4())
        theirs = await self._look(arn)
        none = await self._look(arn.replace(account, nobody).replace(task_id, no_id))
        self._compare("task", theirs, none, {account: nobody, task_id: no_id})
        bucket = f"amazon-braket-{REGION}-{account}"
        theirs, none = [
            await self._sdk.call("s3", "GET", f"/aws/s3/{name}/tasks/{task_id}/results.json")
            for name in (bucket, bucket.replace(account, nobody))
        ]
        self._compare("results", theirs, none, {account: nobody})

    def _compare(self, what: str, theirs: Answer, none: Answer, names: dict[str, str]) -> None:
        if not theirs.status or not none.status:
            return  # no answer tells nothing
        self._ledger.probes += 1
        if theirs.status != 404 or _masked(theirs, list(names)) != _masked(none, list(names.values())):
            self._ledger.leaks.append(f"{what}: {theirs.status} {theirs.body[:200]!r} for {none.body[:200]!r}")

    def close(self) -> None:
        self._sdk.close()


def _masked(answer: Answer, names: Sequence[str]) -> str:
    """Without the names that were asked for and the request's id."""
    text = answer.body.decode()
    for name in names:
        text = text.replace(name, "NAME")
    head, mark, rest = text.partition("<RequestId>")
    return f"{answer.status} {head}{mark}{rest.partition('<')[2]}"


def _problem(operation: str, answer: Answer) -> str:
    said = answer.problem or answer.body[:200].decode(errors="replace")
    return f"{operation}: {answer.status or 'no answer'} after {answer.attempts} attempts: {said}"


class Generator:
    """Makes tasks fall due as a Poisson process and hands each to one of the clients."""

    def __init__(self, clients: Sequence[Client], rate: float, chance: random.Random) -> None:
        """`rate` is of all clients together, in tasks a second."""
        self._clients = clients
        self._rate = rate
        self._chance = chance
        self._running: set[asyncio.Task[Any]] = set()
        self._broken: list[BaseException] = []

    async def run(self, seconds: float) -> None:
        due = time.monotonic()
        end = due + seconds
        while (due := due + self._chance.expovariate(self._rate)) < end:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            work = asyncio.create_task(self._chance.choice(self._clients).task(due))
            self._running.add(work)
            work.add_done_callback(self._done)
        await asyncio.sleep(max(0.0, end - time.monotonic()))

    async def drain(self, seconds: float) -> int:
        """Wait for what runs; how many tasks are still followed after `seconds`. What broke in a client is raised."""
        pending = set(self._running)
        if pending:
            _, pending = await asyncio.wait(pending, timeout=seconds)
        for work in pending:
            work.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        if self._broken:
            raise self._broken[0]
        return len(pending)

    def _done(self, work: asyncio.Task[Any]) -> None:
        self._running.discard(work)
        if not work.cancelled() and (error := work.exception()) is not None:
            self._broken.append(error)

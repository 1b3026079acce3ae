"""What keeps tenants apart, switched off: one then reaches the other's tasks and buckets through each door. Where there
are two lines of defence, either alone holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from jupyter_qsec.adapters.results import FileResultStore
from jupyter_qsec.application import tasks
from jupyter_qsec.application.callers import Caller, access
from jupyter_qsec.application.objects import Objects
from jupyter_qsec.application.ports import TaskQuery
from jupyter_qsec.domain.access import Action, Permit
from jupyter_qsec.domain.task import QuantumTask, TaskState
from jupyter_qsec.gateway.search import TaskFilter
from tests.gateway.livegateway import Issued, LiveGateway, run_bell, submit_bell
from tests.gateway.rawhttp import SignedClient

THEIRS = "amazon-braket-us-east-1-000000000202"


@dataclass(frozen=True)
class Sides:
    """An attacker in `sandbox`, and what `research` has: a task that has run, and a bucket of that name."""

    gateway: LiveGateway
    attacker: Issued
    braket: SignedClient
    s3: SignedClient
    other: Issued
    task: QuantumTask
    bucket: str

    def task_path(self, kind: str, task: QuantumTask | None = None) -> str:
        return f"/{kind}/{quote((task or self.task).arn, safe='')}"


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    gateway = LiveGateway(tmp_path_factory.mktemp("tenants") / "home").start()
    try:
        attacker, other = gateway.lease(tenant="sandbox"), gateway.lease(tenant="research")
        task = run_bell(gateway, other, tags={"secret": "plan"})
        gateway.pause("research")  # what they submit from now on waits
        s3 = SignedClient.of(gateway, other, "s3")
        assert s3.send("PUT", "/their-own-bucket").status == 200
        assert s3.send("PUT", "/their-own-bucket/notes", b"plan").status == 200
        at_braket, at_s3 = (SignedClient.of(gateway, attacker, service) for service in ("braket", "s3"))
        yield Sides(gateway, attacker, at_braket, at_s3, other, task, "their-own-bucket")
    finally:
        gateway.stop()


# -- attacks: whether each succeeds
def read_by_the_control_api(sides: Sides) -> bool:
    return sides.gateway.get(f"/api/v1/tasks/{sides.task.id}", sides.attacker.token).status_code == 200


def get_quantum_task(sides: Sides) -> bool:
    return b'"secret":"plan"' in sides.braket.send("GET", sides.task_path("quantum-task")).body.replace(b" ", b"")


def list_tags(sides: Sides) -> bool:
    return b"plan" in sides.braket.send("GET", sides.task_path("tags")).body


def tag_resource(sides: Sides) -> bool:
    task = submit_bell(sides.gateway, sides.other)
    sides.braket.send("POST", sides.task_path("tags", task), b'{"tags":{"spite":"yes"}}')
    shown = SignedClient.of(sides.gateway, sides.other).send("GET", sides.task_path("tags", task))
    return shown.status == 200 and b"spite" in shown.body


def cancel_quantum_task(sides: Sides) -> bool:
    task = submit_bell(sides.gateway, sides.other)
    sides.braket.send("PUT", sides.task_path("quantum-task", task) + "/cancel", b'{"clientToken":"t"}')
    stored = sides.gateway.call(sides.gateway.gateway.store.task(task.id))
    assert stored is not None and stored.state in (TaskState.QUEUED, TaskState.CANCELLED)
    return stored.state is TaskState.CANCELLED


def search_quantum_tasks(sides: Sides) -> bool:
    return sides.task.arn in sides.braket.send("POST", "/quantum-tasks", b'{"filters":[]}').text


def search_by_arn(sides: Sides) -> bool:
    wanted = {"filters": [{"name": "quantumTaskArn", "operator": "EQUAL", "values": [sides.task.arn]}]}
    return sides.task.arn in sides.braket.send("POST", "/quantum-tasks", json.dumps(wanted).encode()).text


def list_their_bucket(sides: Sides) -> bool:
    return b"results.json" in sides.s3.send("GET", f"/{THEIRS}?list-type=2").body


def get_their_result(sides: Sides) -> bool:
    path = f"/{THEIRS}/{sides.task.output_directory}/results.json"
    assert SignedClient.of(sides.gateway, sides.other, "s3").send("GET", path).status == 200
    return b"measurements" in sides.s3.send("GET", path).body


def get_from_the_bucket_they_created(sides: Sides) -> bool:
    return sides.s3.send("GET", f"/{sides.bucket}/notes").body == b"plan"


# -- lines of defence, and how to switch each off
Off = Callable[[pytest.MonkeyPatch], None]


def without_comparison(patch: pytest.MonkeyPatch) -> None:
    """A task is looked up without a glance at whose it is; then the policy is asked, as always."""

    async def find(self: Any, caller: Caller, arn_or_id: str, action: Action) -> QuantumTask:
        task: QuantumTask = await self._book.get(arn_or_id.rpartition("/")[2])
        self._require(access(caller, action, resource_tenant=task.tenant, facts=tasks._facts(caller, task)))
        return task

    patch.setattr(tasks.Tasks, "_find", find)


def without_policy(patch: pytest.MonkeyPatch) -> None:
    """An engine that permits everything."""
    patch.setattr("jupyter_qsec.adapters.policy.CedarPolicy.decide", lambda self, request: Permit(("everything",)))


def without_the_doors_tenant(patch: pytest.MonkeyPatch) -> None:
    """The front door searches for tasks of anybody."""
    query = TaskFilter.query
    patch.setattr(TaskFilter, "query", lambda self, tenant, *more: replace(query(self, tenant, *more), tenant=""))


def without_the_searchs_tenant(patch: pytest.MonkeyPatch) -> None:
    """The use case takes the door's word for whose tasks are searched."""

    async def search(self: Any, caller: Caller, query: TaskQuery) -> Sequence[QuantumTask]:
        self._require(access(caller, Action.TASK_READ))
        found: Sequence[QuantumTask] = await self._store.tasks(query)
        return found

    patch.setattr(tasks.Tasks, "search", search)


def without_ownership(patch: pytest.MonkeyPatch) -> None:
    """Every bucket is everybody's."""

    async def owns(self: Objects, caller: Caller, bucket: str) -> bool:
        return True

    patch.setattr(Objects, "owns", owns)


def without_namespaces(patch: pytest.MonkeyPatch) -> None:
    """A bucket is found whichever tenant it belongs to."""
    own = FileResultStore._directory

    def anywhere(self: FileResultStore, tenant: str, bucket: str) -> Path:
        return next(self._root.glob(f"*/{bucket}"), own(self, tenant, bucket))

    patch.setattr(FileResultStore, "_directory", anywhere)


@dataclass(frozen=True)
class Attack:
    works: Callable[[Sides], bool]
    lines: tuple[Off, ...]


FINDING = (without_comparison, without_policy)
SEARCHING = (without_the_doors_tenant, without_the_searchs_tenant)
STORING = (without_ownership, without_namespaces)
ATTACKS = {
    "task by the control API": Attack(read_by_the_control_api, FINDING),
    "GetQuantumTask": Attack(get_quantum_task, FINDING),
    "ListTagsForResource": Attack(list_tags, FINDING),
    "TagResource": Attack(tag_resource, FINDING),
    "CancelQuantumTask": Attack(cancel_quantum_task, FINDING),
    "SearchQuantumTasks": Attack(search_quantum_tasks, SEARCHING),
    "SearchQuantumTasks by ARN": Attack(search_by_arn, FINDING),
    "ListObjectsV2": Attack(list_their_bucket, STORING),
    "GetObject, the result": Attack(get_their_result, STORING),
    # Whose a created bucket is stands in the namespace itself.
    "GetObject of a created bucket": Attack(get_from_the_bucket_they_created, (without_namespaces,)),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_tenants_are_kept_apart(sides: Sides, name: str) -> None:
    assert not ATTACKS[name].works(sides)


@pytest.mark.parametrize("name", ATTACKS)
def test_without_what_keeps_them_apart_the_attack_works(
    sides: Sides, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for off in ATTACKS[name].lines:
        off(monkeypatch)
    assert ATTACKS[name].works(sides)


@pytest.mark.parametrize(
    ("name", "off"),
    [(name, off) for name, attack in ATTACKS.items() if len(attack.lines) > 1 for off in attack.lines],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_either_line_of_defence_keeps_tenants_apart(
    sides: Sides, monkeypatch: pytest.MonkeyPatch, name: str, off: Off
) -> None:
    off(monkeypatch)
    assert not ATTACKS[name].works(sides)

"""All use cases wired to fakes: what `bootstrap` does, with nothing outside the process."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from jupyter_qsec.adapters.devices.embedded import EmbeddedDevices
from jupyter_qsec.adapters.policy import CedarPolicy
from jupyter_qsec.application.callers import Caller
from jupyter_qsec.application.dispatch import Dispatcher
from jupyter_qsec.application.leasing import LeaseRequest, Leasing
from jupyter_qsec.application.objects import Objects
from jupyter_qsec.application.pausing import Pausing
from jupyter_qsec.application.ports import ExecutionLimits, Policy
from jupyter_qsec.application.recording import Recorder
from jupyter_qsec.application.running import Runner
from jupyter_qsec.application.sharing import SharedDispatcher
from jupyter_qsec.application.submission import SubmissionRequest, Submissions
from jupyter_qsec.application.taskbook import TaskBook
from jupyter_qsec.application.tasks import Tasks
from jupyter_qsec.application.tokens import CredentialForge
from jupyter_qsec.domain.principal import Principal, Role
from jupyter_qsec.domain.task import QuantumTask, TaskState
from tests.fakes.catalogue import FakeCatalogue
from tests.fakes.claims import FakeSignatures
from tests.fakes.clock import FakeClock
from tests.fakes.executor import FakeExecutor
from tests.fakes.results import FakeResults
from tests.fakes.store import FakeStore

SV1 = "arn:aws:braket:::device/quantum-simulator/amazon/sv1"
DM1 = "arn:aws:braket:::device/quantum-simulator/amazon/dm1"
ADA = Principal("os:ada", "ada", roles=frozenset({Role.DEVELOPER, Role.WORKSPACE_ADMIN, Role.AUDITOR}))
BELL_SOURCE = (
    "OPENQASM 3.0;\nqubit[2] q;\nbit[2] b;\nh q[0];\ncnot q[0], q[1];\nb[0] = measure q[0];\nb[1] = measure q[1];\n"
)


def openqasm(source: str) -> str:
    """The action that CreateQuantumTask carries for a program."""
    header = {"name": "braket.ir.openqasm.program", "version": "1"}
    return json.dumps({"braketSchemaHeader": header, "source": source})


BELL = openqasm(BELL_SOURCE)


@dataclass
class World:
    """`World()` is a gateway of fakes; `restarted` is the next process on the same store and results."""

    clock: FakeClock = field(default_factory=FakeClock)
    store: FakeStore = field(default_factory=FakeStore)
    results: FakeResults = field(default_factory=FakeResults)
    catalogue: FakeCatalogue = field(default_factory=FakeCatalogue)
    executor: FakeExecutor = field(default_factory=FakeExecutor)
    policy: Policy = field(default_factory=CedarPolicy)
    key: bytes = b"k" * 32
    shared: bool = field(default_factory=lambda: World.shared_by_default)
    """Whether it is one of several workers on the store."""
    shared_by_default: ClassVar[bool] = False
    alive: ClassVar[list[World]] = []
    """Worlds that were made and not killed, for the fixture that clears up."""

    def root_edition(self) -> int:
        return 0

    def page_key(self) -> bytes:
        return b"p" * 32

    def __post_init__(self) -> None:
        World.alive.append(self)
        self.slept: list[float] = []
        with suppress(StopIteration):
            self.store.open().send(None)  # opening a store in memory waits for nothing
        self.devices = EmbeddedDevices(ExecutionLimits())
        self.recorder = Recorder(self.store, self.clock)
        self.leasing = Leasing(
            self.store,
            self.catalogue,
            self.policy,
            self.clock,
            CredentialForge(lambda _: self.key),
            fresh_seconds=1.0 if self.shared else None,
            timer=lambda: self.clock.now().timestamp(),
        )
        self.book = TaskBook(self.store, shared=self.shared)
        self.runner = Runner(
            store=self.store,
            book=self.book,
            executor=self.executor,
            results=self.results,
            devices=self.devices,
            clock=self.clock,
            sleep=self._sleep,
        )
        self.dispatcher: Any = self._shared_dispatcher() if self.shared else self._dispatcher()
        self.objects = Objects(self.results, self.store, self.policy, self.clock)
        self.submissions = Submissions(
            store=self.store,
            devices=self.devices,
            policy=self.policy,
            buckets=self.objects,
            dispatcher=self.dispatcher,
            recorder=self.recorder,
            clock=self.clock,
            limits=ExecutionLimits(),
        )
        self.tasks = Tasks(
            store=self.store,
            book=self.book,
            dispatcher=self.dispatcher,
            policy=self.policy,
            recorder=self.recorder,
            clock=self.clock,
        )

        self.pausing = Pausing(self.store, self.catalogue, self.policy, self.dispatcher, self.clock)

    def _dispatcher(self) -> Dispatcher:
        return Dispatcher(
            store=self.store,
            book=self.book,
            runner=self.runner,
            executor=self.executor,
            catalogue=self.catalogue,
            clock=self.clock,
        )

    def _shared_dispatcher(self) -> SharedDispatcher:
        """Beats only when the test says so, and looks when something happens."""
        return SharedDispatcher(
            claims=self.store.claims,
            book=self.book,
            runner=self.runner,
            executor=self.executor,
            catalogue=self.catalogue,
            clock=self.clock,
            look_seconds=3600,
            sleep=lambda seconds: asyncio.sleep(3600),
        )

    @property
    def signatures(self) -> FakeSignatures | None:
        return self.store.signatures if self.shared else None

    def neighbour(self, executor: FakeExecutor | None = None) -> World:
        """Another worker on the same store and results."""
        return World(
            clock=self.clock,
            store=self.store,
            results=self.results,
            catalogue=self.catalogue,
            executor=executor or FakeExecutor(),
            policy=self.policy,
            key=self.key,
            shared=True,
        )

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)

    async def started(self) -> World:
        await self.store.open()
        await self.dispatcher.start()
        return self

    async def restarted(self, executor: FakeExecutor | None = None) -> World:
        """What comes after a `kill -9`: nothing of this process survives but what is stored."""
        await self.kill()
        again = World(
            clock=self.clock,
            store=self.store,
            results=self.results,
            catalogue=self.catalogue,
            executor=executor or FakeExecutor(),
            policy=self.policy,
            key=self.key,
        )
        return await again.started()

    async def kill(self) -> None:
        """Nothing of this world happens any more; what it had stored stays."""
        World.alive.remove(self)
        self.runner.closing = True
        runs = [*self.dispatcher._runs.values(), *getattr(self.dispatcher, "_loops", ())]
        for pending in runs:
            pending.cancel()
        await asyncio.gather(*runs, return_exceptions=True)

    async def caller(self, tenant: str = "alpha", *, project: str = "", principal: Principal = ADA) -> Caller:
        issued = await self.leasing.issue(principal, LeaseRequest(tenant=tenant, project=project))
        return await self.leasing.caller(issued.lease.id, user_agent="BraketSdk/1.0", source="127.0.0.1")

    async def submit(self, caller: Caller, **changes: Any) -> QuantumTask:
        return await self.submissions.submit(caller, request_of(caller, **changes))

    async def state(self, task_id: str) -> TaskState:
        task = await self.store.task(task_id)
        assert task is not None
        return task.state

    def kinds(self) -> list[str]:
        """Kinds of all recorded events, in order."""
        return [event.kind for event in self.store.events]

    async def used(self, scope: str) -> dict[str, int]:
        """What a scope has used today, by metric."""
        window = self.clock.now().date().isoformat()
        return {str(usage.metric): usage.used for usage in await self.store.usage([scope], window)}


_counter = iter(range(1, 1_000_000_000))


def request_of(caller: Caller, **changes: Any) -> SubmissionRequest:
    """A Bell task on SV1 into the tenant's default bucket, with changes."""
    request = SubmissionRequest(
        device_arn=SV1,
        shots=100,
        action=BELL,
        device_parameters="{}",
        output_bucket=f"amazon-braket-us-east-1-{caller.tenant.account}",
        output_prefix="tasks",
        client_token=f"token-{next(_counter)}",
    )
    return replace(request, **changes)


async def settled(world: World, *, turns: int = 200) -> None:
    """Let everything that is due on the event loop happen."""
    for _ in range(turns):
        await asyncio.sleep(0)

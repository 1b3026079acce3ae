"""Looking at tasks and changing what may be changed. Of another tenant's task nothing can be told: it is not found."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import chain

from jupyter_qsec.application.callers import Caller, Operator, access, operator_access
from jupyter_qsec.application.outcomes import event
from jupyter_qsec.application.ports import Clock, Policy, Store, TaskQuery
from jupyter_qsec.application.queueing import Dispatch
from jupyter_qsec.application.recording import Recorder
from jupyter_qsec.application.submission import check_tags, refuse_own_tags
from jupyter_qsec.application.taskbook import Step, TaskBook
from jupyter_qsec.domain.access import AccessRequest, Action, Deny
from jupyter_qsec.domain.errors import DeniedError, InvalidRequestError, NotFoundError
from jupyter_qsec.domain.task import QuantumTask, TaskState, WaitReason

Asker = Caller | Operator

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_ID = re.compile(rf"{_UUID}\Z")
_ARN = re.compile(rf"arn:aws:braket:([a-z0-9-]{{1,30}}):([0-9]{{12}}):quantum-task/({_UUID})\Z")
_MAX_TAGS = 50
_MAX_LIMIT = 1000
_YOUNG = timedelta(seconds=2)
_MOMENT = 0.1


class Tasks:
    def __init__(
        self, *, store: Store, book: TaskBook, dispatcher: Dispatch, policy: Policy, recorder: Recorder, clock: Clock
    ) -> None:
        self._store = store
        self._book = book
        self._dispatcher = dispatcher
        self._policy = policy
        self._recorder = recorder
        self._clock = clock

    async def get(self, caller: Asker, arn_or_id: str, *, wait: float = 0.0) -> QuantumTask:
        """One task; held up to `wait` seconds when it is about to end, and but a moment when it has run for a while, so
        that looking at a long task stays quick. `NotFoundError`, `DeniedError`."""
        task = await self._find(caller, arn_or_id, Action.TASK_READ)
        if wait > 0 and not task.state.terminal and await self._dispatcher.imminent(task):
            young = self._clock.now() - (task.started_at or task.created_at) < _YOUNG
            task = await self._until_ended(task, wait if young else min(wait, _MOMENT))
        return task

    async def search(self, caller: Asker, query: TaskQuery) -> Sequence[QuantumTask]:
        """Tasks newest first. A lease sees its own tenant's only, whatever the query says."""
        query = replace(query, limit=max(1, min(query.limit, _MAX_LIMIT)))
        if isinstance(caller, Caller):
            if query.tenant not in ("", caller.tenant.id):
                return ()
            self._require(access(caller, Action.TASK_READ))
            found = await self._store.tasks(replace(query, tenant=caller.tenant.id))
        else:
            # Asked tenant by tenant, so that what one may not see takes no place in the page.
            tenants = (query.tenant,) if query.tenant else caller.principal.tenants
            pages = [await self._store.tasks(replace(query, tenant=tenant)) for tenant in tenants]
            merged = sorted(chain(*pages), key=lambda task: (task.created_at, task.id), reverse=True)
            found = self._visible(caller, merged[: query.limit])
        return [self._newest(task) for task in found]

    async def cancel(self, caller: Asker, arn_or_id: str) -> QuantumTask:
        """Cancel a task that has not ended. `ConflictError` when it has, `NotFoundError`, `DeniedError`."""
        task = await self._find(caller, arn_or_id, Action.TASK_CANCEL)
        return await self._dispatcher.cancel(task.id, caller.principal.id)

    async def tags(self, caller: Asker, arn: str) -> Mapping[str, str]:
        return (await self._find(caller, arn, Action.TASK_READ)).tags

    async def tag(self, caller: Caller, arn: str, tags: Mapping[str, str]) -> QuantumTask:
        """Add or replace tags of the client's own. A forged `qsec:*` tag is a `DeniedError`, and recorded."""
        check_tags(tags, most=_MAX_TAGS)
        task = await self._find(caller, arn, Action.TASK_TAG)
        await self._refuse_forged(caller, task, tuple(tags))

        def step(task: QuantumTask) -> QuantumTask:
            merged = {**task.tags, **tags}
            if len(merged) > _MAX_TAGS:
                raise InvalidRequestError(f"A task can have {_MAX_TAGS} tags; this would make {len(merged)}.")
            return task if merged == task.tags else replace(task, tags=merged, revision=task.revision + 1)

        return await self._change_tags(caller, task, step, "task.tagged", sorted(tags))

    async def untag(self, caller: Caller, arn: str, keys: Sequence[str]) -> QuantumTask:
        """Remove tags of the client's own. Removing one of ours is a `DeniedError`, and recorded."""
        task = await self._find(caller, arn, Action.TASK_TAG)
        await self._refuse_forged(caller, task, tuple(keys))

        def step(task: QuantumTask) -> QuantumTask:
            left = {key: value for key, value in task.tags.items() if key not in keys}
            return task if left == task.tags else replace(task, tags=left, revision=task.revision + 1)

        return await self._change_tags(caller, task, step, "task.untagged", sorted(keys))

    async def counts(self, tenant: str = "") -> tuple[int, int]:
        """How many tasks run and how many wait, of one tenant or of all; callers choose what may be told."""
        return await self._dispatcher.counts(tenant)

    async def waiting(self, task: QuantumTask) -> Sequence[WaitReason]:
        """Why a task does not run yet; empty when it does, or has ended."""
        if task.state in (TaskState.CREATED, TaskState.QUEUED):
            pause = (await self._store.pauses()).get(task.tenant)
            if pause is not None:
                text = f"Tenant {task.tenant} is paused by {pause.principal}: {pause.because}"
                return (WaitReason("paused", text),)
        return await self._dispatcher.reasons(task)

    async def queue_position(self, task: QuantumTask) -> str | None:
        """The task's place among its own tenant's waiting tasks, as Braket writes it."""
        position = await self._dispatcher.position(task)
        return None if position is None else str(position)

    # -- inside
    def _visible(self, caller: Operator, tasks: Sequence[QuantumTask]) -> list[QuantumTask]:
        """The tasks that an operator may read; asked once for each tenant and owner, which is all that policy sees."""
        answers: dict[tuple[str, bool], bool] = {}
        visible = []
        for task in tasks:
            kind = (task.tenant, task.principal == caller.principal.id)
            if kind not in answers:
                answers[kind] = not isinstance(self._policy.decide(_ask(caller, task)), Deny)
            if answers[kind]:
                visible.append(task)
        return visible

    async def _find(self, caller: Asker, arn_or_id: str, action: Action) -> QuantumTask:
        # The text is the same for a task that is not there and for another tenant's, and names only what was asked.
        missing = NotFoundError(f"The quantum task {arn_or_id[:120]} was not found.")
        found = _ARN.match(arn_or_id)
        task_id = found.group(3) if found else arn_or_id
        if not _ID.match(task_id):
            raise missing
        task = await self._book.get(task_id)
        if task is None or (found and task.arn != arn_or_id):
            raise missing
        if isinstance(caller, Caller):
            if task.tenant != caller.tenant.id:
                raise missing
            self._require(access(caller, action, resource_tenant=task.tenant, facts=_facts(caller, task)))
        elif isinstance(self._policy.decide(_ask(caller, task)), Deny):
            raise missing
        else:
            self._require(_ask(caller, task, action))
        return task

    def _require(self, request: AccessRequest) -> None:
        decision = self._policy.decide(request)
        if isinstance(decision, Deny):
            raise DeniedError(decision.message, reasons=decision.reasons)

    async def _until_ended(self, task: QuantumTask, wait: float) -> QuantumTask:
        loop = asyncio.get_running_loop().time
        deadline = loop() + wait
        while not task.state.terminal and (left := deadline - loop()) > 0:
            task = await self._dispatcher.wait_for_change(task, left) or task
        return task

    def _newest(self, task: QuantumTask) -> QuantumTask:
        known = self._book.known(task.id)
        return known if known is not None and known.revision > task.revision else task

    async def _refuse_forged(self, caller: Caller, task: QuantumTask, keys: tuple[str, ...]) -> None:
        try:
            refuse_own_tags(keys)
        except DeniedError as error:
            await self._recorder.refused(caller, "task.tag-refused", error, subject=task.arn)
            raise

    async def _change_tags(
        self, caller: Caller, task: QuantumTask, step: Step, kind: str, keys: list[str]
    ) -> QuantumTask:
        now = self._clock.now()
        return await self._book.change(
            task.id,
            step,
            lambda task: [event(kind, task, now, "allowed", by=caller.principal.id, keys=", ".join(keys)[:500])],
        )


def _facts(caller: Asker, task: QuantumTask) -> dict[str, str | int | bool]:
    return {"owner": task.principal == caller.principal.id}


def _ask(caller: Operator, task: QuantumTask, action: Action = Action.TASK_READ) -> AccessRequest:
    return operator_access(caller.principal, action, task.tenant, facts=_facts(caller, task))

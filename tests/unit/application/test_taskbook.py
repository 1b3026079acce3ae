"""The task book: every change is stored first, writers do not overwrite each other, and waiting ends with a change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from jupyter_qsec.application.taskbook import TaskBook
from jupyter_qsec.domain.errors import NotFoundError, RecordingError
from jupyter_qsec.domain.task import QuantumTask, TaskPayload, TaskState
from tests.fakes.store import FakeStore
from tests.unit.application.test_outcomes import NOW, task_of


async def stored(**changes: object) -> tuple[FakeStore, TaskBook, QuantumTask]:
    store = FakeStore()
    await store.open()
    task = task_of(state=TaskState.QUEUED, started_at=None, **changes)
    await store.submit(task, TaskPayload("{}"), [], [])
    return store, TaskBook(store), task


def tagged(key: str) -> Callable[[QuantumTask], QuantumTask]:
    return lambda task: replace(task, tags={**task.tags, key: "x"}, revision=task.revision + 1)


async def test_a_change_that_cannot_be_stored_is_not_believed_either() -> None:
    store, book, task = await stored()
    store.fail_with = RecordingError("The disk is full.")
    with pytest.raises(RecordingError):
        await book.change(task.id, lambda task: task.moved(TaskState.RUNNING), lambda task: [])
    store.fail_with = None
    found = await book.get(task.id)
    assert found is not None and found.state is TaskState.QUEUED


async def test_concurrent_changes_all_arrive() -> None:
    store, book, task = await stored()
    await asyncio.gather(*(book.change(task.id, tagged(f"k{n}"), lambda task: []) for n in range(20)))
    found = await store.task(task.id)
    assert found is not None and len(found.tags) == 20


async def test_another_writers_change_is_kept() -> None:
    store, book, task = await stored()
    await book.get(task.id)
    other = TaskBook(store)
    await other.change(task.id, tagged("theirs"), lambda task: [])
    changed = await book.change(task.id, tagged("mine"), lambda task: [])
    assert set(changed.tags) == {"theirs", "mine"}


async def test_a_step_that_changes_nothing_writes_nothing() -> None:
    store, book, task = await stored()
    await book.change(task.id, lambda task: task, lambda task: pytest.fail("no event is due"))
    assert store.events == []


async def test_what_does_not_exist_cannot_be_changed() -> None:
    _, book, _ = await stored()
    with pytest.raises(NotFoundError):
        await book.change("nothing", lambda task: task, lambda task: [])


async def test_waiting_ends_with_the_next_change_and_leaves_nothing_behind() -> None:
    _, book, task = await stored()
    waits = [asyncio.create_task(book.wait(task.id, 30)) for _ in range(3)]
    await asyncio.sleep(0)
    await book.change(task.id, lambda task: task.moved(TaskState.RUNNING), lambda task: [])
    await asyncio.wait_for(asyncio.gather(*waits), 1)
    await book.wait(task.id, 0.001)
    assert book._waiting == {}


async def test_ended_tasks_are_kept_in_memory_up_to_a_bound() -> None:
    store, _, _ = await stored()
    book = TaskBook(store, keep_ended=10)
    for number in range(50):
        book.add(task_of(id=f"t{number}", state=TaskState.COMPLETED, ended_at=NOW))
    assert sum(book.known(f"t{number}") is not None for number in range(50)) == 10
    assert book.live() == ()


async def test_an_older_reading_does_not_replace_a_newer_one() -> None:
    _, book, task = await stored()
    newer = task.moved(TaskState.RUNNING)
    book.add(newer)
    book.add(task)
    assert book.known(task.id) is newer

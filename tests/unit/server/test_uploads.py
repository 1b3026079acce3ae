"""Notebooks that come in chunks are put together beside the event loop, and saved in the order in which they came."""

from __future__ import annotations

import asyncio
import base64
import threading
from typing import Any

import pytest

from jupyter_qsec.server import uploads
from jupyter_qsec.server.uploads import LAST, ChunkedNotebooks

TEXT = '{"cells": [], "metadata": {"name": "é→𝄞"}}'


class Manager:
    """Notes what it is told to save."""

    def __init__(self) -> None:
        self.saved: list[str] = []

    async def save(self, model: dict[str, Any], path: str = "") -> dict[str, Any]:
        content = model["content"]
        self.saved.append(content if model["format"] == "text" else base64.b64decode(content).decode("utf-16"))
        return {"path": path}


class AtOnce:
    """As `Manager`, but not asynchronous."""

    def __init__(self) -> None:
        self.saved: list[str] = []

    def save(self, model: dict[str, Any], path: str = "") -> dict[str, Any]:
        self.saved.append(model["content"])
        return {"path": path}


def chunk(number: int, part: bytes) -> dict[str, Any]:
    return {"type": "file", "format": "base64", "content": base64.b64encode(part).decode(), "chunk": number}


@pytest.fixture
def manager() -> Manager:
    manager = Manager()
    ChunkedNotebooks(manager).attach()
    return manager


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
async def test_a_notebook_comes_together_wherever_it_was_cut(manager: Manager, encoding: str) -> None:
    raw = TEXT.encode(encoding)
    for place in range(1, len(raw)):
        await manager.save(chunk(1, raw[:place]), "a.ipynb")
        await manager.save(chunk(LAST, raw[place:]), "a.ipynb")
    assert manager.saved == [TEXT] * (len(raw) - 1)


async def test_it_is_put_together_beside_the_event_loop(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    whole = uploads._whole

    def noted(parts: list[bytes]) -> dict[str, Any]:
        threads.append(threading.get_ident())
        return whole(parts)

    monkeypatch.setattr(uploads, "_whole", noted)
    await manager.save(chunk(1, TEXT.encode()), "a.ipynb")
    await manager.save(chunk(LAST, b""), "a.ipynb")
    assert len(threads) == 1 and threads != [threading.get_ident()]


async def test_a_later_save_waits_until_an_upload_is_put_together(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end, whole = threading.Event(), uploads._whole

    def slowly(parts: list[bytes]) -> dict[str, Any]:
        assert may_end.wait(10)
        return whole(parts)

    monkeypatch.setattr(uploads, "_whole", slowly)
    await manager.save(chunk(1, TEXT.encode()), "a.ipynb")
    upload = asyncio.create_task(manager.save(chunk(LAST, b""), "a.ipynb"))
    await asyncio.sleep(0)
    later = asyncio.create_task(manager.save({"type": "file", "format": "text", "content": "{}"}, "a.ipynb"))
    await manager.save({"type": "file", "format": "text", "content": "other"}, "b.ipynb")
    assert manager.saved == ["other"]
    may_end.set()
    await asyncio.gather(upload, later)
    assert manager.saved == ["other", TEXT, "{}"]


def test_a_manager_that_is_not_asynchronous_gets_it_at_once() -> None:
    manager = AtOnce()
    ChunkedNotebooks(manager).attach()
    assert manager.save(chunk(1, TEXT[:9].encode()), "a.ipynb")["content"] is None
    assert manager.save(chunk(LAST, TEXT[9:].encode()), "a.ipynb") == {"path": "a.ipynb"}
    assert manager.saved == [TEXT]

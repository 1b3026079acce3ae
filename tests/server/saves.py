"""What tests of saves share: notebooks, requests to a real server, and what the guard reports."""

from __future__ import annotations

import json
import threading
from typing import Any

import nbformat
import pytest
from tornado.httpclient import HTTPClientError

from jupyter_qsec.scanning.engine import Engine
from jupyter_qsec.scanning.finding import Finding

KEY = "AKIA" + "QSEC7PLANTED5Q2Z"


class Reports:
    """Collects what the guard reports."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[Finding], str]] = []

    def __call__(self, findings: list[Finding], action: str) -> None:
        self.calls.append((findings, action))

    def actions(self) -> list[str]:
        return [action for _, action in self.calls]


class ThreadNoting(Engine):
    """Notes on which threads it works."""

    threads: set[int]

    def hits(self, text: str, *arguments: Any) -> Any:
        self.threads.add(threading.get_ident())
        return super().hits(text, *arguments)


def a_notebook(source: str = "1 + 1", *outputs: dict[str, Any]) -> dict[str, Any]:
    cell = nbformat.v4.new_code_cell(source)
    cell["outputs"] = [nbformat.from_dict(output) for output in outputs]
    notebook: dict[str, Any] = json.loads(nbformat.writes(nbformat.v4.new_notebook(cells=[cell])))
    return notebook


async def put(fetch: Any, path: str, **model: Any) -> Any:
    return await fetch("api", "contents", path, method="PUT", body=json.dumps(model))


async def refused(fetch: Any, path: str, **model: Any) -> str:
    with pytest.raises(HTTPClientError) as caught:
        await put(fetch, path, **model)
    assert caught.value.code == 422 and caught.value.response is not None
    return str(json.loads(caught.value.response.body)["message"])

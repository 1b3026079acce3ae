"""A hub that answers its REST API with what a test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders, HTTPServerRequest, ResponseStartLine

NOT_FOUND = (404, {"status": 404, "message": "Not Found"})


class ScriptedHub:
    """Answers by path, with a query or without; counts what it is asked, and by whose token."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, Any]] = {}
        self.asked: list[tuple[str, str]] = []
        self.released = asyncio.Event()
        self.released.set()
        self._answering: list[asyncio.Future[None]] = []
        self._server = HTTPServer(self._arrived)
        self._server.listen(0, "127.0.0.1")
        (listener,) = self._server._sockets.values()
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/hub/api"

    def _arrived(self, request: HTTPServerRequest) -> None:
        self._answering.append(asyncio.ensure_future(self._answer(request)))

    async def _answer(self, request: HTTPServerRequest) -> None:
        await self.released.wait()
        self.asked.append((request.path or "", request.headers["Authorization"]))
        status, body = self.answers.get(request.uri or "") or self.answers.get(request.path or "", NOT_FOUND)
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = HTTPHeaders({"Content-Length": str(len(content))})
        if status == 302:
            headers["Location"] = f"{self.url}/elsewhere"
        assert request.connection is not None
        request.connection.write_headers(ResponseStartLine("HTTP/1.1", status, "x"), headers, content)
        request.connection.finish()

    async def close(self) -> None:
        self._server.stop()
        await self._server.close_all_connections()


@contextmanager
def scripted_hub(loop: asyncio.AbstractEventLoop) -> Iterator[ScriptedHub]:
    async def opened() -> ScriptedHub:
        return ScriptedHub()

    hub = loop.run_until_complete(opened())
    yield hub
    loop.run_until_complete(hub.close())

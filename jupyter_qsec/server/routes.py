"""REST of the extension, described in `rest-api.yml`. Every route asks who is there and whether they may."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web

from jupyter_qsec.domain import errors
from jupyter_qsec.server.login import LoginRequiredError, require_login
from jupyter_qsec.server.state import SETTING, ExtensionState

_KERNEL = r"(?P<kernel_id>[A-Za-z0-9_-]{1,64})"
_TASK = r"(?P<task_id>[A-Za-z0-9-]{1,64})"
_MAX_BODY = 16_384

_STATUS: tuple[tuple[type[errors.QsecError], int], ...] = (
    (errors.InvalidRequestError, 400),
    (LoginRequiredError, 401),
    (errors.DeniedError, 403),
    (errors.NotFoundError, 404),
    (errors.ConflictError, 409),
    (errors.LeaseRevokedError, 409),
    (errors.LeaseExpiredError, 409),
    (errors.QuotaExceededError, 402),
)


class QsecHandler(APIHandler):
    """Translates domain errors once: to problem details, with the `message` that Jupyter's front ends show."""

    auth_resource = "qsec"

    @property
    def qsec(self) -> ExtensionState:
        state = self.settings[SETTING]
        if not isinstance(state, ExtensionState):
            raise web.HTTPError(503)
        return state

    async def answer(self, call: Callable[[], Awaitable[Any]]) -> None:
        try:
            value = await call()
        except errors.QsecError as error:
            # Whatever the gateway has against our own token is the server's trouble, not a wrong login of the user.
            status = next((status for kind, status in _STATUS if isinstance(error, kind)), 503)
            self.set_status(status)
            value = {
                "type": "about:blank",
                "title": type(error).__name__.removesuffix("Error"),
                "status": status,
                "detail": error.message,
                "message": str(error),
                "code": error.code,
                "remedy": error.remedy,
            }
            if isinstance(error, LoginRequiredError):
                value["login_url"] = error.login_url
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(value))

    def text_fields(self, *names: str) -> dict[str, str]:
        """The named fields of a JSON object, all of them texts; `InvalidRequestError` for anything else."""
        if len(self.request.body) > _MAX_BODY:
            raise errors.TooLargeError(f"The body is larger than {_MAX_BODY} bytes.")
        try:
            value = json.loads(self.request.body or b"{}")
        except (ValueError, RecursionError):
            raise errors.InvalidRequestError("The body is not JSON.") from None
        if not isinstance(value, dict) or value.keys() - set(names):
            raise errors.InvalidRequestError(f"The body must be an object with the fields {', '.join(names)}.")
        found = {name: value.get(name) or "" for name in names}
        for name, text in found.items():
            if not isinstance(text, str) or len(text) > 200:
                raise errors.InvalidRequestError(f"{name} must be a short text.")
        return found

    def limit(self, default: int, most: int) -> int:
        given = self.get_query_argument("limit", str(default))
        if not given.isascii() or not given.isdecimal() or not 1 <= int(given[:9]) <= most:
            raise errors.InvalidRequestError(f"limit must be a number from 1 to {most}.")
        return int(given[:9])


class StatusHandler(QsecHandler):
    @web.authenticated
    @authorized
    async def get(self) -> None:
        await self.answer(self.qsec.status)


class KernelsHandler(QsecHandler):
    @web.authenticated
    @authorized
    async def get(self) -> None:
        async def kernels() -> Any:
            return {"kernels": await self.qsec.list_kernels()}

        await self.answer(kernels)


class KernelLeaseHandler(QsecHandler):
    @web.authenticated
    @authorized
    async def post(self, kernel_id: str) -> None:
        async def change() -> Any:
            fields = self.text_fields("action", "tenant", "project")
            return await self.qsec.change_lease(kernel_id, fields["action"], fields["tenant"], fields["project"])

        await self.answer(change)


class KernelKeepAliveHandler(QsecHandler):
    @web.authenticated
    @authorized
    async def post(self, kernel_id: str) -> None:
        async def keep_alive() -> Any:
            await require_login(self)
            return await self.qsec.keep_alive(kernel_id)

        await self.answer(keep_alive)


class TasksHandler(QsecHandler):
    @web.authenticated
    @authorized
    async def get(self) -> None:
        async def tasks() -> Any:
            return {"tasks": await self.qsec.gateway.api().tasks(limit=self.limit(50, 1000))}

        await self.answer(tasks)


class TaskCancelHandler(QsecHandler):
    @web.authenticated
    @authorized
    async def post(self, task_id: str) -> None:
        async def cancel() -> Any:
            return {"task": await self.qsec.gateway.api().cancel_task(task_id)}

        await self.answer(cancel)


class FindingsHandler(QsecHandler):
    @web.authenticated
    @authorized
    async def get(self) -> None:
        async def findings() -> Any:
            return {"findings": self.qsec.findings.newest(self.limit(200, 1000))}

        await self.answer(findings)


ROUTES: tuple[tuple[str, type[QsecHandler]], ...] = (
    (r"/jupyter-qsec/status", StatusHandler),
    (r"/jupyter-qsec/kernels", KernelsHandler),
    (rf"/jupyter-qsec/kernels/{_KERNEL}/lease", KernelLeaseHandler),
    (rf"/jupyter-qsec/kernels/{_KERNEL}/keepalive", KernelKeepAliveHandler),
    (r"/jupyter-qsec/tasks", TasksHandler),
    (rf"/jupyter-qsec/tasks/{_TASK}/cancel", TaskCancelHandler),
    (r"/jupyter-qsec/findings", FindingsHandler),
)

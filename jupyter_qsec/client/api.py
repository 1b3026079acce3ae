"""The control API's clients: one for threads, one for event loops, over the same requests and answers.

Every method raises the domain error of the gateway's problem details, and `UnavailableError` when the gateway cannot be
asked. Neither tokens nor headers ever appear in an exception.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self, cast

import httpx

from jupyter_qsec.client import wire
from jupyter_qsec.client.shown import TokenSource, current
from jupyter_qsec.client.wire import (
    FindingRecord,
    Issued,
    Json,
    LeaseAsk,
    LeaseRecord,
    Request,
    RoleRecord,
    RootSecretRecord,
    RootSecretsRecord,
    StatusRecord,
    TaskRecord,
)
from jupyter_qsec.domain.certificates import certificate_problem
from jupyter_qsec.domain.errors import NotFoundError, QsecError

__all__ = ["AsyncControlClient", "ControlClient", "LeaseAsk", "LeaseRecord", "StatusRecord", "TaskRecord"]

_TIMEOUT = 10.0
_STALE = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)


class _Requests:
    """Each call of the API as a request; the clients differ only in how they send it."""

    def status(self) -> Request:
        return wire.get("/api/v1/status")

    def leases(self, tenant: str, state: str) -> Request:
        return wire.get("/api/v1/leases", tenant=tenant, state=state)

    def lease(self, lease_id: str) -> Request:
        return wire.get(f"/api/v1/leases/{wire.segment(lease_id)}")

    def issue(self, ask: LeaseAsk) -> Request:
        return wire.post("/api/v1/leases", ask.body())

    def renew(self, lease_id: str, confinement: str | None) -> Request:
        body = {} if confinement is None else {"confinement": confinement}
        return wire.post(f"/api/v1/leases/{wire.segment(lease_id)}/renew", body, repeatable=True)

    def revoke(self, lease_id: str, reason: str) -> Request:
        return wire.post(f"/api/v1/leases/{wire.segment(lease_id)}/revoke", {"reason": reason} if reason else {})

    def secrets_of(self, token: str) -> Request:
        return Request("GET", "/api/v1/leases/self/secrets", repeatable=True, token=token)

    def estimate(self, device: str, shots: int, openqasm: str | None) -> Request:
        body: Json = {"device": device, "shots": shots}
        return wire.post(
            "/api/v1/estimates", body if openqasm is None else body | {"openqasm": openqasm}, repeatable=True
        )

    def tasks(self, tenant: str, lease: str, state: str, limit: int) -> Request:
        return wire.get("/api/v1/tasks", tenant=tenant, lease=lease, state=state, limit=limit)

    def task(self, task_id: str) -> Request:
        return wire.get(f"/api/v1/tasks/{wire.segment(task_id)}")

    def cancel(self, task_id: str) -> Request:
        return wire.post(f"/api/v1/tasks/{wire.segment(task_id)}/cancel")

    def report_findings(self, findings: Sequence[FindingRecord]) -> Request:
        return wire.post("/api/v1/findings", {"findings": list(findings)})

    def findings(self, tenant: str, lease: str, limit: int) -> Request:
        return wire.get("/api/v1/findings", tenant=tenant, lease=lease, limit=limit)

    def report_event(self, kind: str, lease_id: str, subject: str, details: Mapping[str, str | int | bool]) -> Request:
        body: Json = {"kind": kind}
        for name, value in (("lease_id", lease_id), ("subject", subject), ("details", dict(details))):
            if value:
                body[name] = value
        return wire.post("/api/v1/events", body)

    def audit_proof(self, index: int, size: int | None) -> Request:
        return wire.get("/api/v1/audit/proof", index=index, size="" if size is None else size)


_REQUESTS = _Requests()


def _headers(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "Accept": "application/json"}


def _reason(error: httpx.HTTPError) -> str:
    """Why a call got no answer, without addresses and headers."""
    if problem := certificate_problem(error):
        return problem
    if isinstance(error, httpx.ConnectError):
        return "nothing answers on its port"
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    return type(error).__name__


class ControlClient:
    """Blocking; may be used from several threads."""

    def __init__(
        self,
        base_url: str,
        token: TokenSource,
        *,
        timeout: float = _TIMEOUT,
        guard: Callable[[], object] | None = None,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        """`guard` is called before each request and may raise, so that no token is sent to the wrong program. `trust`
        says whose certificates an https gateway may have; `None`: the system's authorities."""
        self._guard = guard
        self._token = token
        self._http = httpx.Client(base_url=base_url, timeout=timeout, trust_env=False, verify=trust or True)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(self, request: Request) -> Json:
        """Send any request of `jupyter_qsec.client.wire` and read its answer."""
        if self._guard is not None:
            self._guard()
        headers = _headers(request.token or current(self._token))
        for attempt in (1, 2):
            try:
                response = self._http.request(request.method, request.path, json=request.body, headers=headers)
            except _STALE as error:
                if request.repeatable and attempt == 1:
                    continue
                raise wire.lost(_reason(error)) from None
            except httpx.HTTPError as error:
                raise wire.lost(_reason(error)) from None
            return wire.answer(response.status_code, response.content)
        raise AssertionError("unreachable")  # the second attempt returns or raises

    def healthy(self) -> bool:
        """Whether the gateway serves and can record and decide."""
        try:
            return self.send(wire.get("/health")).get("status") == "ok"
        except QsecError:
            return False

    def status(self) -> StatusRecord:
        return cast(StatusRecord, self.send(_REQUESTS.status()))

    def leases(self, *, tenant: str = "", state: str = "") -> list[LeaseRecord]:
        return cast("list[LeaseRecord]", wire.part(self.send(_REQUESTS.leases(tenant, state)), "leases"))

    def lease(self, lease_id: str) -> LeaseRecord:
        return cast(LeaseRecord, wire.part(self.send(_REQUESTS.lease(lease_id)), "lease"))

    def issue_lease(self, ask: LeaseAsk) -> Issued:
        value = self.send(_REQUESTS.issue(ask))
        return Issued(wire.part(value, "lease"), str(wire.part(value, "token")))

    def renew_lease(self, lease_id: str, *, confinement: str | None = None) -> LeaseRecord:
        return cast(LeaseRecord, wire.part(self.send(_REQUESTS.renew(lease_id, confinement)), "lease"))

    def revoke_lease(self, lease_id: str, *, reason: str = "") -> LeaseRecord:
        return cast(LeaseRecord, wire.part(self.send(_REQUESTS.revoke(lease_id, reason)), "lease"))

    def secrets_of(self, token: str) -> Mapping[str, str]:
        """What the holder of that lease token has been given and can get soon, each with the kind of secret it is.
        Empty where the gateway is too old to tell."""
        try:
            value = self.send(_REQUESTS.secrets_of(token))
        except NotFoundError:
            return {}
        kinds = (("aws-secret-key", "secret_access_keys"), ("aws-session-token", "session_tokens"))
        return {secret: kind for kind, name in kinds for secret in wire.texts(value, name)}

    def root_secrets(self) -> RootSecretsRecord:
        return cast(RootSecretsRecord, self.send(wire.get("/api/v1/root-secrets")))

    def rotate_root_secret(self, name: str, *, reason: str, at_once: bool = False) -> RootSecretRecord:
        path = f"/api/v1/root-secrets/{wire.segment(name)}/rotate"
        value = self.send(wire.post(path, {"reason": reason, "at_once": at_once}))
        return cast(RootSecretRecord, wire.part(value, "secret"))

    def set_aws_credential(self, access_key_id: str, secret_access_key: str, *, reason: str) -> RootSecretRecord:
        body = {"access_key_id": access_key_id, "secret_access_key": secret_access_key, "reason": reason}
        value = self.send(wire.post("/api/v1/root-secrets/aws", body))
        return cast(RootSecretRecord, wire.part(value, "secret"))

    def check_provider(self) -> list[RoleRecord]:
        """Takes each tenant's role once; may take as long as the provider does."""
        return cast("list[RoleRecord]", wire.part(self.send(wire.post("/api/v1/provider/check")), "roles"))

    def devices(self) -> list[Json]:
        return cast("list[Json]", wire.part(self.send(wire.get("/api/v1/devices")), "devices"))

    def estimate(self, device: str, shots: int, openqasm: str | None = None) -> Json:
        return self.send(_REQUESTS.estimate(device, shots, openqasm))

    def tasks(self, *, tenant: str = "", lease: str = "", state: str = "", limit: int = 100) -> list[TaskRecord]:
        """Newest first."""
        return cast("list[TaskRecord]", wire.part(self.send(_REQUESTS.tasks(tenant, lease, state, limit)), "tasks"))

    def task(self, task_id: str) -> TaskRecord:
        return cast(TaskRecord, wire.part(self.send(_REQUESTS.task(task_id)), "task"))

    def cancel_task(self, task_id: str) -> TaskRecord:
        return cast(TaskRecord, wire.part(self.send(_REQUESTS.cancel(task_id)), "task"))

    def quotas(self, *, tenant: str = "") -> list[Json]:
        return cast("list[Json]", wire.part(self.send(wire.get("/api/v1/quotas", tenant=tenant)), "usages"))

    def report_findings(self, findings: Sequence[FindingRecord]) -> int:
        return int(wire.part(self.send(_REQUESTS.report_findings(findings)), "recorded"))

    def findings(self, *, tenant: str = "", lease: str = "", limit: int = 200) -> list[Json]:
        return cast("list[Json]", wire.part(self.send(_REQUESTS.findings(tenant, lease, limit)), "findings"))

    def report_event(
        self, kind: str, *, lease_id: str = "", subject: str = "", details: Mapping[str, str | int | bool] | None = None
    ) -> None:
        self.send(_REQUESTS.report_event(kind, lease_id, subject, details or {}))

    def audit_records(self, *, start: int = 0, limit: int = 1000) -> Json:
        return self.send(wire.get("/api/v1/audit/records", start=start, limit=limit))

    def audit_checkpoint(self) -> Json:
        return self.send(wire.post("/api/v1/audit/checkpoint"))

    def audit_proof(self, index: int, size: int | None = None) -> Json:
        return self.send(_REQUESTS.audit_proof(index, size))

    def audit_consistency(self, old: int, new: int) -> Json:
        return self.send(wire.get("/api/v1/audit/consistency", old=old, new=new))


class AsyncControlClient:
    """For one event loop; the calls that a server makes."""

    def __init__(
        self,
        base_url: str,
        token: TokenSource,
        *,
        timeout: float = _TIMEOUT,
        guard: Callable[[], object] | None = None,
        trust: ssl.SSLContext | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """As `ControlClient`."""
        self._guard = guard
        self._token = token
        self._http = httpx.AsyncClient(
            base_url=base_url,
            timeout=timeout,
            trust_env=False,
            verify=trust or True,
            transport=transport,
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def send(self, request: Request) -> Json:
        """As `ControlClient.send`."""
        if self._guard is not None:
            self._guard()
        token = self._token if isinstance(self._token, str) else await asyncio.to_thread(self._token)
        headers = _headers(request.token or token)
        for attempt in (1, 2):
            try:
                response = await self._http.request(request.method, request.path, json=request.body, headers=headers)
            except _STALE as error:
                if request.repeatable and attempt == 1:
                    continue
                raise wire.lost(_reason(error)) from None
            except httpx.HTTPError as error:
                raise wire.lost(_reason(error)) from None
            return wire.answer(response.status_code, response.content)
        raise AssertionError("unreachable")  # the second attempt returns or raises

    async def status(self) -> StatusRecord:
        return cast(StatusRecord, await self.send(_REQUESTS.status()))

    async def leases(self, *, tenant: str = "", state: str = "") -> list[LeaseRecord]:
        value = await self.send(_REQUESTS.leases(tenant, state))
        return cast("list[LeaseRecord]", wire.part(value, "leases"))

    async def tasks(self, *, tenant: str = "", lease: str = "", state: str = "", limit: int = 100) -> list[TaskRecord]:
        """Newest first."""
        value = await self.send(_REQUESTS.tasks(tenant, lease, state, limit))
        return cast("list[TaskRecord]", wire.part(value, "tasks"))

    async def cancel_task(self, task_id: str) -> TaskRecord:
        return cast(TaskRecord, wire.part(await self.send(_REQUESTS.cancel(task_id)), "task"))

    async def report_findings(self, findings: Sequence[FindingRecord]) -> int:
        return int(wire.part(await self.send(_REQUESTS.report_findings(findings)), "recorded"))

    async def report_event(
        self, kind: str, *, lease_id: str = "", subject: str = "", details: Mapping[str, str | int | bool] | None = None
    ) -> None:
        await self.send(_REQUESTS.report_event(kind, lease_id, subject, details or {}))

"""The way of every AWS call: verify the signature, count it once, find the lease; then answer, or refuse on record."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from jupyter_qsec.application.callers import Caller
from jupyter_qsec.application.claims import Signatures
from jupyter_qsec.application.leasing import Leasing
from jupyter_qsec.application.objects import Objects
from jupyter_qsec.application.ports import Clock, Devices, Policy, ResultStore, Store
from jupyter_qsec.application.recording import Recorder
from jupyter_qsec.application.submission import Submissions
from jupyter_qsec.application.tasks import Tasks
from jupyter_qsec.domain.errors import DeniedError, InvalidRequestError, QsecError, TooLargeError
from jupyter_qsec.gateway.errors import SECURITY_CODES, InternalError
from jupyter_qsec.gateway.exchange import current, request_id, served_id
from jupyter_qsec.gateway.replay import replays
from jupyter_qsec.gateway.replaymemory import Memory
from jupyter_qsec.gateway.sigv4 import SignatureVerifier, SignedRequest, SigningRules
from jupyter_qsec.gateway.wire import WireRequest, WireResponse, decode_query

_log = logging.getLogger(__name__)


class Gateway(Protocol):
    """The use cases behind the front doors, as `bootstrap` wires them."""

    @property
    def leasing(self) -> Leasing: ...
    @property
    def submissions(self) -> Submissions: ...
    @property
    def tasks(self) -> Tasks: ...
    @property
    def objects(self) -> Objects: ...
    @property
    def results(self) -> ResultStore: ...
    @property
    def devices(self) -> Devices: ...
    @property
    def policy(self) -> Policy: ...
    @property
    def store(self) -> Store: ...
    @property
    def recorder(self) -> Recorder: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def signatures(self) -> Signatures | None:
        """Where the processes of a gateway keep together which request signatures they saw."""
        ...

    def root_edition(self) -> int:
        """Changes when what credentials are under changes."""
        ...

    def page_key(self) -> bytes:
        """32 bytes that seal the positions in listings."""
        ...


class Service(Protocol):
    """One AWS service as the gateway offers it."""

    name: str
    prefix: str
    """Path below which it lies, without a slash at the end."""
    rules: SigningRules
    max_body: int
    """Bytes."""
    request_id_header: str
    """Under which name clients look for the request's id."""

    def operation(self, method: str, path: str) -> str:
        """The name of what is asked for, one of few whatever is asked for; `unknown` for no operation at all."""
        ...

    def repeatable(self, method: str, path: str) -> bool:
        """Whether the same signed request may be answered twice within moments (see `replay`)."""
        ...

    def recorded(self, method: str, path: str, error: DeniedError) -> bool:
        """Whether the use case has recorded this denial itself."""
        ...

    async def answer(self, caller: Caller, request: WireRequest) -> WireResponse: ...

    def refusal(self, error: QsecError, path: str, request_id: str) -> WireResponse:
        """The error in the service's own shape."""
        ...


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request's head as the server read it."""

    method: str
    target: str
    headers: Sequence[tuple[str, str]]
    source: str
    """The peer's address."""

    def header(self, name: str) -> str:
        """The first value of a header, or an empty text."""
        return next((value for key, value in self.headers if key.lower() == name), "")

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


class FrontDoor:
    """Guards one service. `serve` and `refuse` never raise."""

    def __init__(self, gateway: Gateway, service: Service) -> None:
        self.service = service
        self._gateway = gateway
        self._verifier = SignatureVerifier(
            gateway.leasing.signing_credential, gateway.clock, service.rules, edition=gateway.root_edition
        )
        self._replays = replays(gateway.signatures, gateway.clock.now())

    def recall(self, memories: Mapping[str, Memory]) -> None:
        """Take up what this door saw of signatures before the gateway was started again."""
        if self.service.name in memories:
            self._replays.recall(memories[self.service.name], self._gateway.clock.now())

    def seal(self) -> Memory | None:
        """Take no request any more; what was seen of signatures, for the next start."""
        return self._replays.seal(self._gateway.clock.now())

    def operation(self, arrival: Arrival) -> str:
        """The name of what is asked for."""
        return self.service.operation(arrival.method, arrival.path.removeprefix(self.service.prefix))

    def admit(self, arrival: Arrival) -> None:
        """Decide before a body is read whether to read it: only a holder of a credential may make us buffer one."""
        if arrival.header("transfer-encoding"):
            raise InvalidRequestError("Bodies must come with a Content-Length, not in chunks.")
        length = arrival.header("content-length")
        if not length or length == "0":
            return
        if not length.isascii() or not length.isdigit():
            raise InvalidRequestError("Content-Length is not a number.")
        if len(length) > 12 or int(length) > self.service.max_body:
            raise TooLargeError(f"The request body may have at most {self.service.max_body >> 20} MB.")
        self._verifier.admit(arrival.method, arrival.target, arrival.headers)

    async def serve(self, arrival: Arrival, body: bytes) -> WireResponse:
        """Answer a request that was read completely."""
        caller: Caller | None = None
        try:
            caller, region = await self._authenticate(arrival, body)
            exchange = current()
            exchange.principal, exchange.tenant = caller.principal.id, caller.tenant.id
            request = self._decode(arrival, body, region)
            return await self.service.answer(caller, request)
        except QsecError as error:
            return await self.refuse(arrival, error, caller)
        except Exception:  # noqa: BLE001 -- a defect must answer as a refusal in the protocol's own shape, not by hanging up
            _log.exception("%s failed at %s", self.operation(arrival), self.service.name)
            return await self.refuse(
                arrival, InternalError("The request failed here. The gateway's log says why."), caller
            )

    async def refuse(self, arrival: Arrival, error: QsecError, caller: Caller | None = None) -> WireResponse:
        """The refusal, recorded where it concerns security."""
        current().code = error.code
        recorder = self._gateway.recorder
        if caller is not None and isinstance(error, DeniedError):
            if self.service.recorded(arrival.method, arrival.path.removeprefix(self.service.prefix), error):
                return self.service.refusal(error, arrival.path, request_id())
            await recorder.refused(caller, f"{self.service.name}.refused", error, subject=arrival.path)
        elif error.code in SECURITY_CODES:
            await recorder.rejected(
                self.service.name,
                arrival.source,
                error.code,
                error.message,
                subject=f"{arrival.method} {arrival.path}",
                request_id=served_id(),
            )
        return self.service.refusal(error, arrival.path, request_id())

    async def _authenticate(self, arrival: Arrival, body: bytes) -> tuple[Caller, str]:
        digest = hashlib.sha256(body).hexdigest()
        signed = SignedRequest(arrival.method, arrival.target, arrival.headers, digest)
        verified = self._verifier.verify(signed)
        now = self._gateway.clock.now()
        repeatable = self.service.repeatable(arrival.method, arrival.path.removeprefix(self.service.prefix))
        await self._replays.check(verified.signature, verified.signed_at, now, repeatable=repeatable)
        caller = await self._gateway.leasing.caller(
            verified.lease_id,
            user_agent=arrival.header("user-agent"),
            source=arrival.source,
            request_id=served_id(),
        )
        return caller, verified.region

    def _decode(self, arrival: Arrival, body: bytes, region: str) -> WireRequest:
        headers: dict[str, str] = {}
        for name, value in arrival.headers:
            key = name.lower()
            headers[key] = f"{headers[key]},{value}" if key in headers else value
        path, _, query = arrival.target.partition("?")
        return WireRequest(
            arrival.method, path.removeprefix(self.service.prefix), decode_query(query), headers, body, region
        )

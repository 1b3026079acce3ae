"""One HTTP request as log and metrics see it: filled in while it is answered."""

from __future__ import annotations

import uuid
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(slots=True)
class Exchange:
    """A request and its answer. Nothing in here comes from the client as it was sent."""

    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    """Ours: a client's own id is never taken over."""
    door: str = "none"
    operation: str = "unknown"
    """The operation or route template: one of few."""
    code: str = ""
    """Why it was refused."""
    principal: str = ""
    tenant: str = ""
    ended: bool = False


_current: ContextVar[Exchange | None] = ContextVar("exchange", default=None)


def begin(exchange: Exchange) -> None:
    """What the present asyncio task does from here on serves this request, until it has ended."""
    _current.set(exchange)


def serving() -> Exchange | None:
    """The request that is being served here, if any."""
    exchange = _current.get()
    return None if exchange is None or exchange.ended else exchange


def current() -> Exchange:
    """The request that is being served here, or one that nobody will look at."""
    return serving() or Exchange()


def request_id() -> str:
    """The id of the request that is being served here, or a new one."""
    return current().id


def served_id() -> str:
    """The id of the request that is being served here, or nothing."""
    exchange = serving()
    return exchange.id if exchange is not None else ""

"""A place for a lease, as its holder sees it, and the file with its token."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from jupyter_qsec.client import drafts
from jupyter_qsec.client.wire import LeaseAsk, LeaseRecord
from jupyter_qsec.domain.errors import QsecError
from jupyter_qsec.domain.lease import UNLEASED

Tell = Callable[[Mapping[str, str]], object]
"""Called with everything that a lease's holder must not show, each with its kind, on any thread."""


class Keeper(Protocol):
    """What keeps the lease of each place alive."""

    def renew(self, held: HeldLease) -> LeaseRecord: ...

    def revoke(self, held: HeldLease, reason: str) -> LeaseRecord: ...

    def replace(self, held: HeldLease, tenant: str, project: str) -> LeaseRecord: ...

    def report_confinement(self, held: HeldLease, confinement: str) -> None: ...

    def observe(self, held: HeldLease, record: LeaseRecord) -> None: ...

    def release(self, held: HeldLease, reason: str) -> None: ...


class HeldLease:
    """One holder's place: the lease it has now, or why it has none. Safe to use from any thread."""

    def __init__(self, keeper: Keeper, ask: LeaseAsk, token_file: Path, tell: Tell | None) -> None:
        self._keeper = keeper
        self.ask = ask
        self.token_file = token_file
        self.tell = tell
        self.token = ""
        self.secrets: dict[str, Mapping[str, str]] = {}
        """What the holder must not show, by the token with which it can be had."""
        self.lease: LeaseRecord | None = None
        """The newest that is known of it, whatever its state."""
        self.problem = ""
        """Why there is no usable lease, or why its renewal fails; empty when all is well."""
        self.error: QsecError | None = None
        """Why the newest attempt to get a lease failed."""
        self.closed = False
        self.generation = 0
        """Moves when a person or the holder decides something; an answer to an older question is dropped."""
        self.due = 0.0
        self.failures = 0
        self.confinement: str | None = None
        self.doomed: list[tuple[str, str]] = []
        """Leases that must still be revoked, with the reason; tried again until the gateway has heard it."""

    @property
    def active(self) -> bool:
        """Whether the lease was usable when last heard of."""
        return self.lease is not None and self.lease["state"] == "active"

    def renew(self) -> LeaseRecord:
        """Renew now. Raises the gateway's refusal; `ConflictError` when there is no lease."""
        return self._keeper.renew(self)

    def revoke(self, reason: str = "") -> LeaseRecord:
        """Revoke now and stop renewing. When the gateway is away this raises, and goes on trying in the background."""
        return self._keeper.revoke(self, reason)

    def new(self, tenant: str = "", project: str = "") -> LeaseRecord:
        """Take a new lease (same tenant and project unless given) and revoke the one before."""
        return self._keeper.replace(self, tenant, project)

    def report_confinement(self, confinement: str) -> None:
        """`confined` or `unconfined: REASON`, as the holder's probe found it; told with the next renewal, at once."""
        self._keeper.report_confinement(self, confinement)

    def observe(self, record: LeaseRecord) -> None:
        """Take over what the gateway says about this lease, for example that somebody else revoked it."""
        self._keeper.observe(self, record)

    def close(self, reason: str = "") -> None:
        """The holder ended: revoke (now or as soon as the gateway is back), delete the token file. Never raises."""
        self._keeper.release(self, reason)


def write_token(path: Path, token: str) -> None:
    """Replace the file in one step, mode 0600, no newline: readers see the old token or the new one."""
    drafts.replace(path, token.encode("ascii"))


def write_no_token(path: Path) -> None:
    """What stands there until a lease comes: another each time, so that nobody can take it for a lease's."""
    write_token(path, f"{UNLEASED}{secrets.token_urlsafe(32)}")

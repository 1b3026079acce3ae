"""Keeps leases alive for whoever holds them: a kernel's provisioner, `jupyter qsec exec`.

A lease's lifetime is minutes and a heartbeat renews it, so that the leases of a killed process die by themselves. The
heartbeat survives everything else: a gateway that is away, refuses, or answers nonsense.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from jupyter_qsec.client.held import HeldLease, Tell, write_no_token, write_token
from jupyter_qsec.client.wire import Issued, LeaseAsk, LeaseRecord
from jupyter_qsec.domain.errors import (
    ConflictError,
    LeaseExpiredError,
    LeaseRevokedError,
    NotFoundError,
    QsecError,
    UnavailableError,
)

_BACKOFF = (1.0, 2.0, 4.0, 8.0, 15.0)
_SLOWLY = 60.0
_OFTEN = 600.0
"""Within what is told of credentials to come."""
_SHORTEST = timedelta(seconds=10)  # the gateway issues no shorter lease
_NEVER = float("inf")


class LeaseApi(Protocol):
    """The part of `ControlClient` that leases need."""

    def issue_lease(self, ask: LeaseAsk) -> Issued: ...

    def renew_lease(self, lease_id: str, *, confinement: str | None = None) -> LeaseRecord: ...

    def revoke_lease(self, lease_id: str, *, reason: str = "") -> LeaseRecord: ...

    def secrets_of(self, token: str) -> Mapping[str, str]:
        """What the holder of a lease token has been given and can get soon, each with its kind."""
        ...


class LeaseKeeper:
    """The heartbeat of all leases that this process holds."""

    def __init__(
        self,
        api: LeaseApi,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        on_change: Callable[[HeldLease], None] | None = None,
        on_secrets: Callable[[HeldLease, Mapping[str, str]], None] | None = None,
        threaded: bool = True,
    ) -> None:
        """`on_change` is called on any thread after a lease or its problem changed, `on_secrets` as each holder's
        `tell`. `threaded=False`: the caller calls `run_due` itself (tests do)."""
        self._api = api
        self._monotonic = monotonic
        self._now = now
        self._on_change = on_change
        self._on_secrets = on_secrets
        self._held: list[HeldLease] = []
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._beat, name="qsec-leases", daemon=True) if threaded else None
        if self._thread is not None:
            self._thread.start()

    # -- the holder's side
    def acquire(self, ask: LeaseAsk, token_file: Path, tell: Tell | None = None) -> HeldLease:
        """A place for a lease. Tries once; without a gateway the token file holds a token that no gateway knows,
        `problem` says why, and the keeper goes on trying until it has a lease. `tell` hears what the holder must not
        show before the file holds the token with which it can be had."""
        held = HeldLease(self, ask, token_file, tell)
        # The file exists from the start: the AWS SDKs read it at each refresh and would fail obscurely without it.
        write_no_token(token_file)
        with suppress(QsecError):  # `_acquire` has noted it as the problem
            self._acquire(held)
        with self._lock:
            self._held.append(held)
        self._wake.set()
        return held

    def renew(self, held: HeldLease) -> LeaseRecord:
        record = held.lease
        if record is None or held.closed:
            raise ConflictError("There is no lease to renew.", remedy="Take a new one.")
        return self._renew(held, record["id"])

    def revoke(self, held: HeldLease, reason: str) -> LeaseRecord:
        record = held.lease
        if record is None:
            raise ConflictError("There is no lease to revoke.")
        self._decide(held)
        try:
            answer = self._api.revoke_lease(record["id"], reason=reason)
        except UnavailableError:
            self._doom(held, record["id"], reason)
            raise
        self._note(held, answer, _state_text(answer))
        return answer

    def replace(self, held: HeldLease, tenant: str, project: str) -> LeaseRecord:
        if held.closed:
            raise ConflictError("The holder of this lease has ended.")
        before, old_ask = held.lease, held.ask
        self._decide(held)
        if tenant and tenant != held.ask.tenant:
            held.ask = replace(held.ask, tenant=tenant, project=project)
        elif project:
            held.ask = replace(held.ask, project=project)
        try:
            answer = self._acquire(held)
        except QsecError:
            held.ask = old_ask
            raise
        if before is not None and before["state"] == "active" and before["id"] != answer["id"]:
            self._doom(held, before["id"], "replaced by a new lease")
        return answer

    def report_confinement(self, held: HeldLease, confinement: str) -> None:
        with self._lock:
            held.confinement = confinement
            held.ask = replace(held.ask, confinement=confinement)  # for the leases that replace this one
            if held.lease is not None and held.lease["state"] == "active":
                held.due = 0.0
        self._wake.set()

    def observe(self, held: HeldLease, record: LeaseRecord) -> None:
        if held.lease is None or held.lease["id"] != record["id"] or held.lease == record:
            return
        if record["state"] == "revoked":
            self._decide(held)
        self._note(held, record, _state_text(record) if record["state"] == "revoked" else held.problem)

    def release(self, held: HeldLease, reason: str) -> None:
        record = held.lease
        self._decide(held)
        held.closed = True
        with suppress(OSError):
            held.token_file.unlink(missing_ok=True)
        if record is not None and record["state"] == "active":
            try:
                self._note(held, self._api.revoke_lease(record["id"], reason=reason), "")
            except (UnavailableError, ConflictError, NotFoundError) as error:
                if isinstance(error, UnavailableError):
                    self._doom(held, record["id"], reason)
            except QsecError as error:
                held.problem = str(error)

    def nudge(self) -> None:
        """A gateway came back: try everything that failed again now."""
        with self._lock:
            for held in self._held:
                if held.failures:
                    held.due = 0.0
        self._wake.set()

    def close(self, reason: str = "") -> None:
        """Release every lease and stop the heartbeat."""
        with self._lock:
            held_leases, self._held = list(self._held), []
        for held in held_leases:
            if not held.closed:
                self.release(held, reason)
        self._closed = True
        self._wake.set()

    # -- the heartbeat
    def _beat(self) -> None:
        while not self._closed:
            self._wake.clear()
            delay = self.run_due()
            self._wake.wait(None if delay == _NEVER else delay)

    def run_due(self) -> float:
        """Do what is due now; seconds until something is due again."""
        with self._lock:
            self._held = [held for held in self._held if not held.closed or held.doomed]
            present = list(self._held)
        for held in present:
            if held.due <= self._monotonic():
                try:
                    self._attend(held)
                except QsecError:
                    continue  # noted as the problem where it arose, with the time of the next attempt
                except Exception as error:  # noqa: BLE001 - a heartbeat that dies takes every kernel's lease with it
                    self._failed(held, f"The lease's heartbeat failed ({type(error).__name__}).")
        with self._lock:
            nearest = min((held.due for held in self._held), default=_NEVER)
        return nearest if nearest == _NEVER else max(0.0, nearest - self._monotonic())

    def _attend(self, held: HeldLease) -> None:
        while held.doomed:
            lease_id, reason = held.doomed[0]
            try:
                answer = self._api.revoke_lease(lease_id, reason=reason)
            except UnavailableError as error:
                self._failed(held, str(error))
                return
            except QsecError:
                answer = None  # revoked, expired or unknown already: there is nothing left to take back
            held.doomed.pop(0)
            if answer is not None and held.lease is not None and held.lease["id"] == lease_id:
                self._note(held, answer, _state_text(answer))
        record = held.lease
        if held.closed:
            held.due = _NEVER
        elif record is None:
            self._acquire(held)
        elif record["state"] == "active":
            self._renew(held, record["id"])
        else:
            held.due = _NEVER

    def _renew(self, held: HeldLease, lease_id: str) -> LeaseRecord:
        generation, told = held.generation, held.confinement
        try:
            answer = self._api.renew_lease(lease_id, confinement=told)
        except LeaseExpiredError as error:
            return self._expired(held, generation, error)
        except (LeaseRevokedError, NotFoundError) as error:
            if generation == held.generation and held.lease is not None:
                self._decide(held)
                ended: LeaseRecord = {**held.lease, "state": "revoked"}
                self._note(held, ended, str(error))
            raise
        except ConflictError:
            held.due = self._monotonic() + _BACKOFF[0]  # somebody else changed it at the same moment
            raise
        except UnavailableError as error:
            self._failed(held, str(error))
            raise
        except QsecError as error:
            self._failed(held, str(error), at_least=_SLOWLY)
            raise
        if generation == held.generation:
            if held.confinement == told:
                held.confinement = None
            self._note(held, answer, "")
            self._again(held)
            # What leases before gave could be shown until the holder had this one's token.
            held.secrets = {token: known for token, known in held.secrets.items() if token == held.token}
            try:
                self._tell(held, held.token)
            except QsecError as error:  # renewed it is; what can be had soon is asked for again
                self._failed(held, str(error))
        return answer

    def _expired(self, held: HeldLease, generation: int, error: LeaseExpiredError) -> LeaseRecord:
        """Past its absolute limit a lease stays dead. One that died because this machine slept or the gateway was
        away is replaced, within the limit that the first one had."""
        record = held.lease
        if generation != held.generation or record is None:
            raise error
        remaining = _moment(record["max_expires_at"]) - self._now()
        if remaining <= _SHORTEST:
            self._decide(held)
            ended: LeaseRecord = {**record, "state": "expired"}
            self._note(held, ended, str(error))
            raise error
        return self._acquire(held, max_ttl=remaining)

    def _acquire(self, held: HeldLease, *, max_ttl: timedelta | None = None) -> LeaseRecord:
        generation = held.generation
        ask = held.ask if max_ttl is None else held.ask.limited(max_ttl)
        try:
            issued = self._api.issue_lease(ask)
        except QsecError as error:
            held.error = error
            self._failed(held, str(error), at_least=0.0 if isinstance(error, UnavailableError) else _SLOWLY)
            raise
        held.error = None
        try:
            self._hand_over(held, issued, generation)
        except Exception:
            held.secrets.pop(issued.token, None)
            raise
        held.token = issued.token
        self._note(held, issued.lease, "")
        self._again(held)
        return issued.lease

    def _hand_over(self, held: HeldLease, issued: Issued, generation: int) -> None:
        """Give the holder its new token, or take the lease back and raise."""
        try:
            self._tell(held, issued.token)
        except Exception as error:
            self._doom(held, issued.lease["id"], "nobody would know what its holder must not show")
            if generation == held.generation and isinstance(error, QsecError):
                self._failed(held, str(error))
            raise
        if generation != held.generation:
            self._doom(held, issued.lease["id"], "no longer wanted")
            raise ConflictError("The lease was decided about while it was issued.")
        try:
            write_token(held.token_file, issued.token)
        except OSError as error:
            self._doom(held, issued.lease["id"], "its token could not be written")
            self._failed(held, f"The token file cannot be written: {error.strerror}.", at_least=_SLOWLY)
            raise UnavailableError(held.problem) from error

    def _tell(self, held: HeldLease, token: str) -> None:
        """Raises what the gateway says when it does not tell, and what those say who are told."""
        if held.tell is None and self._on_secrets is None:
            return
        held.secrets[token] = {token: "lease-token", **self._api.secrets_of(token)}
        everything = {secret: kind for known in list(held.secrets.values()) for secret, kind in known.items()}
        if held.tell is not None:
            held.tell(everything)
        if self._on_secrets is not None:
            self._on_secrets(held, everything)

    # -- state
    def _decide(self, held: HeldLease) -> None:
        """A decision that no answer under way may undo; nothing renews by itself until the next one."""
        with self._lock:
            held.generation += 1
            held.due = _NEVER
            held.failures = 0

    def _doom(self, held: HeldLease, lease_id: str, reason: str) -> None:
        with self._lock:
            held.doomed.append((lease_id, reason))
            held.due = 0.0
            if held not in self._held:
                self._held.append(held)
        self._wake.set()

    def _again(self, held: HeldLease) -> None:
        """Schedule the next renewal: a third of the lifetime leaves room for two failures, and what can be had soon
        must be known in time."""
        with self._lock:
            held.failures = 0
            if not held.doomed:
                held.due = self._monotonic() + min(held.ask.ttl.total_seconds() / 3, _OFTEN)
        self._wake.set()

    def _failed(self, held: HeldLease, problem: str, *, at_least: float = 0.0) -> None:
        with self._lock:
            delay = max(at_least, _BACKOFF[min(held.failures, len(_BACKOFF) - 1)])
            held.failures += 1
            held.due = self._monotonic() + delay
        self._note(held, held.lease, problem)

    def _note(self, held: HeldLease, record: LeaseRecord | None, problem: str) -> None:
        changed = (held.lease, held.problem) != (record, problem)
        held.lease, held.problem = record, problem
        if changed and self._on_change is not None:
            self._on_change(held)


def _state_text(record: LeaseRecord) -> str:
    because = f" ({record['revoked_because']})" if record["revoked_because"] else ""
    return f"Lease {record['id'][:8]} was revoked{because}."


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))

"""Root secrets: made once, replaced without a restart, and never used without a record that they were read.

The key store holds the secrets, the state database who made which generation, when, and from when on it is used. Every
process on one database learns of new generations by itself. Nothing goes on under a generation that ended: where the
present one cannot be read, what needs it is refused.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime

from jupyter_qsec.application.callers import operator_access, require
from jupyter_qsec.application.keyreading import ANSWER_SECONDS, KEY_BYTES, KeyReading
from jupyter_qsec.application.ports import Clock, KeyStore, Policy, Store
from jupyter_qsec.application.tokens import told_until
from jupyter_qsec.domain.access import Action, Permit
from jupyter_qsec.domain.audit import AuditEvent
from jupyter_qsec.domain.errors import ConflictError, KeyStoreError, RecordingError, UnavailableError
from jupyter_qsec.domain.membership import EVERY_TENANT
from jupyter_qsec.domain.principal import Principal
from jupyter_qsec.domain.rootsecret import ALWAYS, AUDIT_LOG, LEASES, RootSecret, in_use

KEYS = (AUDIT_LOG, LEASES)
"""What every gateway needs: 32 random bytes each, made at its first start."""

_RESTORE = "Bring the key store back from a backup, or start with the state that belongs to it."
_log = logging.getLogger(__name__)


class RootSecrets:
    """Those of one gateway process."""

    def __init__(
        self,
        store: Store,
        keys: KeyStore,
        policy: Policy,
        clock: Clock,
        operator: Principal,
        *,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        """`operator` is on record as who reads and makes secrets where no person asked for it; `answer_seconds` is how
        long the key store is waited for."""
        self._store = store
        self._reading = KeyReading(keys, seconds=answer_seconds)
        self._policy = policy
        self._clock = clock
        self._operator = operator
        self._known: dict[str, list[RootSecret]] = {}
        self._edition = 0
        self._held: dict[str, bytes] = {}
        """By entry, each on record as read: those that something may still be under."""
        self._taking: dict[str, asyncio.Task[None]] = {}
        self._unreadable: set[str] = set()
        """Entries of which the log has said so."""
        self.place = self._reading.place
        """Where they lie, in words."""

    # -- use
    def of(self, name: str) -> Callable[[float], bytes]:
        """The secret that is used for what expires at a Unix time: see `in_force`."""
        return lambda moment: self.in_force(name, moment)

    def in_force(self, name: str, moment: float) -> bytes:
        """`UnavailableError` when the generation that counts then cannot be read, or when there is none."""
        for known in reversed(self._known.get(name, ())):
            if known.starts_at.timestamp() <= moment:
                held = self._held.get(known.entry)
                if held is not None:
                    return held
                break
        raise UnavailableError("The gateway does not have a root secret that this needs.", remedy="Its log says why.")

    @property
    def edition(self) -> int:
        """Grows with each generation that this process learns of: what was derived before may count no more."""
        return self._edition

    def made(self) -> dict[str, datetime]:
        """When the newest generation of each was made, as known here."""
        return {name: known[-1].created_at for name, known in self._known.items()}

    @property
    def complete(self) -> bool:
        """Whether all keys that something may be under are held here."""
        return all(each.entry in self._held for each in self._needed() if each.name in KEYS)

    # -- life cycle
    async def open(self) -> None:
        """Learn all there are, and make what every gateway needs. `KeyStoreError` when the key store does not hold a
        key that was made: nothing is ever made anew in its place."""
        await self._look()
        for name in KEYS:
            if name not in self._known:
                await self._put(await self._first(name), "root-secret.created", ())
        await self._look()
        for each in [each for each in self._needed() if each.name in KEYS]:
            if each.starts_at <= self._clock.now() and await self._reading.has_ended(each.entry):
                await self._replace_ended(each)
        for each in self._needed():
            if each.name in KEYS:
                await self._take(each)
        await self._take_missing()

    async def learn(self) -> None:
        """Learn what other processes made since. What cannot be read is tried again the next time."""
        await self._look()
        await self._take_missing()

    async def ready(self) -> None:
        """Go by the newest generations for all that is given out now, whichever process made them."""
        await self._look()
        await self._take_missing(before=told_until(self._clock.now()))

    def may_replace(self, actor: Principal) -> Permit:
        """`DeniedError` for those who may not replace them."""
        return require(self._policy, operator_access(actor, Action.KEY_ROTATE, EVERY_TENANT))

    async def prepare(self, name: str, secret: bytes | None = None) -> tuple[str, bytes]:
        """Store what is to be the next generation, or `KeyStoreError`; its entry is never used for another. Without
        `secret` it is made here. Nothing has changed yet."""
        generation = len(self._known.get(name, ())) + 1
        return await self._reading.store(f"{name}-{generation}", secret)

    async def put(
        self, actor: Principal, name: str, prepared: tuple[str, bytes], because: str, *, starts_at: datetime
    ) -> RootSecret:
        """Let what was prepared be the next generation, used for what expires from `starts_at` on. `DeniedError`,
        `ConflictError` when another process did the same at this moment."""
        permit = self.may_replace(actor)
        await self._look()
        if starts_at == ALWAYS:  # also where the database is one day replaced by an older one
            for earlier in self._known.get(name, ()):
                await self._reading.end(earlier.entry)
        generation = len(self._known.get(name, ())) + 1
        fresh = RootSecret.of(
            name, generation, *prepared, at=self._clock.now(), starts_at=starts_at, by=actor.id, because=because
        )
        if not await self._put(fresh, "root-secret.rotated", permit.rules):
            raise ConflictError(f"Somebody else replaced the root secret {name} at this moment.")
        await self.learn()
        return fresh

    async def listed(self, actor: Principal) -> Sequence[RootSecret]:
        """All generations of all root secrets, the newest of each name first. `DeniedError`."""
        require(self._policy, operator_access(actor, Action.KEY_READ, EVERY_TENANT))
        return sorted(await self._store.root_secrets(), key=lambda each: (each.name, -each.generation))

    # -- making
    async def _first(self, name: str) -> RootSecret:
        """Of a state that knows none: the one that was there before states knew, else a new one. The log's signer was
        made with the log."""
        entry, key = name, await self._reading.read(name)
        if name != AUDIT_LOG and (key is None or await self._reading.has_ended(name)):
            entry, key = await self._reading.store(f"{name}-1", None)
        if key is None or len(key) != KEY_BYTES:
            raise KeyStoreError(f"The root key {name} has not {KEY_BYTES} bytes.", remedy=_RESTORE)
        by, now = self._operator.id, self._clock.now()
        return RootSecret.of(name, 1, entry, key, at=now, starts_at=ALWAYS, by=by, because="first start")

    async def _replace_ended(self, ended: RootSecret) -> None:
        """It was replaced at once, and the database that knew of it was lost since."""
        prepared = await self._reading.store(f"{ended.name}-{ended.generation + 1}", None)
        fresh = RootSecret.of(
            ended.name,
            len(self._known[ended.name]) + 1,
            *prepared,
            at=self._clock.now(),
            starts_at=ALWAYS,
            by=self._operator.id,
            because="the one before had been ended at once",
        )
        await self._put(fresh, "root-secret.created", ())
        await self._look()

    async def _put(self, made: RootSecret, kind: str, rules: tuple[str, ...]) -> bool:
        """Whether this process was the one to put it."""
        event = AuditEvent(
            kind,
            made.created_at,
            principal=made.principal,
            subject=made.name,
            outcome="allowed" if rules else "completed",
            rules=rules,
            details={
                "generation": made.generation,
                "starts_at": "at once" if made.starts_at == ALWAYS else made.starts_at.isoformat(),
                "because": made.because,
            },
        )
        try:
            await self._store.add_root_secret(made, [event])
        except ConflictError:
            return False
        except RecordingError:  # the outcome may be unknown: reading tells
            if not any(each.entry == made.entry for each in await self._store.root_secrets()):
                raise
        return True

    # -- learning
    async def _look(self) -> None:
        """What the database knows counts from now on, also where the secrets have not been read yet."""
        found = sorted(await self._store.root_secrets(), key=lambda each: (each.name, each.generation))
        if len(found) < sum(map(len, self._known.values())):
            return  # an earlier question that was answered late: there are never fewer
        known: dict[str, list[RootSecret]] = {}
        for each in found:
            known.setdefault(each.name, []).append(each)
        self._known = known
        self._edition = len(found)
        needed = {each.entry for each in self._needed()}
        self._held = {entry: secret for entry, secret in self._held.items() if entry in needed}

    def _needed(self) -> list[RootSecret]:
        return [each for known in self._known.values() for each in in_use(known, self._clock.now())]

    async def _take_missing(self, before: datetime | None = None) -> None:
        missing = [each for each in self._needed() if each.entry not in self._held]
        for each in missing:
            if before is not None and each.starts_at > before:
                continue
            try:
                await self._take(each)
            except KeyStoreError as error:
                if each.entry not in self._unreadable:
                    _log.error("%s", error)
                self._unreadable.add(each.entry)
            else:
                self._unreadable.discard(each.entry)

    async def _take(self, wanted: RootSecret) -> None:
        """Read and hold it. All who want it at once wait for one reading with one record."""
        if wanted.entry in self._held:
            return
        taking = self._taking.get(wanted.entry)
        if taking is None:
            taking = self._taking[wanted.entry] = asyncio.create_task(self._read(wanted))
            taking.add_done_callback(lambda _: self._taking.pop(wanted.entry, None))
            taking.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.shield(taking)

    async def _read(self, wanted: RootSecret) -> None:
        secret = await self._reading.read(wanted.entry)
        if secret is None or not wanted.is_of(secret):
            what = "is not in the key store" if secret is None else "is another one in the key store"
            raise KeyStoreError(
                f"Generation {wanted.generation} of the root secret {wanted.name} {what} ({self.place}).",
                remedy=_RESTORE,
            )
        event = AuditEvent(
            "root-secret.read",
            self._clock.now(),
            principal=self._operator.id,
            subject=wanted.name,
            outcome="completed",
            details={"generation": wanted.generation},
        )
        await self._store.record([event])
        self._held[wanted.entry] = secret

"""Root secrets: made once, replaced without a restart, and never read without a record.

The key store holds the secrets, the state database who made which generation, when, and from when on it is used. Every
process on one database learns of new generations by itself. Nothing goes on under a generation that ended: where the
present one cannot be read, what needs it is refused.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import ParamSpec, TypeVar

from jupyter_qsec.application.callers import operator_access, require
from jupyter_qsec.application.ports import Clock, KeyStore, Policy, Store
from jupyter_qsec.application.tokens import seamless_from
from jupyter_qsec.domain.access import Action, Permit
from jupyter_qsec.domain.audit import AuditEvent
from jupyter_qsec.domain.errors import (
    ConflictError,
    InvalidRequestError,
    KeyStoreError,
    StateDirectoryError,
    UnavailableError,
)
from jupyter_qsec.domain.membership import EVERY_TENANT
from jupyter_qsec.domain.principal import Principal
from jupyter_qsec.domain.rootsecret import AUDIT_LOG, LEASES, MAX_BECAUSE, RootSecret, check_of

KEY_BYTES = 32
KEYS = (AUDIT_LOG, LEASES)
"""What every gateway needs; 32 random bytes each, made at its first start."""

_ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)
_RESTORE = "Bring the key store back from a backup, or start with the state that belongs to it."
Answer = TypeVar("Answer")
Asked = ParamSpec("Asked")
_log = logging.getLogger(__name__)


def root_key(keys: KeyStore, name: str) -> bytes:
    """The first generation of a root key, made when there is none. `StateDirectoryError` when it cannot be had."""
    found = keys.read(name)
    key = keys.create(name, secrets.token_bytes(KEY_BYTES)) if found is None else found
    if len(key) != KEY_BYTES:
        raise KeyStoreError(f"The root key {name!r} has not {KEY_BYTES} bytes.", remedy=_RESTORE)
    return key


class RootSecrets:
    """Those of one gateway process."""

    def __init__(self, store: Store, keys: KeyStore, policy: Policy, clock: Clock, operator: Principal) -> None:
        """`operator` is on record as who reads and makes secrets where no person asked for it."""
        self._store = store
        self._keys = keys
        self._policy = policy
        self._clock = clock
        self._operator = operator
        self._known: dict[str, list[RootSecret]] = {}
        self._held: dict[str, bytes] = {}
        """By entry: those that something may still be under."""
        self._unreadable: set[str] = set()
        """Entries of which the log has said so."""
        self._learning = asyncio.Lock()

    @property
    def place(self) -> str:
        """Where they lie, in words."""
        return self._keys.description

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
                raise UnavailableError(f"Generation {known.generation} of the root secret {name} cannot be read now.")
        raise UnavailableError(f"There is no root secret {name}.")

    def made(self) -> dict[str, datetime]:
        """When the newest generation of each was made, as known here."""
        return {name: known[-1].created_at for name, known in self._known.items()}

    @property
    def complete(self) -> bool:
        """Whether all that something may be under are held here."""
        return all(each.entry in self._held for each in _in_use(self._known, self._clock.now()))

    # -- life cycle
    async def open(self) -> None:
        """Learn all there are, and make what every gateway needs. `KeyStoreError` when the key store does not hold
        what was made: nothing is ever made anew in its place."""
        known = {(each.name, each.generation) for each in await self._store.root_secrets()}
        for name in KEYS:
            if (name, 1) not in known:
                key = await self._ask(root_key, self._keys, name)
                first = self._described(self._operator, name, 1, name, key, _ALWAYS, "first start")
                await self._put(first, "root-secret.created", ())
        await self._learn(strictly=True)

    async def learn(self) -> None:
        """Learn what other processes made since. What cannot be read is tried again the next time."""
        await self._learn(strictly=False)

    async def make(
        self, actor: Principal, name: str, because: str, *, at_once: bool = False, secret: bytes | None = None
    ) -> RootSecret:
        """Make the next generation. `at_once`: whatever is under an earlier one is worth nothing from now on; otherwise
        it stays good until it expires. `secret`: for those that are given, not made here.

        `DeniedError`, `InvalidRequestError`, `ConflictError` when another process did the same at this moment."""
        permit = require(self._policy, operator_access(actor, Action.KEY_ROTATE, EVERY_TENANT))
        if name == AUDIT_LOG:
            raise InvalidRequestError(
                "The key that signs the audit log stays: checkpoints kept elsewhere are held against it."
            )
        if secret is None and name not in KEYS:
            raise InvalidRequestError(f"There is no root key {name[:60]!r}.")
        now = self._clock.now()
        async with self._learning:
            generation = max((each.generation for each in await self._of_name(name)), default=0) + 1
            # An entry of its own: what an interrupted rotation or a restored database left behind is never used.
            entry = f"{name}-{generation}-{secrets.token_hex(4)}"
            made = secrets.token_bytes(KEY_BYTES) if secret is None else secret
            if await self._ask(self._keys.create, entry, made) != made:
                raise ConflictError(f"Another secret lies under {entry!r} in the key store.")
            starts_at = _ALWAYS if at_once else (now if secret is not None else seamless_from(now))
            fresh = self._described(actor, name, generation, entry, made, starts_at, because)
            if not await self._put(fresh, "root-secret.rotated", permit.rules, {"at_once": at_once}):
                raise ConflictError(f"Somebody else replaced the root secret {name} at this moment.")
        await self.learn()
        return fresh

    def may_read(self, actor: Principal) -> Permit:
        """`DeniedError` for those who may not know of them."""
        return require(self._policy, operator_access(actor, Action.KEY_READ, EVERY_TENANT))

    async def listed(self, actor: Principal) -> Sequence[RootSecret]:
        """All generations of all root secrets, the newest of each name first. `DeniedError`."""
        self.may_read(actor)
        return sorted(await self._store.root_secrets(), key=lambda each: (each.name, -each.generation))

    # -- inside
    async def _of_name(self, name: str) -> list[RootSecret]:
        return [each for each in await self._store.root_secrets() if each.name == name]

    async def _learn(self, *, strictly: bool) -> None:
        async with self._learning:
            known: dict[str, list[RootSecret]] = {}
            for each in sorted(await self._store.root_secrets(), key=lambda each: (each.name, each.generation)):
                known.setdefault(each.name, []).append(each)
            fresh = []
            for each in _in_use(known, self._clock.now()):
                if each.entry in self._held:
                    continue
                try:
                    self._held[each.entry] = await self._read(each)
                except KeyStoreError as error:
                    if strictly:
                        raise
                    if each.entry not in self._unreadable:
                        _log.error("%s", error)
                    self._unreadable.add(each.entry)
                else:
                    self._unreadable.discard(each.entry)
                    fresh.append(each)
            self._known = known
            if fresh:
                try:
                    await self._store.record([self._read_event(each) for each in fresh])
                except BaseException:
                    for each in fresh:  # read without a record: not read
                        del self._held[each.entry]
                    raise

    async def _ask(self, question: Callable[Asked, Answer], *asked: Asked.args, **named: Asked.kwargs) -> Answer:
        """On a thread: a key store may wait for a network, or for a person. `KeyStoreError`."""
        try:
            return await asyncio.to_thread(question, *asked, **named)
        except KeyStoreError:
            raise
        except StateDirectoryError as error:
            raise KeyStoreError(error.message, remedy=error.remedy) from error

    async def _read(self, wanted: RootSecret) -> bytes:
        secret = await self._ask(self._keys.read, wanted.entry)
        if secret is None or not wanted.is_of(secret):
            what = "is not in the key store" if secret is None else "is another one in the key store"
            raise KeyStoreError(
                f"Generation {wanted.generation} of the root secret {wanted.name} {what} ({self.place}).",
                remedy=_RESTORE,
            )
        return secret

    def _described(
        self,
        actor: Principal,
        name: str,
        generation: int,
        entry: str,
        secret: bytes,
        starts_at: datetime,
        because: str,
    ) -> RootSecret:
        return RootSecret(
            name=name,
            generation=generation,
            entry=entry,
            created_at=self._clock.now(),
            starts_at=starts_at,
            principal=actor.id,
            because=because[:MAX_BECAUSE] or "no reason given",
            check=check_of(secret),
        )

    async def _put(
        self, made: RootSecret, kind: str, rules: tuple[str, ...], facts: dict[str, str | int | bool] | None = None
    ) -> bool:
        """Whether this process was the one to put it."""
        details: dict[str, str | int | bool] = {
            "generation": made.generation,
            "starts_at": made.starts_at.isoformat(),
            "because": made.because,
        }
        event = AuditEvent(
            kind,
            made.created_at,
            principal=made.principal,
            subject=made.name,
            outcome="allowed" if rules else "completed",
            rules=rules,
            details=details | (facts or {}),
        )
        try:
            await self._store.add_root_secret(made, [event])
        except ConflictError:
            return False
        return True

    def _read_event(self, read: RootSecret) -> AuditEvent:
        return AuditEvent(
            "root-secret.read",
            self._clock.now(),
            principal=self._operator.id,
            subject=read.name,
            outcome="completed",
            details={"generation": read.generation},
        )


def _in_use(known: dict[str, list[RootSecret]], now: datetime) -> list[RootSecret]:
    """Those that something which has not expired may be under."""
    used = []
    for generations in known.values():
        ends_at = datetime.max.replace(tzinfo=UTC)
        for each in reversed(generations):
            if each.starts_at < ends_at and ends_at > now:
                used.append(each)
            ends_at = min(ends_at, each.starts_at)
    return used

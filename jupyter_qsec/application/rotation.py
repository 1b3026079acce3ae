"""Replacing root keys: so that nobody notices, or at once because one may be known to others."""

from __future__ import annotations

from jupyter_qsec.application.leasing import Leasing
from jupyter_qsec.application.ports import Clock
from jupyter_qsec.application.rootsecrets import KEYS, RootSecrets
from jupyter_qsec.application.tokens import seamless_from
from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.domain.principal import Principal
from jupyter_qsec.domain.rootsecret import ALWAYS, AUDIT_LOG, RootSecret


class Rotation:
    """For administrators of every tenant."""

    def __init__(self, secrets: RootSecrets, leasing: Leasing, clock: Clock) -> None:
        self._secrets = secrets
        self._leasing = leasing
        self._clock = clock

    async def rotate(self, actor: Principal, name: str, because: str, *, at_once: bool = False) -> RootSecret:
        """Make the next generation of a root key; what is under an earlier one stays good until it expires.

        `at_once`: nothing that is under an earlier one is worth anything from now on, and every lease ends, so that
        nobody is left with credentials that fail without saying why, and nobody gets new ones before those who look for
        them in outputs know them. `DeniedError`, `InvalidRequestError`, `KeyStoreError`, `ConflictError`."""
        permit = self._secrets.may_replace(actor)
        if name not in KEYS:
            raise InvalidRequestError(f"There is no root key {name[:60]!r}.", remedy=f"There are {', '.join(KEYS)}.")
        if name == AUDIT_LOG:
            raise InvalidRequestError(
                "The key that signs the audit log stays: checkpoints kept elsewhere are held against it."
            )
        prepared = await self._secrets.prepare(name)  # before anything ends: a store that fails changes nothing
        if not at_once:
            starts_at = seamless_from(self._clock.now())
            return await self._secrets.put(actor, name, prepared, because, starts_at=starts_at)
        why = f"the key behind all leases is being replaced: {because or 'no reason given'}"
        await self._leasing.end_all(actor, why, permit)
        made = await self._secrets.put(actor, name, prepared, because, starts_at=ALWAYS)
        await self._leasing.end_all(actor, why, permit, issued_until=made.created_at)  # by other processes meanwhile
        return made

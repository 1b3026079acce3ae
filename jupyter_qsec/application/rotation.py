"""Replacing root secrets: so that nobody notices, or at once because one may be known to others."""

from __future__ import annotations

from contextlib import suppress

from jupyter_qsec.application.callers import operator_access, require
from jupyter_qsec.application.leasing import Leasing
from jupyter_qsec.application.ports import Policy
from jupyter_qsec.application.rootsecrets import KEYS, RootSecrets
from jupyter_qsec.domain.access import Action
from jupyter_qsec.domain.errors import ConflictError, InvalidRequestError
from jupyter_qsec.domain.lease import LeaseState
from jupyter_qsec.domain.membership import EVERY_TENANT
from jupyter_qsec.domain.principal import Principal
from jupyter_qsec.domain.rootsecret import LEASES, RootSecret


class Rotation:
    """For administrators of every tenant."""

    def __init__(self, secrets: RootSecrets, leasing: Leasing, policy: Policy) -> None:
        self._secrets = secrets
        self._leasing = leasing
        self._policy = policy

    async def rotate(self, actor: Principal, name: str, because: str, *, at_once: bool = False) -> RootSecret:
        """Make the next generation of a root key; see `RootSecrets.make`.

        `at_once`: every lease ends first, so that nobody is left with credentials that fail without saying why, and
        nobody gets new ones before those who look for them in outputs know them."""
        require(self._policy, operator_access(actor, Action.KEY_ROTATE, EVERY_TENANT))
        if name not in KEYS:
            raise InvalidRequestError(f"There is no root key {name[:60]!r}.", remedy=f"There are {', '.join(KEYS)}.")
        if at_once and name == LEASES:
            await self._end_all(actor, f"the key behind all leases was replaced: {because or 'no reason given'}")
        return await self._secrets.make(actor, name, because, at_once=at_once)

    async def _end_all(self, actor: Principal, because: str) -> None:
        while active := await self._leasing.leases(actor, state=LeaseState.ACTIVE):
            for lease in active:
                with suppress(ConflictError):  # it ended with its parent, or by somebody else
                    await self._leasing.revoke(actor, lease.id, because)

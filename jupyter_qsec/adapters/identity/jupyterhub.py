"""People and services of a JupyterHub, by their hub tokens.

Two questions of JupyterHub's REST API answer who asks: `GET /user` with the asker's own token (is it valid, whose is
it, which scopes has it), then `GET /users/NAME` with the gateway's service token (groups and, where claims are mapped,
`auth_state`). Any hub token passes the first, so a token without this product's own scopes is refused.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from jupyter_qsec.adapters.identity.hubaddress import HubAddress
from jupyter_qsec.adapters.identity.hubapi import FOUND, HubApi
from jupyter_qsec.application.ports import Identity
from jupyter_qsec.domain.errors import DeniedError, UnauthenticatedError, UnavailableError
from jupyter_qsec.domain.membership import Membership, Standing
from jupyter_qsec.domain.principal import Principal, PrincipalKind

READ_SCOPE, WRITE_SCOPE = "custom:qsec:read", "custom:qsec:write"
"""The second includes the first."""
CACHE_SECONDS = 2.0
"""How long a token that the hub has deleted can still be taken: the hub's own clients wait 300 s."""
_CACHED = 10_000


class HubIdentities:
    """Implements the `Identities` port."""

    def __init__(
        self,
        hub: HubAddress,
        membership: Membership,
        claims: Mapping[str, str],
        *,
        cache_seconds: float = CACHE_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`claims` maps the name of a claim to a dotted path in `auth_state`; see `_claim`."""
        self._hub = HubApi(hub)
        self._membership = membership
        self._claims = dict(claims)
        self._cache_seconds = min(cache_seconds, CACHE_SECONDS)
        self._monotonic = monotonic
        self._answers: OrderedDict[bytes, tuple[float, asyncio.Future[Identity]]] = OrderedDict()

    async def identify(self, token: str) -> Identity:
        """`UnauthenticatedError` for a token that the hub does not know, `DeniedError` for one without scope or a
        person without tenant, `UnavailableError` when the hub cannot be asked: nobody is let in on old knowledge."""
        key = hashlib.sha256(token.encode()).digest()
        now = self._monotonic()
        known = self._answers.get(key)
        if known is None or now - known[0] >= self._cache_seconds:
            # Askers who come while the hub is being asked wait for the same answer.
            known = (now, asyncio.ensure_future(self._ask(token)))
            known[1].add_done_callback(_retrieved)
            self._answers[key] = known
            self._answers.move_to_end(key)
            while len(self._answers) > _CACHED:
                self._answers.popitem(last=False)
        return await asyncio.shield(known[1])

    async def _ask(self, token: str) -> Identity:
        status, model = await self._hub.get("/user", token)
        if status != FOUND:
            raise UnauthenticatedError(
                "The token is not known to the hub.",
                remedy="Log in at the hub again; a service needs the token that the hub has for it now.",
            )
        name, kind = model.get("name"), model.get("kind")
        if not isinstance(name, str) or not 0 < len(name) <= 255 or kind not in ("user", "service"):
            raise UnavailableError("The hub's answer makes no sense here.")
        scopes = _own_scopes(model.get("scopes"), name)
        if not scopes & {READ_SCOPE, WRITE_SCOPE}:
            raise DeniedError(
                f"The hub token of {name} has neither the scope {WRITE_SCOPE} nor {READ_SCOPE}.",
                reasons=("hub-scope",),
                remedy="Ask for a token with it, or ask an administrator to give it to your role.",
            )
        claims: dict[str, str] = {}
        if kind == "service":
            standing, prefix, who = self._membership.of_service(name), "service", PrincipalKind.SERVICE
        else:
            (standing, claims), prefix, who = await self._person(name), "hub", PrincipalKind.PERSON
        principal = Principal(f"{prefix}:{name}", name, who, frozenset(), claims, standing.roles)
        return Identity(principal, standing.tenant, standing.project, may_write=WRITE_SCOPE in scopes)

    async def _person(self, name: str) -> tuple[Standing, dict[str, str]]:
        status, model = await self._hub.get(f"/users/{quote(name, safe='')}")
        if status in (401, 403):
            raise UnavailableError(
                "The hub refuses the gateway's own service token, so nobody can be identified.",
                remedy="An administrator has to start the gateway with the token that the hub has for it now, or to"
                " give its service the scopes read:users and read:users:groups.",
            )
        if status != FOUND:
            raise UnauthenticatedError(
                f"The hub tells nothing of {name}.",
                remedy="If the account exists, the gateway's service lacks the scope read:users for it.",
            )
        groups = model.get("groups")
        if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
            raise UnavailableError(
                "The hub does not tell the gateway the groups of people.",
                remedy="Give the gateway's service the scope read:users:groups.",
            )
        state = model.get("auth_state")
        claims = {claim: _claim(state, path) for claim, path in self._claims.items()}
        standing = self._membership.of_person(name, groups)
        return standing, {claim: value for claim, value in claims.items() if value is not None}


def _retrieved(future: asyncio.Future[Identity]) -> None:
    """An answer that nobody waits for any more is no lost exception."""
    if not future.cancelled():
        future.exception()


def _own_scopes(scopes: Any, name: str) -> frozenset[str]:
    """The scopes that count here: whole, or limited to their owner. Those limited to a server or group do not."""
    if not isinstance(scopes, list):
        return frozenset()
    own = f"!user={name}"
    return frozenset(scope.removesuffix(own) for scope in scopes if isinstance(scope, str))


def _claim(state: Any, where: str) -> str | None:
    """A fact of `auth_state`; anything but a short text, a whole number or a truth value counts as missing.

    `a.b=word` asks whether the fact is that word or a list that has it, as `amr` is (RFC 8176)."""
    path, asks, word = where.partition("=")
    for step in path.split("."):
        state = state.get(step) if isinstance(state, dict) else None
    if asks:
        if not isinstance(state, str | list):
            return None
        return "true" if word in ([state] if isinstance(state, str) else state) else "false"
    if isinstance(state, bool):
        return "true" if state else "false"
    if isinstance(state, int):
        return str(state)
    return state if isinstance(state, str) and len(state) <= 256 else None

"""Whom a JupyterHub still knows, of those who hold leases.

One request tells of all who have a server now, which is nearly everybody with a lease; the others are asked for one by
one. Gone is only whose name the hub itself denies to know while it lets the gateway see everybody's: to those who may
not see somebody, it says the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from jupyter_qsec.adapters.identity.hubaddress import HubAddress
from jupyter_qsec.adapters.identity.hubapi import FOUND, UNKNOWN, HubApi
from jupyter_qsec.application.ports import Departed
from jupyter_qsec.domain.errors import UnavailableError
from jupyter_qsec.domain.lease import Holder

LIST_SCOPE, NAME_SCOPE, SERVICE_SCOPE = "list:users", "read:users:name", "read:services:name"
MOST_ASKED = 50
"""People and services whom one look asks for by name; the rest is the next looks'."""
_PAGE, _MOST_PAGES = 200, 25
"""The most that a hub gives at once unless its administrator says otherwise, and what one look reads of that."""
_AT_ONCE = 5
_PAGES_PLEASE = "application/jupyterhub-pagination+json"
_PERSON, _SERVICE = "hub:", "service:"


class HubRoster:
    """Implements the `Roster` port."""

    def __init__(self, hub: HubAddress) -> None:
        self._hub = HubApi(hub)
        self._may_list = True
        self._turn = 0

    async def departed(self, holders: Sequence[Holder]) -> Departed:
        ours = {holder.principal for holder in holders if _is_of_a_hub(holder)}
        seen, trouble = await self._with_servers({one for one in ours if one.startswith(_PERSON)})
        unseen = ours - seen
        if not unseen:
            return Departed(())
        try:
            scopes = await self._own_scopes()
        except UnavailableError as error:
            return Departed((), error.message)
        self._may_list = LIST_SCOPE in scopes
        gone, problem = await self._denied(self._next(unseen, scopes))
        return Departed(
            [holder for holder in holders if holder.principal in gone and _is_of_a_hub(holder)],
            problem or _lacking(unseen, scopes) or trouble,
        )

    async def _own_scopes(self) -> frozenset[str]:
        """What the gateway's service may see, of everybody; that it is told is a sign that a hub answers."""
        status, model = await self._hub.get("/user")
        scopes = model.get("scopes")
        if status != FOUND or not isinstance(scopes, list):
            raise UnavailableError("The hub does not know the gateway's service token.")
        return frozenset(scope for scope in scopes if isinstance(scope, str))

    async def _with_servers(self, wanted: Collection[str]) -> tuple[set[str], str]:
        """The wanted people among those who have a server now, and why not all of those could be read, if so: then the
        others are asked for by name, as they all are where the gateway may not list people."""
        found: set[str] = set()
        offset = 0
        if not wanted or not self._may_list:
            return found, ""
        try:
            for _ in range(_MOST_PAGES):
                place = f"/users?state=active&limit={_PAGE}&offset={offset}"
                _, model = await self._hub.get(place, accept=_PAGES_PLEASE)
                listed = (f"{_PERSON}{entry.get('name')}" for entry in _objects(model.get("items")))
                found.update(principal for principal in listed if principal in wanted)
                after = _next_offset(model)
                if after <= offset or len(found) == len(wanted):
                    break
                offset = after
        except UnavailableError as error:
            return found, f"The list of people with a server cannot be read: {error.message}"
        return found, ""

    def _next(self, unseen: Iterable[str], scopes: Collection[str]) -> list[str]:
        """Whom to ask for in this look: in turns, where there are too many for one."""
        line = sorted(one for one in unseen if _scope_for(one) in scopes)
        if len(line) > MOST_ASKED:
            start = self._turn % len(line)
            self._turn = start + MOST_ASKED
            line = (line + line)[start : start + MOST_ASKED]
        return line

    async def _denied(self, principals: Sequence[str]) -> tuple[set[str], str]:
        """Whom the hub denies to know, and why it could not be asked for one of them, if so."""
        gone: set[str] = set()
        problem = ""
        for start in range(0, len(principals), _AT_ONCE):
            some = principals[start : start + _AT_ONCE]
            answers = await asyncio.gather(*map(self._is_unknown, some), return_exceptions=True)
            for principal, answer in zip(some, answers, strict=True):
                if isinstance(answer, UnavailableError):
                    problem = answer.message
                elif isinstance(answer, BaseException):
                    raise answer
                elif answer:
                    gone.add(principal)
        return gone, problem

    async def _is_unknown(self, principal: str) -> bool:
        kind, _, name = principal.partition(":")
        folder = "services" if f"{kind}:" == _SERVICE else "users"
        status, model = await self._hub.get(f"/{folder}/{quote(name, safe='')}")
        # What stands between gateway and hub has a 404 of its own.
        return status == UNKNOWN and model.get("status") == UNKNOWN


def _is_of_a_hub(holder: Holder) -> bool:
    """Services by the token of an issuer are the issuer's, and carry its name."""
    if holder.principal.startswith(_SERVICE):
        return "iss" not in holder.claims
    return holder.principal.startswith(_PERSON)


def _scope_for(principal: str) -> str:
    return SERVICE_SCOPE if principal.startswith(_SERVICE) else NAME_SCOPE


def _lacking(principals: Iterable[str], scopes: Collection[str]) -> str:
    lacking = sorted({_scope_for(principal) for principal in principals} - set(scopes))
    return f"The gateway's service lacks the scope {' and '.join(lacking)} at the hub." if lacking else ""


def _next_offset(model: Mapping[str, Any]) -> int:
    """Where the next page begins; 0 when there is none."""
    pages = model.get("_pagination")
    following = pages.get("next") if isinstance(pages, dict) else None
    offset = following.get("offset") if isinstance(following, dict) else None
    return offset if isinstance(offset, int) else 0


def _objects(items: Any) -> list[dict[str, Any]]:
    return [entry for entry in items if isinstance(entry, dict)] if isinstance(items, list) else []

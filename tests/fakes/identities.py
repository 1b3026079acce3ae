"""An identity source that vouches for whom a test names, as a hub does for its people."""

from __future__ import annotations

from jupyter_qsec.application.ports import Identity
from jupyter_qsec.domain.errors import UnauthenticatedError
from jupyter_qsec.domain.principal import Principal, Role


class FakeIdentities:
    """Implements the `Identities` port."""

    def __init__(self) -> None:
        self._known: dict[str, Identity] = {}

    def add(self, name: str, tenant: str, *roles: Role) -> str:
        """Somebody with these roles in that tenant and in no other; their token."""
        person = Principal(f"hub:{name}", name, tenant_roles={tenant: frozenset(roles)})
        token = f"hub-token-of-{name}"
        self._known[token] = Identity(person, tenant, "", may_write=True)
        return token

    async def identify(self, token: str) -> Identity:
        try:
            return self._known[token]
        except KeyError:
            raise UnauthenticatedError("The hub does not know this token.") from None

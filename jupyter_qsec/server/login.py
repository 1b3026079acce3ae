"""Whether a person's login still counts, asked of the hub that people logged in at.

A server of a hub remembers an answer of the hub for minutes. Asked past that memory, the hub in turn asks the identity
provider, where its authenticator does so (`Authenticator.refresh_user`, at most every `auth_refresh_age` seconds), and
refuses whose login has ended there under `Authenticator.auth_refresh_strict`.
"""

from __future__ import annotations

from typing import Any

from jupyter_server.base.handlers import JupyterHandler
from tornado.web import HTTPError

from jupyter_qsec.domain.errors import UnauthenticatedError, UnavailableError


class LoginRequiredError(UnauthenticatedError):
    """A person's login is too old, or the identity provider has ended it."""

    code = "login-required"

    def __init__(self, message: str, *, remedy: str, login_url: str) -> None:
        super().__init__(message, remedy=remedy)
        self.login_url = login_url


async def require_login(handler: JupyterHandler) -> None:
    """Raises `LoginRequiredError` with the page to log in at, and `UnavailableError` when the hub does not answer. A
    server without a hub has no login besides the one that let the request in."""
    hub: Any = getattr(handler.identity_provider, "hub_auth", None)
    if hub is None:
        return
    try:
        user = await hub.user_for_token(
            hub.get_token(handler) or "", use_cache=False, session_id=hub.get_session_id(handler), sync=False
        )
    except HTTPError:
        raise UnavailableError(
            "The hub does not say whether your login still counts.", remedy="Try again in a moment."
        ) from None
    if user is None:
        raise LoginRequiredError(
            "Your login has to be renewed before this session goes on.",
            remedy="Log in at the hub again, then keep working.",
            login_url=f"{hub.hub_host}{hub.hub_prefix}login?next={hub.hub_prefix}home",
        )

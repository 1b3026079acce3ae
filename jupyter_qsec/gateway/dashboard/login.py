"""Logging in at the hub: OAuth's authorization-code flow, the gateway as a confidential client with PKCE."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from jupyter_qsec.adapters.identity.hubaddress import HubAddress
from jupyter_qsec.adapters.identity.hubapi import unreachable
from jupyter_qsec.domain.errors import InvalidRequestError, UnauthenticatedError, UnavailableError
from jupyter_qsec.gateway.dashboard.sealing import Login

_PATH = re.compile(r"/(?:[A-Za-z0-9._~@-]+/)*\Z")
_TOKEN = re.compile(r"[\x21-\x7e]{1,512}\Z")
_MAX_ANSWER = 64 << 10
CALLBACK = "oauth_callback"


@dataclass(frozen=True, slots=True)
class Site:
    """Where people's browsers find the dashboard and the hub."""

    prefix: str
    """The path of the dashboard, with a slash at both ends: `/services/qsec/`."""
    hub: str
    """The hub's pages, as a path or, on hubs with subdomains, as an address: `/hub/`."""
    client_id: str
    callback: str

    @classmethod
    def of_environment(cls, environ: Mapping[str, str]) -> Site | None:
        """As JupyterHub tells its services; `None` when the hub proxies nothing to this one."""
        prefix = environ.get("JUPYTERHUB_SERVICE_PREFIX", "")
        if not prefix:
            return None
        base, host = environ.get("JUPYTERHUB_BASE_URL", "") or "/", environ.get("JUPYTERHUB_HOST", "")
        for name, value in (("JUPYTERHUB_SERVICE_PREFIX", prefix), ("JUPYTERHUB_BASE_URL", base)):
            if not _PATH.match(value):
                raise InvalidRequestError(f"{name} must be a path that begins and ends with a slash.")
        if prefix == "/":
            raise InvalidRequestError("JUPYTERHUB_SERVICE_PREFIX must be a path below the hub's.")
        if host and (urlsplit(host).scheme not in ("http", "https") or urlsplit(host).path):
            raise InvalidRequestError("JUPYTERHUB_HOST must be an http or https address without a path.")
        callback = environ.get("JUPYTERHUB_OAUTH_CALLBACK_URL", "") or f"{host}{prefix}{CALLBACK}"
        if not callback.endswith(prefix + CALLBACK):
            raise InvalidRequestError(f"JUPYTERHUB_OAUTH_CALLBACK_URL must end in {prefix}{CALLBACK}.")
        client_id = environ.get("JUPYTERHUB_CLIENT_ID", "") or "service-qsec"
        return cls(prefix, f"{host}{base}hub/", client_id, callback)


class HubLogin:
    """Sends browsers to the hub, and asks the hub for the token of who comes back."""

    def __init__(self, hub: HubAddress, site: Site) -> None:
        self._hub = hub
        self._site = site
        self._client: AsyncHTTPClient | None = None

    def address(self, login: Login) -> str:
        """Where the browser goes to log in."""
        digest = hashlib.sha256(login.verifier.encode()).digest()
        query = {
            "client_id": self._site.client_id,
            "redirect_uri": self._site.callback,
            "response_type": "code",
            "state": login.state,
            "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
            "code_challenge_method": "S256",
        }
        return f"{self._site.hub}api/oauth2/authorize?{urlencode(query)}"

    async def token(self, code: str, login: Login) -> str:
        """The hub token of the person who logged in. `UnauthenticatedError` when the hub does not take the code,
        `UnavailableError` when it cannot be asked. No text of the hub's gets into an error."""
        if self._client is None:
            self._client = SimpleAsyncHTTPClient(force_instance=True, max_body_size=_MAX_ANSWER)
        fields = {
            "client_id": self._site.client_id,
            "client_secret": self._hub.token,
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": login.verifier,
            "redirect_uri": self._site.callback,
        }
        request = HTTPRequest(
            self._hub.api_url.rstrip("/") + "/oauth2/token",
            method="POST",
            headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
            body=urlencode(fields),
            connect_timeout=2.0,
            request_timeout=5.0,
            follow_redirects=False,
            ssl_options=self._hub.tls,
        )
        try:
            answer = await self._client.fetch(request, raise_error=False)
        except (OSError, HTTPClientError, ValueError) as error:
            raise UnavailableError(f"{unreachable(error)}, so nobody can log in.", remedy="Try again soon.") from None
        if 400 <= answer.code < 500:
            raise UnauthenticatedError("The hub does not take this login.", remedy="Log in again.")
        try:
            token = json.loads(answer.body)["access_token"] if answer.code == 200 else None
        except (ValueError, KeyError, TypeError, RecursionError):
            token = None
        if not isinstance(token, str) or not _TOKEN.match(token):
            raise UnavailableError("The hub's answer makes no sense here.", remedy="Try again soon.")
        return token

"""JupyterHub's REST API as the gateway asks it: what a bad answer means, and whose tokens travel how."""

from __future__ import annotations

import json
from typing import Any

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from jupyter_qsec.adapters.identity.hubaddress import HubAddress
from jupyter_qsec.domain.certificates import certificate_problem
from jupyter_qsec.domain.errors import UnavailableError

FOUND, UNKNOWN = 200, 404
_REFUSED = (401, 403, UNKNOWN)
LATER = "Try again in a moment; an administrator finds more in the hub's log."
_MAX_ANSWER = 8 << 20
"""A page of 200 people comes with the groups of each."""
_CONNECT_SECONDS, _ANSWER_SECONDS = 2.0, 5.0


class HubApi:
    """Asks one hub."""

    def __init__(self, hub: HubAddress) -> None:
        self._hub = hub
        self._client: AsyncHTTPClient | None = None

    async def get(
        self, path: str, token: str | None = None, *, accept: str = "application/json"
    ) -> tuple[int, dict[str, Any]]:
        """Status and JSON object at a path, asked with the gateway's own service token unless another is given. The
        object may be empty when the hub refuses with 401, 403 or 404; anything else is an `UnavailableError`. No text
        of the hub's gets into one: it may repeat what it was asked."""
        if self._client is None:
            # An instance of its own: the shared one may be configured by whatever else runs in this process.
            self._client = SimpleAsyncHTTPClient(force_instance=True, max_body_size=_MAX_ANSWER)
        request = HTTPRequest(
            self._hub.api_url.rstrip("/") + path,
            headers={"Authorization": f"token {self._hub.token if token is None else token}", "Accept": accept},
            connect_timeout=_CONNECT_SECONDS,
            request_timeout=_ANSWER_SECONDS,
            follow_redirects=False,  # a redirect would carry the token elsewhere
            ssl_options=self._hub.tls,
        )
        try:
            answer = await self._client.fetch(request, raise_error=False)
        except (OSError, HTTPClientError, ValueError) as error:
            away = unreachable(error)
            raise UnavailableError(f"{away}, so nobody can be identified.", remedy=LATER) from None
        if answer.code not in (FOUND, *_REFUSED):
            raise UnavailableError(f"The hub answered {answer.code}, so nobody can be identified.", remedy=LATER)
        model = _object(answer.body)
        if model is None and answer.code == FOUND:
            raise UnavailableError("The hub's answer makes no sense here.", remedy=LATER)
        return answer.code, model or {}


def unreachable(error: Exception) -> str:
    """The beginning of a sentence: an administrator can do something about a certificate."""
    problem = certificate_problem(error)
    return f"The hub cannot be reached ({problem})" if problem else "The hub cannot be reached"


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        model = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return model if isinstance(model, dict) else None

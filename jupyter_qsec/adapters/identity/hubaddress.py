"""Where a JupyterHub's REST API is."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from jupyter_qsec.domain.addresses import is_loopback
from jupyter_qsec.domain.errors import InvalidRequestError


@dataclass(frozen=True)
class HubAddress:
    """Where the hub's API is, and the service token that opens it."""

    api_url: str
    """As in `JUPYTERHUB_API_URL`, such as `http://127.0.0.1:8081/hub/api`; plain http on loopback only."""
    token: str = field(repr=False)
    tls: ssl.SSLContext | None = None
    """For https: whom to trust. `None`: the system's authorities."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.api_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidRequestError("JUPYTERHUB_API_URL must be an http or https address.")
        if parts.scheme == "http" and not is_loopback(parts.hostname):
            raise InvalidRequestError(
                f"The hub's API at {parts.hostname} is neither on this machine nor https: tokens would be readable.",
                remedy="Set c.JupyterHub.internal_ssl = True, or give the hub's API an https address.",
            )
        if not self.token:
            raise InvalidRequestError(
                "There is no JUPYTERHUB_API_TOKEN.", remedy="Start the gateway as a service of the hub."
            )

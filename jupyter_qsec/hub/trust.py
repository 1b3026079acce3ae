"""Lets a hub and its proxy trust the certificate of the gateway, so that they can have the dashboard.

A hub ends itself when it does not reach a service that it started, so where this cannot be done nothing is promised.
"""

from __future__ import annotations

import os
import ssl
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from jupyter_qsec.domain.errors import InvalidRequestError

PROXY_VARIABLE = "NODE_EXTRA_CA_CERTS"
_FIRST_HUB = 6
"""JupyterHub's own requests take a TLS context from the configuration since this version."""
_OWN_PROXY = ("jupyterhub.proxy.ConfigurableHTTPProxy", "configurable-http-proxy", "default")


class HubTrust(ssl.SSLContext):
    """Trusts the system's authorities and one more. It stays itself when traitlets copies the configuration."""

    @classmethod
    def of(cls, ca: Path) -> Self:
        """`InvalidRequestError` for a file that holds no certificates."""
        context = cls(ssl.PROTOCOL_TLS_CLIENT)  # names and certificates are checked
        context.load_default_certs()
        try:
            context.load_verify_locations(ca)
        except (OSError, ValueError):
            raise InvalidRequestError(f"ca names {ca}, which holds no certificates that can be read.") from None
        return context

    def __deepcopy__(self, _: dict[int, Any]) -> Self:
        return self


def trust_gateway(c: Any, url: str, *, ca: str | Path | None, wanted: bool | None, hub: str = "") -> bool:
    """Whether hub and proxy reach the gateway at `url`, after they were told to trust `ca` where that is needed.

    wanted: `False`: nobody is told anything; `True`: the hub is told even where the proxy is not its own.
    hub: its version, by default the installed one.
    """
    if wanted is False or not url.startswith("https:"):
        return wanted is not False
    if c.JupyterHub.get("internal_ssl", False):
        # The proxy then trusts what the hub's own authorities have signed and can be told of no other; and a hub that
        # looks for a service of its own does so with the TLS context of a server (6.1 does), finds none, and ends.
        return False
    if ca is None:
        return True
    path = Path(ca).absolute()
    if not path.is_file() or int((hub or version("jupyterhub")).partition(".")[0]) < _FIRST_HUB:
        return False
    if not _is_told(c, path) and wanted is None:
        return False
    c.JupyterHubHTTPClient.connector_options = {
        **_dict(c.JupyterHubHTTPClient.get("connector_options")),
        "ssl": HubTrust.of(path),
    }
    return True


def _is_told(c: Any, ca: Path) -> bool:
    """Tell the proxy, which the hub starts with its own environment and nothing else gets that variable of."""
    proxy = c.JupyterHub.get("proxy_class", "default")
    if proxy not in _OWN_PROXY or not c.ConfigurableHTTPProxy.get("should_start", True):
        return False
    present = Path(os.environ.setdefault(PROXY_VARIABLE, str(ca)))
    return present.is_file() and _authorities(ca) <= _authorities(present)


def _authorities(path: Path) -> set[bytes]:
    """Those of a file, in DER; none when it holds none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with suppress(OSError, ValueError):
        context.load_verify_locations(path)
    return set(context.get_ca_certs(binary_form=True))


def _dict(present: Any) -> dict[str, Any]:
    return dict(present) if isinstance(present, dict) else {}

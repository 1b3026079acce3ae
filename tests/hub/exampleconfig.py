"""The configuration of `examples/hub`, on ports of the test's own, with or without TLS and a service that drives it."""

import os
from pathlib import Path
from typing import Any

from jupyterhub.authenticators.shared import SharedPasswordAuthenticator

from jupyter_qsec import hub

configure, tls, kind = hub.configure, Path("tls"), os.environ["HUB_TLS"]
scheme = "https" if kind == "internal" else "http"


def with_tls(c: Any, **options: Any) -> None:
    if kind in ("private", "untold"):
        options |= {"certificate": tls / "gateway.pem", "key": tls / "gateway.key", "ca": tls / "ca.pem"}
    elif kind == "internal":
        c.JupyterHub.internal_ssl = True
        c.JupyterHub.internal_certs_location = str(Path("internal-ssl").absolute())
        options |= {"ca": "internal-ssl/notebooks-ca/notebooks-ca.crt"}
    if tenants := os.environ.get("HUB_COMPANY"):
        options |= {"config": tenants, "claims": True, "options": ["--processes", "2", "--workers", "1"]}
        c.Authenticator.enable_auth_state = True
    configure(c, **options)
    if kind == "untold":
        del os.environ["NODE_EXTRA_CA_CERTS"]


hub.configure = with_tls

c = get_config()  # type: ignore[name-defined]  # noqa: F821 - JupyterHub puts it there
load_subconfig(os.environ["HUB_EXAMPLE"])  # type: ignore[name-defined]  # noqa: F821 - as above


async def refresh_user(authenticator: Any, user: Any, handler: Any = None, **_: Any) -> bool:
    """As an identity provider that has ended the sessions of those who are named in a file."""
    ended = Path("ended-logins")
    return not (ended.exists() and user.name in ended.read_text().split())


async def authenticate(
    authenticator: Any, handler: Any, data: Any, *, known: Any = SharedPasswordAuthenticator.authenticate
) -> dict[str, Any] | None:
    """As an identity provider that says how people logged in: those who are named in a file with a second factor."""
    person = await known(authenticator, handler, data)
    factors = Path("second-factors")
    with_one = person is not None and factors.exists() and person["name"] in factors.read_text().split()
    return None if person is None else {**person, "auth_state": {"amr": ["pwd", *(["mfa"] if with_one else [])]}}


SharedPasswordAuthenticator.refresh_user = refresh_user
SharedPasswordAuthenticator.authenticate = authenticate
c.Authenticator.auth_refresh_age = 1
c.Authenticator.auth_refresh_strict = True

c.JupyterHub.hub_bind_url = f"{scheme}://127.0.0.1:{os.environ['HUB_API_PORT']}"
c.ConfigurableHTTPProxy.command = os.environ["HUB_PROXY"].split("\n")
c.ConfigurableHTTPProxy.api_url = f"{scheme}://127.0.0.1:{os.environ['HUB_PROXY_PORT']}"
c.JupyterHub.services.append({"name": "driver", "api_token": os.environ["DRIVER_TOKEN"]})
c.JupyterHub.load_roles.append(
    {
        "name": "driver",
        "scopes": ["admin:users", "admin:servers", "access:servers", "tokens", "admin:groups", "inherit"],
        "services": ["driver"],
    }
)

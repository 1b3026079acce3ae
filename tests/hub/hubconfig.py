"""Configuration of the hub of the tests: people in groups, services, roles. Read by JupyterHub; ports and tokens come
in the environment."""

import os
from typing import Any

from jupyterhub.auth import DummyAuthenticator

c = get_config()  # type: ignore[name-defined]  # noqa: F821 - JupyterHub puts it there

_WITHOUT = os.environ.get("HUB_WITHOUT", "")
"""A service that was taken out of the configuration."""
_SCOPES = ["custom:qsec:read", "custom:qsec:write"]
_GATEWAY = ["list:users", "read:users:groups", "read:services:name", "admin:auth_state"]

c.JupyterHub.bind_url = f"http://127.0.0.1:{os.environ['HUB_PORT']}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{os.environ['HUB_API_PORT']}"
c.JupyterHub.db_url = "sqlite:///hub.sqlite"
c.JupyterHub.cookie_secret_file = "cookie_secret"
c.JupyterHub.cleanup_servers = True


class WithFactors(DummyAuthenticator):  # type: ignore[misc]  # JupyterHub publishes no types
    """Takes any password. One that names a second factor stands for a login that had one."""

    async def authenticate(self, handler: Any, data: dict[str, str]) -> dict[str, Any]:
        factors = ["pwd", *(["mfa"] if "second factor" in data["password"] else [])]
        return {"name": data["username"], "auth_state": {"amr": factors}}


c.JupyterHub.authenticator_class = WithFactors
c.Authenticator.enable_auth_state = True
c.Authenticator.allow_all = True
c.ConfigurableHTTPProxy.command = os.environ["HUB_PROXY"].split("\n")
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{os.environ['HUB_PROXY_PORT']}"

c.JupyterHub.load_groups = {
    "physics": {"users": ["ada", "eve"]},
    "class": {"users": ["bob"]},
    "auditors": {"users": ["eve", "ida"]},
    "chess": {"users": ["max"]},
    "leads": {"users": ["lin"]},
    "responders": {"users": ["rio"]},
    # One person for each of the other roles, called after it.
    "viewer": {"users": ["viewer"]},
    "circuit-author": {"users": ["circuit-author"]},
    "benchmark-operator": {"users": ["benchmark-operator"]},
    "backend-operator": {"users": ["backend-operator"]},
    "approver": {"users": ["approver"]},
    "billing": {"users": ["billing"]},
    "service": {"users": ["service"]},
}
c.JupyterHub.custom_scopes = {
    "custom:qsec:read": {"description": "See one's own leases and tasks"},
    "custom:qsec:write": {"description": "Take leases", "subscopes": ["custom:qsec:read"]},
}
c.JupyterHub.services = [
    *(
        {
            "name": name,
            "api_token": os.environ[f"{name.upper()}_TOKEN"],
            "url": f"http://127.0.0.1:{os.environ[port]}",
            "oauth_no_confirm": True,
            "oauth_client_allowed_scopes": _SCOPES,
            "timeout": 1,  # the gateways of the tests start after their hub
        }
        for name, port in (("qsec", "HUB_GATEWAY_PORT"), ("many", "HUB_MANY_PORT"))
    ),
    *([] if _WITHOUT == "ci" else [{"name": "ci", "api_token": os.environ["CI_TOKEN"]}]),
    {"name": "stray", "api_token": os.environ["STRAY_TOKEN"]},  # without a tenant
    {"name": "bare", "api_token": os.environ["BARE_TOKEN"]},  # without a scope
    {"name": "driver", "api_token": os.environ["DRIVER_TOKEN"]},
]
c.JupyterHub.load_roles = [
    {"name": "user", "scopes": ["self", "access:services!service=qsec", "access:services!service=many", *_SCOPES]},
    {"name": "qsec-gateway", "scopes": _GATEWAY, "services": ["qsec", "many"]},
    {"name": "qsec-automation", "scopes": _SCOPES, "services": [*({"ci", "stray"} - {_WITHOUT})]},
    {"name": "driver", "scopes": ["admin:users", "tokens", "admin:groups", "inherit"], "services": ["driver"]},
]

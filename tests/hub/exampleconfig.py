"""The configuration of `examples/hub`, on ports of the test's own and with a service that drives it."""

import os

c = get_config()  # type: ignore[name-defined]  # noqa: F821 - JupyterHub puts it there
load_subconfig(os.environ["HUB_EXAMPLE"])  # type: ignore[name-defined]  # noqa: F821 - as above

c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{os.environ['HUB_API_PORT']}"
c.ConfigurableHTTPProxy.command = os.environ["HUB_PROXY"].split("\n")
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{os.environ['HUB_PROXY_PORT']}"
c.JupyterHub.services.append({"name": "driver", "api_token": os.environ["DRIVER_TOKEN"]})
c.JupyterHub.load_roles.append(
    {
        "name": "driver",
        "scopes": ["admin:users", "admin:servers", "access:servers", "tokens", "admin:groups", "inherit"],
        "services": ["driver"],
    }
)

"""The configuration of `examples/hub`, on ports of the test's own, with TLS and a service that drives it."""

import os
from functools import partial
from pathlib import Path

from jupyter_qsec import hub

if os.environ["HUB_TLS"]:
    tls = Path(os.environ["HUB_TLS"])
    hub.configure = partial(hub.configure, certificate=tls / "gateway.pem", key=tls / "gateway.key", ca=tls / "ca.pem")

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

"""The hub that the values of `examples/kubernetes` make, as far as a hub without Kubernetes can be it: services, roles
and scopes. Ports, people and a service that drives it are the test's own."""

import os

from tests.unit.kubernetes.manifests import as_the_chart_does, values

c = get_config()  # type: ignore[name-defined]  # noqa: F821 - JupyterHub puts it there

as_the_chart_does(c, values(), os.environ["QSEC_TOKEN"])
c.JupyterHub.bind_url = f"http://127.0.0.1:{os.environ['HUB_PORT']}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{os.environ['HUB_API_PORT']}"
c.JupyterHub.db_url = "sqlite:///hub.sqlite"
c.JupyterHub.cookie_secret_file = "cookie_secret"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.ConfigurableHTTPProxy.command = os.environ["HUB_PROXY"].split("\n")
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{os.environ['HUB_PROXY_PORT']}"
c.JupyterHub.load_groups = {"physics": {"users": ["ada"]}, "class": {"users": ["bob"]}}
c.JupyterHub.services.append({"name": "driver", "api_token": os.environ["DRIVER_TOKEN"]})
c.JupyterHub.load_roles.append(
    {"name": "driver", "scopes": ["admin:users", "tokens", "inherit"], "services": ["driver"]}
)

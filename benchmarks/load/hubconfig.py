"""A hub like that of `examples/hub`, for as many people as the load asks for. Read by JupyterHub; paths, ports and
tokens come in the environment."""

import os
from pathlib import Path

from jupyter_qsec.hub import configure

c = get_config()  # type: ignore[name-defined]  # noqa: F821 - JupyterHub puts it there

data = Path(os.environ["LOAD_DATA"])
people = os.environ["LOAD_PEOPLE"].split()

c.JupyterHub.bind_url = f"http://127.0.0.1:{os.environ['HUB_PORT']}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{os.environ['HUB_API_PORT']}"
c.JupyterHub.db_url = f"sqlite:///{data}/hub.sqlite"
c.JupyterHub.cookie_secret_file = str(data / "cookie_secret")
c.JupyterHub.concurrent_spawn_limit = 2
c.ConfigurableHTTPProxy.command = os.environ["HUB_PROXY"].split("\n")
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{os.environ['HUB_PROXY_PORT']}"
c.ConfigurableHTTPProxy.pid_file = str(data / "proxy.pid")
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.load_groups = {
    "one": {"users": people[::2]},
    "other": {"users": people[1::2]},
}
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = str(data / "homes" / "{username}")
c.Spawner.notebook_dir = "~"
c.Spawner.start_timeout = 180
c.Spawner.http_timeout = 180
if os.getuid() == 0:
    c.Spawner.args = ["--allow-root"]
c.JupyterHub.services = [{"name": "driver", "api_token": os.environ["DRIVER_TOKEN"]}]
c.JupyterHub.load_roles = [
    {
        "name": "driver",
        "scopes": ["admin:users", "admin:servers", "access:servers", "tokens", "inherit"],
        "services": ["driver"],
    }
]

configure(
    c,
    state=os.environ["LOAD_HOME"],
    url=os.environ["LOAD_GATEWAY_URL"],
    options=("--processes", os.environ["LOAD_PROCESSES"], "--workers", "1"),
)

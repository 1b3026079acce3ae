"""A hub on this machine to try: three people in two groups, and the gateway as a service of the hub.

`make hub` starts it. People log in with the password that it prints; all of them run as your own account, so what
separates them here is the gateway, not the operating system.
"""

import os
import secrets
import sys
from pathlib import Path
from urllib.parse import urlsplit

from jupyter_qsec.hub import configure

c = get_config()  # type: ignore[name-defined]

here = Path(__file__).parent
data = Path(os.environ.get("QSEC_HUB_DATA", here / "data")).absolute()
address = os.environ.get("QSEC_HUB_URL", "http://127.0.0.1:8000")
port = urlsplit(address).port or 80
password = os.environ.pop("QSEC_HUB_PASSWORD", "") or secrets.token_urlsafe(9)

c.JupyterHub.bind_url = address
# What only the hub and its proxy use moves with it: 8081 and 8001, or others beside another hub.
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{port + 81}"
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{port + 1}"
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = str(data / "homes" / "{username}")
c.Spawner.notebook_dir = "~"
c.Spawner.default_url = "/lab/tree/01-first-task.ipynb"
if os.getuid() == 0:
    c.Spawner.args = ["--allow-root"]  # in a container, for instance
c.JupyterHub.authenticator_class = "shared-password"
c.SharedPasswordAuthenticator.user_password = password
c.Authenticator.allowed_users = {"ada", "bob", "max"}
c.JupyterHub.load_groups = {
    "physics": {"users": ["ada"]},
    "class": {"users": ["bob", "max"]},
}
c.JupyterHub.db_url = f"sqlite:///{data}/hub.sqlite"
c.JupyterHub.cookie_secret_file = str(data / "cookie_secret")
c.ConfigurableHTTPProxy.pid_file = str(data / "proxy.pid")

configure(
    c,
    state=data / "qsec",
    config=here,
    url=os.environ.get("QSEC_GATEWAY_URL", "http://127.0.0.1:8765"),
)


def give_examples(spawner):
    """Put the first notebook into a new home."""
    home = data / "homes" / spawner.user.name
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    first = home / "01-first-task.ipynb"
    if not first.exists():
        first.write_bytes((here.parent / "01-first-task.ipynb").read_bytes())


c.Spawner.pre_spawn_hook = give_examples

data.mkdir(mode=0o700, parents=True, exist_ok=True)
if "--generate-config" not in sys.argv:
    print(
        f"\n  Open {address} and log in as ada, bob or max. The password is: {password}\n",
        flush=True,
    )

"""The hub of `examples/hub`, and its people as they log in."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import httpx
from jupyter_client.blocking.client import BlockingKernelClient

from jupyter_qsec.gateway.certificates import make_certificates
from tests.fakes.waiting import wait_for
from tests.hub.realhub import ROOT, RealHub, free_ports

PASSWORD = "the-password-of-this-test"


@dataclass
class Person:
    """Somebody with a running server."""

    name: str
    token: str
    home: Path
    http: httpx.Client

    def qsec(self, path: str) -> Any:
        answer = self.http.get(f"jupyter-qsec/{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def kernel(self, name: str) -> tuple[str, BlockingKernelClient]:
        answer = self.http.post(
            "api/sessions",
            json={"path": name, "name": name, "type": "notebook", "kernel": {"name": "python3"}},
        )
        assert answer.status_code == 201, answer.text
        kernel_id = answer.json()["kernel"]["id"]
        runtime = self.home / ".local" / "share" / "jupyter" / "runtime"
        client = BlockingKernelClient(connection_file=str(runtime / f"kernel-{kernel_id}.json"))
        client.load_connection_file()
        client.start_channels(hb=False)
        client.wait_for_ready(timeout=60)
        wait_for(lambda: self._holds_lease(kernel_id), f"the lease of {name}", 60)
        return kernel_id, client

    def _holds_lease(self, kernel_id: str) -> bool:
        """A kernel waits for its lease, but not for ever."""
        [kernel] = [kernel for kernel in self.qsec("kernels")["kernels"] if kernel["kernel_id"] == kernel_id]
        return kernel["lease"] is not None and kernel["lease"]["state"] == "active"


class ExampleHub:
    """The hub, and its people as they log in."""

    def __init__(
        self,
        folder: Path,
        tls: Literal["", "private", "untold", "internal"] = "private",
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """`tls`: the gateway's certificate is by an authority of its own (`untold`: nobody told the proxy), or by the
        hub's."""
        self.data = folder / "data"
        public, gateway = free_ports(2)
        self.url = f"http://127.0.0.1:{public}"
        self.gateway_url = f"{'https' if tls else 'http'}://127.0.0.1:{gateway}"
        make_certificates(folder / "tls", ["127.0.0.1"])
        self.ca = folder / ("internal-ssl/notebooks-ca/notebooks-ca.crt" if tls == "internal" else "tls/ca.pem")
        self.hub = RealHub(
            folder,
            "exampleconfig.py",
            {
                "HUB_EXAMPLE": str(ROOT / "examples" / "hub" / "jupyterhub_config.py"),
                "QSEC_HUB_DATA": str(self.data),
                "QSEC_HUB_URL": self.url,
                "QSEC_HUB_PASSWORD": PASSWORD,
                "QSEC_GATEWAY_URL": self.gateway_url,
                "HUB_TLS": tls,
                **(environ or {}),
            },
        )
        self.hub.url, self.hub.api_url = self.url, f"{self.url}/hub/api"
        self.people: dict[str, Person] = {}

    def person(self, name: str) -> Person:
        if name not in self.people:
            self.hub.drive("POST", f"/users/{name}/server")
            wait_for(lambda: self.hub.drive("GET", f"/users/{name}")["servers"].get("", {}).get("ready"), name, 60)
            token = self.hub.user_token(name)[0]
            http = httpx.Client(
                base_url=f"{self.url}/user/{name}/",
                headers={"Authorization": f"token {token}"},
                timeout=60,
                trust_env=False,
            )
            person = Person(name, token, self.data / "homes" / name, http)
            wait_for(lambda: person.qsec("status")["gateway"]["state"] == "running", f"{name}'s gateway", 30)
            self.people[name] = person
        return self.people[name]

    @cached_property
    def gateway(self) -> httpx.Client:
        """Trusts the authority of the gateway's certificate, which is there once the hub has started."""
        context = ssl.create_default_context(cafile=self.ca)
        return httpx.Client(base_url=self.gateway_url, verify=context, trust_env=False)

    def gateway_healthy(self) -> bool:
        try:
            return self.gateway.get("/health").status_code == 200
        except httpx.TransportError:
            return False

    def ask(self, person: Person, what: str) -> Any:
        """A question to the gateway in a person's name."""
        answer = self.gateway.get(f"/api/v1/{what}", headers={"Authorization": f"Bearer {person.token}"})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def close(self) -> None:
        for person in self.people.values():
            person.http.close()
        self.hub.close()
        self.gateway.close()

    def terminal(self, person: Person) -> dict[str, str]:
        """What the command line needs of a terminal's environment."""
        return {
            "JUPYTER_QSEC_GATEWAY_URL": self.gateway_url,
            "JUPYTER_QSEC_GATEWAY_CA": str(self.ca),
            "JUPYTERHUB_API_TOKEN": person.token,
        }

"""What a process of the gateway is told when it starts, and what it does first: forget."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from jupyter_qsec.adapters.catalogue import catalogue_of
from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.domain.provider import CredentialSource
from jupyter_qsec.gateway.listening import Place
from jupyter_qsec.gateway.statedir import StateDirectory


@dataclass(frozen=True, slots=True)
class ServeOptions:
    home: Path
    place: Place = field(default_factory=Place)
    settings: Path | None = None
    """A directory with `tenants.toml` and `policies/`, when they are not in `home`."""
    shared: Path | None = None
    """A directory for keys, results and checkpoints that several gateways share, each with a `home` of its own."""
    keystore: str = "auto"
    parent_fd: int | None = None
    """A pipe whose other end the starter holds: the gateway ends when it closes."""
    with_parent: bool = False
    """End also when the process that started it ends, however."""
    workers: int = 0
    identity: Literal["local", "hub"] = "local"
    """`hub`: people and services of the JupyterHub that this process is a service of may call, too."""
    seat: int | None = None
    """Its number under a supervisor, which holds the state directory's lock and announces the gateway."""


def place_of(options: ServeOptions, state: StateDirectory) -> Place:
    """Where to listen: where no socket and no port is named, on the saved port when there is one."""
    place = options.place.with_hub_certificate(os.environ) if options.identity == "hub" else options.place
    if place.fd is None and place.port is None:
        place = replace(place, port=state.saved_port())
    return place


def wants_ambient_credentials(options: ServeOptions) -> bool:
    """Whether the gateway takes roles with what it finds where it runs. A file that cannot be read is told by whoever
    needs it."""
    try:
        provider = catalogue_of(options.settings or options.home).provider
    except InvalidRequestError:
        return False
    return provider is not None and provider.source is CredentialSource.AMBIENT


def take_ambient_credentials(environ: MutableMapping[str, str]) -> dict[str, str]:
    """The variables `AWS_*`, taken out of the environment: a gateway that executes by itself has no business with cloud
    credentials that it happened to be started with, and what is not there cannot leak into a child process."""
    taken = {name: environ.pop(name) for name in [name for name in environ if name.startswith("AWS_")]}
    return {} if "JUPYTER_QSEC_KERNEL" in environ else taken  # below a kernel they are a lease's, and lead here

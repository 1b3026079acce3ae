"""What a process of the gateway is told when it starts, and what it does first: forget, and open its log."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field, replace
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Literal

from jupyter_qsec.adapters.privatefiles import ensure_private_directory, open_private
from jupyter_qsec.gateway.listening import Place
from jupyter_qsec.gateway.statedir import StateDirectory

_LOG_BYTES = 5 << 20
_LOG_FILES = 3


@dataclass(frozen=True, slots=True)
class ServeOptions:
    home: Path
    place: Place = field(default_factory=Place)
    settings: Path | None = None
    """A directory with `tenants.toml` and `policies/`, when they are not in `home`."""
    keystore: Literal["auto", "keyring", "file"] = "auto"
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


def forget_ambient_credentials() -> None:
    """This gateway executes by itself: cloud credentials that it happened to be started with are none of its business,
    and what is not there cannot leak into a child process or a traceback."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]


class _PrivateRotatingFileHandler(RotatingFileHandler):
    """A rotating log whose every file has mode 0600, whatever the umask."""

    def _open(self):  # type: ignore[no-untyped-def]  # the base class's type is private to the standard library's stubs
        descriptor = open_private(Path(self.baseFilename), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        return os.fdopen(descriptor, self.mode, encoding="utf-8")


def log_to(home: Path, name: str) -> None:
    """Log to `logs/NAME.log`, errors to standard error too. HTTP access is not logged: URLs may carry names."""
    ensure_private_directory(home / "logs")
    formatter = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    file = _PrivateRotatingFileHandler(home / "logs" / f"{name}.log", maxBytes=_LOG_BYTES, backupCount=_LOG_FILES)
    file.setFormatter(formatter)
    errors = logging.StreamHandler()
    errors.setLevel(logging.ERROR)
    errors.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[file, errors], force=True)
    logging.getLogger("tornado.access").setLevel(logging.CRITICAL)
    logging.getLogger("alembic").setLevel(logging.WARNING)

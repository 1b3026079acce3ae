"""The gateway as a process: sockets, signals, log, start and end. Exit codes are those of `docs/interfaces.md`."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import ssl
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Literal

from tornado.httpserver import HTTPServer

from jupyter_qsec.adapters.identity.jupyterhub import HubAddress
from jupyter_qsec.adapters.privatefiles import ensure_private_directory, open_private
from jupyter_qsec.bootstrap import GatewayConfig, KeyStoreError, build
from jupyter_qsec.domain.errors import (
    InvalidRequestError,
    QsecError,
    RecordingError,
    StateDirectoryError,
    UnavailableError,
)
from jupyter_qsec.gateway import control
from jupyter_qsec.gateway.app import make_app, make_server
from jupyter_qsec.gateway.confidential import keep_confidential
from jupyter_qsec.gateway.control_shapes import moment
from jupyter_qsec.gateway.databaseurl import database_url
from jupyter_qsec.gateway.listening import Place, PortTakenError, listen
from jupyter_qsec.gateway.statedir import StateDirectory

_log = logging.getLogger(__name__)

EXIT_OK, EXIT_USE, EXIT_STATE, EXIT_PORT, EXIT_KEYS = 0, 2, 3, 4, 5
_LOG_BYTES = 5 << 20
_LOG_FILES = 3
_GRACE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class ServeOptions:
    home: Path
    place: Place = field(default_factory=Place)
    """Without socket and port, the saved port is bound when there is one."""
    settings: Path | None = None
    """A directory with `tenants.toml` and `policies/`, when they are not in `home`."""
    keystore: Literal["auto", "keyring", "file"] = "auto"
    parent_fd: int | None = None
    """A pipe whose other end the starter holds: the gateway ends when it closes."""
    workers: int = 0
    identity: Literal["local", "hub"] = "local"
    """`hub`: people and services of the JupyterHub that this process is a service of may call, too."""


def serve(options: ServeOptions) -> int:
    """Run a gateway until it is asked to end; returns the exit code. Errors are one line on standard error."""
    keep_confidential()
    _forget_ambient_credentials()
    os.umask(0o077)
    try:
        state = StateDirectory(options.home)
        try:
            _log_to(options.home)
            asyncio.run(_serve(options, state))
        finally:
            state.close()
    except PortTakenError as error:
        return _fail(EXIT_PORT, error)
    except KeyStoreError as error:
        return _fail(EXIT_KEYS, error)
    except (StateDirectoryError, RecordingError, UnavailableError) as error:
        return _fail(EXIT_STATE, error)
    except QsecError as error:
        return _fail(EXIT_USE, error)
    except OSError as error:
        return _fail(EXIT_STATE, StateDirectoryError(f"The gateway cannot use its state directory: {error.strerror}."))
    return EXIT_OK


def _forget_ambient_credentials() -> None:
    """This gateway executes by itself: cloud credentials that it happened to be started with are none of its business,
    and what is not there cannot leak into a child process or a traceback."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]


def _witness(environ: Mapping[str, str]) -> Path | None:
    """The witness file that JUPYTER_QSEC_WITNESS names: whoever starts the gateway hands the variable on."""
    named = environ.get("JUPYTER_QSEC_WITNESS", "")
    if not named:
        return None
    path = Path(named)
    if not path.is_absolute() or not path.parent.is_dir():
        raise InvalidRequestError(
            "JUPYTER_QSEC_WITNESS must name a file in an existing directory.", remedy="Give an absolute path."
        )
    return path


def _settings(folder: Path | None) -> Path | None:
    """`InvalidRequestError` for a directory whose rules others could change, or that is missing: the shipped rules in
    its place would let in whom nobody meant."""
    if folder is None:
        return None
    try:
        found = [folder, *(path for path in (folder / "tenants.toml", folder / "policies") if path.exists())]
        loose = [path for path in found if path.stat().st_mode & 0o002]
    except OSError as error:
        raise InvalidRequestError(f"--config {folder} cannot be read: {error.strerror}.") from None
    if len(found) == 1:
        raise InvalidRequestError(f"--config {folder} holds neither tenants.toml nor policies/.")
    if loose:
        raise InvalidRequestError(f"Everybody may change {loose[0]}.", remedy=f"Run: chmod o-w {loose[0]}")
    return folder


def _hub(environ: MutableMapping[str, str]) -> HubAddress:
    """The hub that started this process as its service. The token leaves the environment: children need it not."""
    token = environ.pop("JUPYTERHUB_API_TOKEN", "")
    authority, certificate, key = (
        environ.get(f"JUPYTERHUB_SSL_{name}", "") for name in ("CLIENT_CA", "CERTFILE", "KEYFILE")
    )
    context = None
    if authority:
        try:
            context = ssl.create_default_context(cafile=authority)
            context.load_cert_chain(certificate, key)
        except OSError as error:
            raise InvalidRequestError(
                "The certificates that JUPYTERHUB_SSL_CLIENT_CA, _CERTFILE and _KEYFILE name cannot be used "
                f"({error.strerror or type(error).__name__})."
            ) from None
    return HubAddress(environ.get("JUPYTERHUB_API_URL", ""), token, context)


def _fail(code: int, error: QsecError) -> int:
    print(" ".join(str(error).split()), file=sys.stderr)  # noqa: T201 - a command's one line for its user
    return code


async def _serve(options: ServeOptions, state: StateDirectory) -> None:
    place = options.place.with_hub_certificate(os.environ) if options.identity == "hub" else options.place
    if place.fd is None and place.port is None:
        place = replace(place, port=state.saved_port())
    listening = listen(place)
    port = listening.port
    gateway = await build(
        GatewayConfig(
            home=options.home,
            settings=_settings(options.settings),
            keystore=options.keystore,
            workers=options.workers,
            witness=_witness(os.environ),
            hub=_hub(os.environ) if options.identity == "hub" else None,
            database=database_url(os.environ),
        )
    )
    token = state.control_token()
    ended = _end_signals(options.parent_fd)
    await gateway.start()
    try:
        app = make_app(gateway, control.routes(gateway, token), listening.authorities)
        server = make_server(app, listening.tls)
        server.add_sockets([listening.socket])
        state.save_port(port)
        state.announce(port, gateway.instance, moment(gateway.started_at) or "")
        gc.collect()
        gc.freeze()  # what was loaded stays: collections need not walk it, which would hold up every caller
        print(json.dumps({"event": "ready", "port": port}), flush=True)  # noqa: T201 - the starter waits for this line
        _log.info("serving on %s, port %d", place.bind, port)
        await ended.wait()
        _log.info("ending")
        await _stop(server)
    finally:
        await gateway.close()


async def _stop(server: HTTPServer) -> None:
    """Take no new connections, let answers go out."""
    server.stop()
    with suppress(TimeoutError):
        await asyncio.wait_for(server.close_all_connections(), _GRACE_SECONDS)


def _end_signals(parent_fd: int | None) -> asyncio.Event:
    """An event that SIGTERM, SIGINT and the end of the parent's pipe set."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    if parent_fd is not None:
        try:
            os.set_blocking(parent_fd, False)
        except OSError as error:
            raise InvalidRequestError(f"--parent-fd {parent_fd} is not an open pipe.") from error

        def readable() -> None:
            with suppress(BlockingIOError):
                if not os.read(parent_fd, 4096):
                    loop.remove_reader(parent_fd)
                    ended.set()

        loop.add_reader(parent_fd, readable)
    return ended


class _PrivateRotatingFileHandler(RotatingFileHandler):
    """A rotating log whose every file has mode 0600, whatever the umask."""

    def _open(self):  # type: ignore[no-untyped-def]  # the base class's type is private to the standard library's stubs
        descriptor = open_private(Path(self.baseFilename), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        return os.fdopen(descriptor, self.mode, encoding="utf-8")


def _log_to(home: Path) -> None:
    """Log to `logs/gateway.log`, errors to standard error too. HTTP access is not logged: URLs may carry names."""
    ensure_private_directory(home / "logs")
    formatter = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    file = _PrivateRotatingFileHandler(home / "logs" / "gateway.log", maxBytes=_LOG_BYTES, backupCount=_LOG_FILES)
    file.setFormatter(formatter)
    errors = logging.StreamHandler()
    errors.setLevel(logging.ERROR)
    errors.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[file, errors], force=True)
    logging.getLogger("tornado.access").setLevel(logging.CRITICAL)
    logging.getLogger("alembic").setLevel(logging.WARNING)

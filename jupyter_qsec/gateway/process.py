"""The gateway as a process: sockets, signals, log, start and end. Exit codes are those of `docs/interfaces.md`."""

from __future__ import annotations

import asyncio
import errno
import gc
import json
import logging
import os
import signal
import socket
import ssl
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tornado.httpserver import HTTPServer

from jupyter_qsec.adapters.identity.jupyterhub import HubAddress
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
from jupyter_qsec.gateway.logs import log_to, log_unhandled
from jupyter_qsec.gateway.metricstoken import metrics_token
from jupyter_qsec.gateway.statedir import StateDirectory

_log = logging.getLogger(__name__)

EXIT_OK, EXIT_USE, EXIT_STATE, EXIT_PORT, EXIT_KEYS = 0, 2, 3, 4, 5
LOOPBACK = "127.0.0.1"
_BACKLOG = 512
_GRACE_SECONDS = 3.0


class PortTakenError(QsecError):
    """Another program listens on the port."""

    code = "port-taken"


@dataclass(frozen=True, slots=True)
class ServeOptions:
    home: Path
    listen_fd: int | None = None
    """An inherited listening socket; otherwise `port`, the saved port, or any free one is bound."""
    port: int | None = None
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
            log_to(options.home, os.environ)
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
    asyncio.get_running_loop().set_exception_handler(log_unhandled)
    scraper = metrics_token(os.environ)
    listener = _listener(options, state)
    port = int(listener.getsockname()[1])
    gateway = await build(
        GatewayConfig(
            home=options.home,
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
        server = make_server(make_app(gateway, control.routes(gateway, token, scraper)))
        server.add_sockets([listener])
        state.save_port(port)
        state.announce(port, gateway.instance, moment(gateway.started_at) or "")
        gc.collect()
        gc.freeze()  # what was loaded stays: collections need not walk it, which would hold up every caller
        print(json.dumps({"event": "ready", "port": port}), flush=True)  # noqa: T201 - the starter waits for this line
        _log.info("serving on %s:%d", LOOPBACK, port)
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


def _listener(options: ServeOptions, state: StateDirectory) -> socket.socket:
    """The listening socket, on loopback and nowhere else."""
    if options.listen_fd is not None:
        return _inherited(options.listen_fd)
    saved = state.saved_port()
    port = options.port if options.port is not None else saved or 0
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            raise PortTakenError(
                f"Port {port} is taken by another program.", remedy="End that program, or choose another with --port."
            ) from None
        raise
    listener.setblocking(False)
    return listener


def _inherited(descriptor: int) -> socket.socket:
    try:
        listener = socket.socket(fileno=descriptor)
    except OSError as error:
        raise InvalidRequestError(f"--fd {descriptor} is not a socket.") from error
    name = listener.getsockname()
    local = listener.family == socket.AF_INET and name[0] == LOOPBACK
    if not local or not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        listener.detach()  # it is the starter's: leave it open
        raise InvalidRequestError(f"--fd {descriptor} is not a socket that listens on {LOOPBACK}.")
    listener.setblocking(False)
    return listener


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

"""One process of the gateway: socket, log, start and end. Alone, or one of several under a supervisor."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import ssl
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tornado.httpserver import HTTPServer

from jupyter_qsec.adapters.identity.hubaddress import HubAddress
from jupyter_qsec.adapters.providers.daskaddress import DaskCluster
from jupyter_qsec.application.ports import Clock
from jupyter_qsec.bootstrap import Gateway, GatewayConfig, build
from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.gateway import control
from jupyter_qsec.gateway.app import make_app, make_server
from jupyter_qsec.gateway.connections import Connections
from jupyter_qsec.gateway.control_shapes import moment
from jupyter_qsec.gateway.databaseurl import database_url
from jupyter_qsec.gateway.ending import Ending
from jupyter_qsec.gateway.exits import EXIT_OK, exit_code
from jupyter_qsec.gateway.launching import ServeOptions, place_of, take_ambient_credentials
from jupyter_qsec.gateway.listening import listen
from jupyter_qsec.gateway.logs import log_to, log_unhandled
from jupyter_qsec.gateway.metricstoken import metrics_token
from jupyter_qsec.gateway.replaymemory import MemoryFile
from jupyter_qsec.gateway.statedir import StateDirectory

if TYPE_CHECKING:
    from jupyter_qsec.gateway.dashboard.login import Site

_log = logging.getLogger(__name__)

_GRACE_SECONDS = 3.0
"""How long answers may take to go out when the process ends."""
_UNHURRIED_SECONDS = 10.0
"""How long clients with an open connection have for one more request, with whose answer they learn to open another."""


def serve(options: ServeOptions) -> int:
    """Run a gateway until it is asked to end; returns the exit code. Errors are one line on standard error."""
    ambient = take_ambient_credentials(os.environ)
    os.umask(0o077)
    return exit_code(lambda: _locked(options, ambient))


def _locked(options: ServeOptions, ambient: Mapping[str, str]) -> int:
    state = StateDirectory(options.home, locked=options.seat is None)
    try:
        log_to(options.home, os.environ, "gateway" if options.seat is None else f"gateway-{options.seat}")
        asyncio.run(_serve(options, state, ambient))
    finally:
        state.close()
    return EXIT_OK


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


def _site(environ: Mapping[str, str]) -> Site | None:
    from jupyter_qsec.gateway.dashboard.login import Site  # asks hubs over http: more to load than one machine needs

    return Site.of_environment(environ)


def _dashboard(gateway: Gateway, hub: HubAddress | None, site: Site | None) -> list[Any]:
    """The routes of the dashboard, where the hub has a place for it."""
    if hub is None or site is None:
        return []
    try:
        from jupyter_qsec.gateway.dashboard.site import routes
    except ModuleNotFoundError as error:
        raise InvalidRequestError(
            f"The dashboard needs {error.name}, which is not installed.", remedy="Install jupyter_qsec[hub]."
        ) from None
    return routes(gateway, hub, site)


async def _serve(options: ServeOptions, state: StateDirectory, ambient: Mapping[str, str]) -> None:
    asyncio.get_running_loop().set_exception_handler(log_unhandled)
    scraper = metrics_token(os.environ)
    listening = listen(place_of(options, state))
    port = listening.port
    hub = _hub(os.environ) if options.identity == "hub" else None
    site = _site(os.environ) if hub else None
    gateway = await build(
        GatewayConfig(
            home=options.home,
            settings=_settings(options.settings),
            shared=options.shared,
            keystore=options.keystore,
            workers=options.workers,
            witness=_witness(os.environ),
            hub=hub,
            database=database_url(os.environ),
            dask=DaskCluster.from_environment(os.environ),
            ambient=ambient,
        )
    )
    token = state.control_token()
    ending = Ending(options.parent_fd, with_parent=options.with_parent)
    await gateway.start()
    try:
        memory = MemoryFile(options.home / "signatures", gateway.page_key)
        memories = memory.take(gateway.ended_before)
        if not memories and gateway.signatures is None and state.saved_port() is not None:
            await _next_second(gateway.clock)  # an earlier process may have seen what was signed in this one
        routes = [*control.routes(gateway, token, scraper), *_dashboard(gateway, hub, site)]
        app = make_app(gateway, routes, listening.authorities, site.prefix if site else "")
        app.recall(memories)
        if options.seat is None:
            state.save_port(port)
        server = make_server(app, listening.tls)
        server.add_sockets([listening.socket])
        if options.seat is None:
            state.announce(port, gateway.instance, moment(gateway.started_at) or "", listening.certificate)
        gc.collect()
        gc.freeze()  # what was loaded stays: collections need not walk it, which would hold up every caller
        print(json.dumps({"event": "ready", "port": port}), flush=True)  # noqa: T201 - the starter waits for this line
        _log.info("serving on %s, port %d", listening.socket.getsockname()[0], port)
        await ending.asked.wait()
        _log.info("ending")
        await _stop(server, app.connections, unhurried=ending.unhurried)
        if sealed := app.seal():
            memory.keep(sealed, gateway.instance)
    finally:
        await gateway.close()


async def _next_second(clock: Clock) -> None:
    """Signatures tell no more of their time than the second."""
    await asyncio.sleep(1 - clock.now().microsecond / 1_000_000)


async def _stop(server: HTTPServer, connections: Connections, *, unhurried: bool) -> None:
    """Take no new connections, let answers go out. Each answer from now on says that its connection ends."""
    server.stop()
    server.conn_params.no_keep_alive = True
    if unhurried:
        await connections.emptied(_UNHURRIED_SECONDS)
    connections.close_quiet()
    await connections.emptied(_GRACE_SECONDS)
    with suppress(TimeoutError):
        await asyncio.wait_for(server.close_all_connections(), _GRACE_SECONDS)

"""The gateway of this account: one of its own, or the one elsewhere that the environment names."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence

from jupyter_qsec.client.api import AsyncControlClient, ControlClient
from jupyter_qsec.client.endpoints import RemoteAddress
from jupyter_qsec.client.home import QsecHome
from jupyter_qsec.client.remote import RemoteGateway
from jupyter_qsec.client.supervision import GatewayCondition, GatewaySupervisor

AnyGateway = GatewaySupervisor | RemoteGateway
_TIMEOUT = 10.0


def gateway_of(
    home: QsecHome,
    *,
    options: Sequence[str] = (),
    environ: Mapping[str, str] = os.environ,
    on_change: Callable[[GatewayCondition], None] | None = None,
    log: logging.Logger | logging.LoggerAdapter[logging.Logger] | None = None,
) -> AnyGateway:
    """Supervised here, or watched where it is; not started. `options` are for one that is started here.

    `InvalidRequestError` when the environment names a gateway in a way that makes no sense."""
    address = RemoteAddress.of_environment(environ)
    if address is None:
        return GatewaySupervisor(home, options=options, on_change=on_change, log=log)
    return RemoteGateway(address, on_change=on_change)


def client_of(gateway: AnyGateway, *, timeout: float = _TIMEOUT) -> ControlClient:
    """For threads. `StateDirectoryError` when there is no token to be had."""
    return ControlClient(
        gateway.endpoints.gateway_url,
        gateway.control_token(),
        timeout=timeout,
        guard=gateway.require_ours,
        trust=gateway.trust(),
    )


def async_client_of(gateway: AnyGateway, *, timeout: float = _TIMEOUT) -> AsyncControlClient:
    """For the event loop; as `client_of`."""
    return AsyncControlClient(
        gateway.endpoints.gateway_url,
        gateway.control_token(),
        timeout=timeout,
        guard=gateway.require_ours,
        trust=gateway.trust(),
    )


def connect(home: QsecHome, *, timeout: float = _TIMEOUT, environ: Mapping[str, str] = os.environ) -> ControlClient:
    """A client of the gateway that runs now; `UnavailableError` when none does."""
    address = RemoteAddress.of_environment(environ)
    if address is not None:
        return ControlClient(address.url, address.token, timeout=timeout, trust=address.trust())
    info, token = home.connect_checked()
    return ControlClient(info.url, token, timeout=timeout, guard=home.connect_checked, trust=info.trust())

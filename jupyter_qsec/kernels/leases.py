"""Where the kernels of this process get their leases: the server extension hands a keeper over, otherwise one is made
on demand."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Mapping

from jupyter_qsec.client.api import ControlClient, LeaseAsk, LeaseRecord
from jupyter_qsec.client.credentials import CredentialListener
from jupyter_qsec.client.endpoints import Endpoints, RemoteAddress
from jupyter_qsec.client.gateways import connect
from jupyter_qsec.client.home import QsecHome
from jupyter_qsec.client.inherited import InheritedLease
from jupyter_qsec.client.leases import LeaseApi, LeaseKeeper
from jupyter_qsec.client.wire import Issued


class HomeLeases:
    """The leases of whichever gateway this account uses at the time of each call."""

    def __init__(self, home: QsecHome) -> None:
        self._home = home
        self._client: ControlClient | None = None

    def issue_lease(self, ask: LeaseAsk) -> Issued:
        return self._api().issue_lease(ask)

    def renew_lease(self, lease_id: str, *, confinement: str | None = None) -> LeaseRecord:
        return self._api().renew_lease(lease_id, confinement=confinement)

    def revoke_lease(self, lease_id: str, *, reason: str = "") -> LeaseRecord:
        return self._api().revoke_lease(lease_id, reason=reason)

    def secrets_of(self, token: str) -> Mapping[str, str]:
        return self._api().secrets_of(token)

    def _api(self) -> ControlClient:
        if self._client is None:
            self._client = connect(self._home)
        return self._client


_lock = threading.Lock()
# One per process, because Jupyter creates provisioners itself and gives them no way to be handed anything.
_keeper: LeaseKeeper | None = None
_endpoints: Callable[[], Endpoints] | None = None
_listeners: dict[RemoteAddress, CredentialListener] = {}
"""What hands on the credentials of a gateway elsewhere; until this process ends."""


def use_keeper(keeper: LeaseKeeper | None, endpoints: Callable[[], Endpoints] | None = None) -> None:
    """Kernels started from now on take their leases from this keeper; `None` returns to one made on demand.

    `endpoints` says where they are answered, if only to say why no gateway runs.
    """
    global _keeper, _endpoints
    with _lock:
        _keeper, _endpoints = keeper, endpoints


def endpoints() -> Endpoints:
    """What kernels are told. `QsecError` when it cannot be known."""
    if _endpoints is not None:
        return _endpoints()
    if (inherited := InheritedLease.of_environment()) is not None:
        return inherited.endpoints
    if (address := RemoteAddress.of_environment()) is not None:
        return Endpoints(address.url, _listener(address).url, address.ca_file)
    return Endpoints.on_loopback(QsecHome.default().gateway_url)


def keeper() -> LeaseKeeper:
    """The keeper in use. One made here ends its leases when the process ends."""
    global _keeper
    with _lock:
        if _keeper is None:
            api: LeaseApi = InheritedLease.of_environment() or HomeLeases(QsecHome.default())
            _keeper = LeaseKeeper(api)
            atexit.register(_keeper.close, "the program that held it ended")
        return _keeper


def _listener(address: RemoteAddress) -> CredentialListener:
    with _lock:
        if address not in _listeners:
            _listeners[address] = CredentialListener(address)
            atexit.register(_listeners[address].close)
        return _listeners[address]

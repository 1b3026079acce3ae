"""The lease keeper of this process: the server extension hands one over, otherwise one is made on demand."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable

from jupyter_qsec.client.api import ControlClient, LeaseAsk, LeaseRecord
from jupyter_qsec.client.endpoints import Endpoints
from jupyter_qsec.client.gateways import connect
from jupyter_qsec.client.home import QsecHome
from jupyter_qsec.client.leases import LeaseKeeper
from jupyter_qsec.client.wire import Issued


class HomeLeases:
    """The leases of whichever gateway runs on a state directory at the time of each call."""

    def __init__(self, home: QsecHome) -> None:
        self._home = home
        self._client: ControlClient | None = None

    def issue_lease(self, ask: LeaseAsk) -> Issued:
        return self._api().issue_lease(ask)

    def renew_lease(self, lease_id: str, *, confinement: str | None = None) -> LeaseRecord:
        return self._api().renew_lease(lease_id, confinement=confinement)

    def revoke_lease(self, lease_id: str, *, reason: str = "") -> LeaseRecord:
        return self._api().revoke_lease(lease_id, reason=reason)

    def _api(self) -> ControlClient:
        if self._client is None:
            self._client = connect(self._home)
        return self._client


_lock = threading.Lock()
# One per process, because Jupyter creates provisioners itself and gives them no way to be handed anything.
_keeper: LeaseKeeper | None = None
_endpoints: Callable[[], Endpoints] | None = None


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
    return Endpoints.on_loopback(QsecHome.default().gateway_url)


def keeper() -> LeaseKeeper:
    """The keeper in use. One made here ends its leases when the process ends."""
    global _keeper
    with _lock:
        if _keeper is None:
            _keeper = LeaseKeeper(HomeLeases(QsecHome.default()))
            atexit.register(_keeper.close, "the program that held it ended")
        return _keeper

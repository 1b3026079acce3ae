"""The gateway as the server extension uses it, with clients that always match the present one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from weakref import WeakKeyDictionary

from jupyter_qsec.client.api import AsyncControlClient, ControlClient
from jupyter_qsec.client.endpoints import Endpoints
from jupyter_qsec.client.gateways import async_client_of, client_of, gateway_of
from jupyter_qsec.client.held import HeldLease
from jupyter_qsec.client.home import QsecHome
from jupyter_qsec.client.leases import LeaseKeeper
from jupyter_qsec.client.supervision import GatewayCondition, GatewayState
from jupyter_qsec.client.wire import Issued, LeaseAsk, LeaseRecord
from jupyter_qsec.scanning.live import MAX_SECRETS, LiveSecrets
from jupyter_qsec.server.notices import Log, Notices

_KERNEL = "kernel:"


@dataclass(frozen=True, slots=True)
class LeaseDefaults:
    """What this server's configuration says about leases that do not say it themselves."""

    tenant: str = ""
    project: str = ""
    max_ttl: timedelta = timedelta(hours=12)

    def applied(self, ask: LeaseAsk) -> LeaseAsk:
        if not ask.tenant:
            ask = replace(ask, tenant=self.tenant, project=ask.project or self.project)
        return ask.limited(self.max_ttl)


class GatewayService:
    """Gateway, lease keeper and clients of one server."""

    def __init__(
        self,
        home: QsecHome,
        notices: Notices,
        log: Log,
        *,
        options: Sequence[str] = (),
        defaults: LeaseDefaults | None = None,
    ) -> None:
        """`options` are for the command line of a gateway that is started here."""
        self.home = home
        self._notices = notices
        self._log = log
        self.gateway = gateway_of(home, options=options, on_change=self._condition_changed, log=log)
        self.issued = LiveSecrets()
        """What the gateway gives to the kernels of this server."""
        self._told: WeakKeyDictionary[HeldLease, Mapping[str, str]] = WeakKeyDictionary()
        self.keeper = LeaseKeeper(
            _Leases(self.client, defaults or LeaseDefaults()),
            on_change=self._lease_changed,
            on_secrets=self._secrets_told,
        )
        self._lock = threading.Lock()
        self._client: tuple[str, ControlClient] | None = None
        self._async_client: tuple[str, AsyncControlClient] | None = None
        self.listeners: list[Callable[[GatewayCondition], object]] = []
        """Called on the event loop after the condition changed."""

    @property
    def condition(self) -> GatewayCondition:
        return self.gateway.condition

    @property
    def endpoints(self) -> Endpoints:
        """What kernels are told."""
        return self.gateway.endpoints

    def start(self) -> None:
        """Returns at once; the gateway starts, or is looked for, beside the server."""
        self.gateway.start()

    def stop(self) -> None:
        """Give up all leases, then end the gateway if it is ours. Blocks for seconds at most."""
        self.keeper.close("the server ended")
        self.gateway.stop()
        if self._client is not None:
            self._client[1].close()

    async def close(self) -> None:
        """Close what belongs to the event loop."""
        if self._async_client is not None:
            await self._async_client[1].close()
            self._async_client = None

    def client(self) -> ControlClient:
        """For threads. Raises `StateDirectoryError` when there is no token to be had."""
        with self._lock:
            url = self.endpoints.gateway_url
            if self._client is None or self._client[0] != url:
                self._client = (url, client_of(self.gateway))
            return self._client[1]

    def api(self) -> AsyncControlClient:
        """For the event loop; as `client`."""
        url = self.endpoints.gateway_url
        if self._async_client is None or self._async_client[0] != url:
            self._async_client = (url, async_client_of(self.gateway, timeout=5))
        return self._async_client[1]

    def _condition_changed(self, condition: GatewayCondition) -> None:
        """On the gateway's thread."""
        if condition.state is GatewayState.FAILED:
            self._log.error("the qsec gateway is not running: %s", condition.reason)
        else:
            self._log.info("the qsec gateway is %s %s", condition.state, condition.reason)
        if condition.state is GatewayState.RUNNING:
            self.keeper.nudge()
        self._notices.gateway(condition.state.value, condition.reason)
        for listener in self.listeners:
            self._notices.on_loop(lambda listener=listener: listener(condition))  # type: ignore[misc]  # bound per turn

    def _secrets_told(self, held: HeldLease, secrets: Mapping[str, str]) -> None:
        """On any thread. With very many kernels those that were told of last count; the others' are found by form."""
        with self._lock:
            self._told.pop(held, None)
            self._told[held] = secrets
            newest: dict[str, str] = {}
            for holder, told in reversed(list(self._told.items())):
                if not holder.closed and len(newest) + len(told) <= MAX_SECRETS:
                    newest |= told
            self.issued.follow(newest)

    def _lease_changed(self, held: HeldLease) -> None:
        """On any thread."""
        if held.problem:
            self._log.warning("lease of %s: %s", held.ask.holder, held.problem)
        if held.ask.holder.startswith(_KERNEL):
            record = held.lease
            self._notices.lease(
                held.ask.holder.removeprefix(_KERNEL),
                "" if record is None else record["id"],
                "none" if record is None else record["state"],
            )


class _Leases:
    """`LeaseApi` over whichever client is right at the time of the call."""

    def __init__(self, client: Callable[[], ControlClient], defaults: LeaseDefaults) -> None:
        self._client, self._defaults = client, defaults

    def issue_lease(self, ask: LeaseAsk) -> Issued:
        return self._client().issue_lease(self._defaults.applied(ask))

    def renew_lease(self, lease_id: str, *, confinement: str | None = None) -> LeaseRecord:
        return self._client().renew_lease(lease_id, confinement=confinement)

    def revoke_lease(self, lease_id: str, *, reason: str = "") -> LeaseRecord:
        return self._client().revoke_lease(lease_id, reason=reason)

    def secrets_of(self, token: str) -> Mapping[str, str]:
        return self._client().secrets_of(token)

"""The dashboard's routes, put together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from jupyter_qsec._version import __version__
from jupyter_qsec.adapters.identity.hubaddress import HubAddress
from jupyter_qsec.domain.times import rfc3339
from jupyter_qsec.gateway.dashboard import evidence, overview, work
from jupyter_qsec.gateway.dashboard.handlers import (
    CallbackHandler,
    Dashboard,
    Deed,
    DeedHandler,
    NothingHandler,
    PageHandler,
    StaticHandler,
    View,
)
from jupyter_qsec.gateway.dashboard.login import CALLBACK, HubLogin, Site
from jupyter_qsec.gateway.dashboard.sealing import Seals

if TYPE_CHECKING:
    from jupyter_qsec.bootstrap import Gateway

_TEMPLATES = Path(__file__).with_name("templates")
_TENANT = r"(?P<id>[a-z][a-z0-9-]{0,39})"
_ID = r"(?P<id>[0-9a-f-]{8,40})"

PAGES: Mapping[str, View] = {
    "": overview.overview,
    "tasks": work.tasks,
    f"tasks/{_ID}": work.task,
    "leases": work.leases,
    "findings": evidence.findings,
    "audit": evidence.audit,
}
"""Path below the prefix, as a regular expression, to what it shows."""
DEEDS: Mapping[str, Deed] = {
    f"tasks/{_ID}/cancel": work.cancel,
    f"leases/{_ID}/revoke": work.revoke,
    rf"queues/{_TENANT}/pause": work.pause,
    rf"queues/{_TENANT}/resume": work.resume,
    "audit/checkpoint": evidence.sign,
}


def routes(gateway: Gateway, hub: HubAddress, site: Site) -> list[Any]:
    """Tornado routes below the prefix at which the hub's proxy has the dashboard."""
    if gateway.identities is None:
        return []
    dashboard = Dashboard(
        gateway, gateway.identities, site, HubLogin(hub, site), Seals(gateway.dashboard_key), _environment()
    )
    base = re.escape(site.prefix)
    found: list[Any] = [
        (rf"{base}{CALLBACK}\Z", CallbackHandler, {"dashboard": dashboard, "operation": "GET callback"}),
        (
            rf"{base}static/(?P<name>dashboard\.css|dashboard\.js)\Z",
            StaticHandler,
            {"dashboard": dashboard, "operation": "GET static"},
        ),
    ]
    for path, view in PAGES.items():
        shared = {"dashboard": dashboard, "operation": f"GET {_template(path) or 'overview'}"}
        found.append((rf"{base}{path}\Z", PageHandler, {**shared, "view": view}))
    for path, deed in DEEDS.items():
        shared = {"dashboard": dashboard, "operation": f"POST {_template(path)}"}
        found.append((rf"{base}{path}\Z", DeedHandler, {**shared, "deed": deed}))
    return [*found, (rf"{base}.*", NothingHandler, {"dashboard": dashboard})]


def _template(path: str) -> str:
    return path.replace(_ID, "{id}").replace(_TENANT, "{tenant}")


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals["version"] = __version__
    environment.filters |= {"iso": rfc3339, "moment": _moment, "span": _span, "number": _number, "usd": _usd}
    return environment


def _moment(value: datetime) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S}"


def _span(value: timedelta) -> str:
    """A duration as people say it: `320 ms`, `4.2 s`, `12 min`, `3 h 20 min`."""
    seconds = value.total_seconds()
    if seconds < 1:
        return f"{max(0, seconds) * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds // 3600:.0f} h {seconds % 3600 / 60:.0f} min"


def _number(value: int) -> str:
    return f"{value:,}"


def _usd(value: Decimal) -> str:
    """Dollars with as many places as small amounts need."""
    return f"${value:,.2f}" if value >= 1 or value == 0 else f"${value:.6f}".rstrip("0")

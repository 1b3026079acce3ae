"""Makes a JupyterHub use a gateway: the service, its scopes and roles, and what single-user servers need."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jupyter_qsec.adapters.catalogue import catalogue_of
from jupyter_qsec.adapters.identity.jupyterhub import READ_SCOPE, WRITE_SCOPE
from jupyter_qsec.adapters.policy import CedarPolicy, policies_in
from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.domain.provider import CredentialSource
from jupyter_qsec.hub.trust import trust_gateway

SERVICE = "qsec"
_GATEWAY_SCOPES = ("list:users", "read:users:groups", "read:services:name")
_SERVER_SCOPES = ("users:activity!user", "access:servers!server", WRITE_SCOPE)
_HANDED_ON = (
    "JUPYTER_QSEC_DASK_SCHEDULER",
    "JUPYTER_QSEC_DASK_TLS_CA",
    "JUPYTER_QSEC_DASK_TLS_CERT",
    "JUPYTER_QSEC_DASK_TLS_KEY",
    "JUPYTER_QSEC_DATABASE_PASSWORD_FILE",
    "JUPYTER_QSEC_DATABASE_URL",
    "JUPYTER_QSEC_LOG",
    "JUPYTER_QSEC_LOG_FORMAT",
    "JUPYTER_QSEC_METRICS_TOKEN_FILE",
    "JUPYTER_QSEC_WITNESS",
)
"""Variables of the hub that the gateway goes by: a hub gives its services nothing else of its environment."""


def configure(
    c: Any,
    *,
    state: str | Path = "qsec",
    config: str | Path | None = None,
    url: str = "http://127.0.0.1:8765",
    bind: str = "127.0.0.1",
    certificate: str | Path | None = None,
    key: str | Path | None = None,
    ca: str | Path | None = None,
    api_token: str = "",
    services: Sequence[str] = (),
    claims: bool = False,
    dashboard: bool | None = None,
    registered_secrets: str | Path | None = None,
    options: Sequence[str] = (),
) -> None:
    """Call it at the end of `jupyterhub_config.py`, with the `c` of that file.

    The hub starts the gateway and ends it, unless `api_token` says that somebody else does. Then the gateway has the
    hub's variables `JUPYTER_QSEC_…` that say where it keeps state, simulates and logs.

    c: the hub's configuration.
    state: the gateway's state directory, for nobody but the hub's account (mode 0700; made when it is missing).
    config: a directory with `tenants.toml` and `policies/`; by default the state directory.
    url: how single-user servers reach the gateway; http on loopback, https everywhere else.
    bind: the address that the gateway binds, on the port of `url`.
    certificate, key, ca: PEM files: the gateway's certificate and key, and the authority that signed it, which
        single-user servers must be able to read. Without a `ca` they trust the system's authorities.
    api_token: the service token of a gateway that runs elsewhere; it is started there with the same token.
    services: names of further services of the hub that may take leases (`[[member]] service = …` maps them).
    claims: whether `tenants.toml` maps claims, so that the gateway may read people's `auth_state`.
    dashboard: whether the hub's proxy has the dashboard at `/services/qsec/`. By default it has, where hub and proxy
        trust the gateway's certificate or can be told to: see docs/hub.md.
    registered_secrets: a file that `jupyter qsec secrets add NAME --file …` made and people's servers can read: what is
        registered there is found in all of them.
    options: more options of `python -m jupyter_qsec.gateway serve`.

    Raises `InvalidRequestError` for a combination that could not work, and for a mistake in `tenants.toml` or a policy,
    so that the hub does not start rather than without its gateway.
    """
    port = _port(url)
    trusted = trust_gateway(c, url, ca=ca, wanted=dashboard)
    dashboard = trusted if dashboard is None else dashboard
    service: dict[str, Any] = {"name": SERVICE, "display": dashboard}
    if dashboard:
        service |= {"url": url, "oauth_no_confirm": True, "oauth_client_allowed_scopes": [WRITE_SCOPE]}
    if api_token:
        service |= {"api_token": api_token}
    else:
        handed = _handed_on(Path(state if config is None else config))
        command = [sys.executable, "-m", "jupyter_qsec.gateway", "serve", "--identity", "hub", "--with-parent"]
        command += ["--home", str(Path(state).absolute()), "--keystore", "file"]
        command += ["--bind", bind, "--port", str(port), "--url", url]
        for name, path in (("--config", config), ("--certificate", certificate), ("--key", key)):
            command += [] if path is None else [name, str(Path(path).absolute())]
        service |= {"command": [*command, *options], "environment": handed}
    _extend(c.JupyterHub, "services", [service])
    _update(
        c.JupyterHub,
        "custom_scopes",
        {
            READ_SCOPE: {"description": "See one's own leases and quantum tasks"},
            WRITE_SCOPE: {"description": "Take leases for quantum tasks", "subscopes": [READ_SCOPE]},
        },
    )
    gateway_scopes = [*_GATEWAY_SCOPES, *(["admin:auth_state"] if claims else [])]
    own = [WRITE_SCOPE, f"access:services!service={SERVICE}"] if dashboard else [WRITE_SCOPE]
    _extend_role(c.JupyterHub, "user", ["self"], own)
    _extend(c.JupyterHub, "load_roles", [{"name": "qsec-gateway", "scopes": gateway_scopes, "services": [SERVICE]}])
    if services:
        role = {"name": "qsec-automation", "scopes": [WRITE_SCOPE], "services": list(services)}
        _extend(c.JupyterHub, "load_roles", [role])
    _extend_server_scopes(c.Spawner)
    environment = {"JUPYTER_QSEC_GATEWAY_URL": url, "JUPYTER_DEFAULT_PROVISIONER_NAME": "qsec-provisioner"}
    if ca is not None:
        environment["JUPYTER_QSEC_GATEWAY_CA"] = str(Path(ca).absolute())
    if registered_secrets is not None:
        environment["JUPYTER_QSEC_SHARED_SECRETS"] = str(Path(registered_secrets).absolute())
    _update(c.Spawner, "environment", environment)


def _handed_on(settings: Path) -> dict[str, str]:
    """What the gateway gets of the hub's environment. `InvalidRequestError` for settings that stop its start."""
    catalogue = catalogue_of(settings)
    CedarPolicy(policies_in(settings / "policies"))
    handed = {name: os.environ[name] for name in _HANDED_ON if os.environ.get(name)}
    if catalogue.provider is not None and catalogue.provider.source is CredentialSource.AMBIENT:
        handed |= {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    return handed


def _port(url: str) -> int:
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        raise InvalidRequestError(f"url={url!r} is not an address such as https://qsec.example.org:8443.") from None
    return port


def _extend(section: Any, name: str, more: list[Any]) -> None:
    """Also when the file has set a list before; traitlets' lazy values merge with what comes from elsewhere."""
    if isinstance(present := section.get(name), list):
        section[name] = [*present, *more]
    else:
        section[name].extend(more)


def _update(section: Any, name: str, more: dict[str, Any]) -> None:
    if isinstance(present := section.get(name), dict):
        section[name] = {**present, **more}
    else:
        section[name].update(more)


def _extend_role(section: Any, name: str, default: list[str], more: list[str]) -> None:
    """Add scopes to a role that the file may define itself; JupyterHub takes one definition of a role."""
    present = section.get("load_roles")
    if isinstance(present, list):
        for role in present:
            if role.get("name") == name:
                role["scopes"] = [*role.get("scopes", []), *more]
                return
    _extend(section, "load_roles", [{"name": name, "scopes": [*default, *more]}])


def _extend_server_scopes(section: Any) -> None:
    present = section.get("server_token_scopes")
    if callable(present):
        section["server_token_scopes"] = lambda spawner: [*present(spawner), WRITE_SCOPE]
    elif isinstance(present, list):
        section["server_token_scopes"] = [*present, WRITE_SCOPE]
    else:
        section["server_token_scopes"] = list(_SERVER_SCOPES)

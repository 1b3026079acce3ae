"""Where a leased process finds its gateway, and where a gateway that runs elsewhere is."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from jupyter_qsec.client.shown import FILE_VARIABLE, HUB_VARIABLE, TokenSource, source_of
from jupyter_qsec.domain.addresses import is_loopback
from jupyter_qsec.domain.errors import InvalidRequestError

URL_VARIABLE, CA_VARIABLE = "JUPYTER_QSEC_GATEWAY_URL", "JUPYTER_QSEC_GATEWAY_CA"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What a leased process is told."""

    gateway_url: str
    """Without a trailing slash; https, or http on loopback."""
    credentials_url: str
    """On loopback, because botocore fetches container credentials over plain http from there alone."""
    ca_file: str = ""
    """Whom to trust for an https gateway; empty: the system's authorities."""

    @classmethod
    def on_loopback(cls, gateway_url: str) -> Endpoints:
        """Those of a gateway of this machine, which serves the credentials itself."""
        return cls(gateway_url, f"{gateway_url}/credentials")


@dataclass(frozen=True, slots=True)
class RemoteAddress:
    """A gateway that somebody else runs, such as a hub's, and the token that this process shows there."""

    url: str
    token: TokenSource = field(repr=False)
    ca_file: str = ""

    def __post_init__(self) -> None:
        wrong = InvalidRequestError(f"{URL_VARIABLE} is not an address such as https://qsec.example.org:8443.")
        try:
            parts = urlsplit(self.url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise wrong from None
        if not host or port == 0 or parts.scheme not in ("http", "https"):
            raise wrong
        if parts.path or parts.query or parts.fragment or parts.username is not None:
            raise InvalidRequestError(f"{URL_VARIABLE} must be scheme, host and port, with nothing after them.")
        if parts.scheme == "http" and not is_loopback(host):
            raise InvalidRequestError(
                f"{URL_VARIABLE} names a gateway on another machine without https: tokens would be readable.",
                remedy="Give the gateway a certificate, and the address https://…",
            )
        if self.ca_file and not Path(self.ca_file).is_file():
            raise InvalidRequestError(f"{CA_VARIABLE} names {self.ca_file}, which is not a file.")

    @classmethod
    def of_environment(cls, environ: Mapping[str, str] = os.environ) -> RemoteAddress | None:
        """The gateway that the environment names; `None`: this account runs its own. `InvalidRequestError` for an
        address that makes no sense or has no token."""
        url = environ.get(URL_VARIABLE, "").rstrip("/")
        if not url:
            return None
        token = source_of(environ, url)
        if token is None:
            raise InvalidRequestError(
                f"{URL_VARIABLE} is set, and neither {HUB_VARIABLE} nor {FILE_VARIABLE} is: there is nothing to show to"
                " that gateway.",
                remedy="Run this in a server of the hub, set the token of one of its services, or name a file with the"
                " token of a workload (docs/workloads.md).",
            )
        return cls(url, token, environ.get(CA_VARIABLE, ""))

    def trust(self) -> ssl.SSLContext:
        """`InvalidRequestError` for a file that holds no certificates."""
        try:
            return ssl.create_default_context(cafile=self.ca_file or None)
        except (OSError, ValueError):
            raise InvalidRequestError(f"{CA_VARIABLE} names {self.ca_file}, which holds no certificates.") from None

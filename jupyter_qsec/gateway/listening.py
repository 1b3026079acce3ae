"""Where the gateway listens: on loopback, or over TLS under a name of its own. Never in clear on a network."""

from __future__ import annotations

import errno
import ipaddress
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from jupyter_qsec.domain.addresses import is_loopback
from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.gateway.exits import PortTakenError

LOOPBACK = "127.0.0.1"
_LOOPBACK_NAMES = ("127.0.0.1", "localhost")
_BACKLOG = 512


@dataclass(frozen=True, slots=True)
class Place:
    """Where a gateway is to listen, as asked for."""

    fd: int | None = None
    """An inherited listening socket; otherwise `port`, or any free one, is bound."""
    port: int | None = None
    bind: str = LOOPBACK
    url: str = ""
    """How clients that are elsewhere name it, such as `https://qsec.example.org:8443`."""
    certificate: Path | None = None
    """PEM with the chain; together with `key` it makes every connection TLS."""
    key: Path | None = None

    def with_hub_certificate(self, environ: Mapping[str, str]) -> Place:
        """With the certificate of the hub's internal SSL, where there is one and no other was named."""
        certificate, key = environ.get("JUPYTERHUB_SSL_CERTFILE"), environ.get("JUPYTERHUB_SSL_KEYFILE")
        if self.certificate is not None or not certificate or not key:
            return self
        return Place(self.fd, self.port, self.bind, self.url, Path(certificate), Path(key))


@dataclass(frozen=True)
class Listening:
    """An open place."""

    socket: socket.socket
    tls: ssl.SSLContext | None
    authorities: frozenset[str]
    """What the Host header may say, in lower case."""
    certificate: str = ""
    """The certificate itself in PEM form; empty without TLS."""

    @property
    def port(self) -> int:
        return int(self.socket.getsockname()[1])


def listen(place: Place, *, now: datetime | None = None) -> Listening:
    """`InvalidRequestError` for what would be unsafe or could not work, `PortTakenError`."""
    scheme, authority, host = _named(place.url)
    tls, certificate = _tls(place, host, now or datetime.now(UTC))
    if place.fd is None:
        _require_unreadable(place.bind, tls)
    if scheme and scheme != ("http" if tls is None else "https"):
        raise InvalidRequestError(
            f"--url begins with {scheme}, but the gateway {'has no' if tls is None else 'has a'} certificate.",
            remedy="Let the two agree.",
        )
    opened = _inherited(place.fd, tls) if place.fd is not None else _bound(place.bind, place.port or 0)
    port = int(opened.getsockname()[1])
    authorities = {f"{name}:{port}" for name in _LOOPBACK_NAMES} | ({authority} if authority else set())
    return Listening(opened, tls, frozenset(authorities), certificate)


def _named(url: str) -> tuple[str, str, str]:
    """Scheme, authority and host of `--url`."""
    if not url:
        return "", "", ""
    wrong = InvalidRequestError("--url must be scheme, host and port, such as https://qsec.example.org:8443.")
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and parts.username is None
    except ValueError:
        raise wrong from None
    if not valid or parts.path.strip("/") or parts.query or parts.fragment:
        raise wrong
    return parts.scheme, parts.netloc.lower(), parts.hostname or ""


def _tls(place: Place, host: str, now: datetime) -> tuple[ssl.SSLContext | None, str]:
    if place.certificate is None and place.key is None:
        return None, ""
    if place.certificate is None or place.key is None:
        raise InvalidRequestError("--certificate and --key go together.")
    from jupyter_qsec.gateway.servercertificate import server_context

    return server_context(place.certificate, place.key, host, now)


def _bound(address: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
    except ValueError:
        raise InvalidRequestError(f"--bind {address} is not an IP address.") from None
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            raise PortTakenError(
                f"Port {port} is taken by another program.", remedy="End that program, or choose another with --port."
            ) from None
        if error.errno == errno.EADDRNOTAVAIL:
            raise InvalidRequestError(f"--bind {address} is no address of this machine.") from None
        raise
    listener.setblocking(False)
    return listener


def _inherited(descriptor: int, tls: ssl.SSLContext | None) -> socket.socket:
    try:
        listener = socket.socket(fileno=descriptor)
    except OSError as error:
        raise InvalidRequestError(f"--fd {descriptor} is not a socket.") from error
    try:
        internet = listener.family in (socket.AF_INET, socket.AF_INET6)
        if not internet or not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise InvalidRequestError(f"--fd {descriptor} is not a socket that listens on an IP address.")
        _require_unreadable(str(listener.getsockname()[0]), tls)
    except InvalidRequestError:
        listener.detach()  # it is the starter's: leave it open
        raise
    listener.setblocking(False)
    return listener


def _require_unreadable(address: str, tls: ssl.SSLContext | None) -> None:
    if tls is None and not is_loopback(address):
        raise InvalidRequestError(
            f"On {address} the gateway would speak plain http, and whoever is on the way could read it.",
            remedy="Give it --certificate and --key (python -m jupyter_qsec.gateway certificates makes them).",
        )

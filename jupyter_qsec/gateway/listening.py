"""Where the gateway listens: on loopback, or over TLS under a name of its own. Never in clear on a network."""

from __future__ import annotations

import errno
import ipaddress
import logging
import socket
import ssl
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from jupyter_qsec.domain.addresses import is_loopback
from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.gateway.exits import PortTakenError

LOOPBACK = "127.0.0.1"
_LOOPBACK_NAMES = ("127.0.0.1", "localhost")
_BACKLOG = 512
_SOON = timedelta(days=14)
_MAX_CERTIFICATE = 1 << 20
_OTHERS = stat.S_IROTH | stat.S_IWOTH

_log = logging.getLogger(__name__)


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
    _require_private(place.key)
    leaf = _good(place.certificate, host, now)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(place.certificate, place.key)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
        raise InvalidRequestError(f"The certificate and the key cannot be used together ({reason}).") from None
    return context, leaf.public_bytes(serialization.Encoding.PEM).decode("ascii")


def _require_private(key: Path) -> None:
    try:
        mode = key.stat().st_mode
    except OSError as error:
        raise InvalidRequestError(f"The key {key} cannot be read: {error.strerror}.") from None
    if mode & _OTHERS:
        raise InvalidRequestError(f"The key {key} is open to everybody.", remedy=f"Run: chmod 600 {key}")


def _good(certificate: Path, host: str, now: datetime) -> x509.Certificate:
    """The certificate, or why clients would refuse it: each of them with an error of its own that names no file."""
    try:
        with certificate.open("rb") as file:
            leaf = x509.load_pem_x509_certificates(file.read(_MAX_CERTIFICATE))[0]
    except OSError as error:
        raise InvalidRequestError(f"The certificate {certificate} cannot be read: {error.strerror}.") from None
    except ValueError:
        raise InvalidRequestError(f"{certificate} holds no certificate in PEM form.") from None
    if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        word = "expired on" if now > leaf.not_valid_after_utc else "is not valid before"
        moment = leaf.not_valid_after_utc if now > leaf.not_valid_after_utc else leaf.not_valid_before_utc
        raise InvalidRequestError(f"The certificate {certificate} {word} {moment:%Y-%m-%d}.", remedy="Renew it.")
    if host and not _is_for(leaf, host):
        raise InvalidRequestError(
            f"The certificate {certificate} is not for {host}: clients would refuse it.",
            remedy=f"Make one with the name {host}, or give --url a name that it has.",
        )
    if leaf.not_valid_after_utc - now < _SOON:
        _log.warning("the certificate expires on %s", leaf.not_valid_after_utc.strftime("%Y-%m-%d"))
    return leaf


def _is_for(leaf: x509.Certificate, host: str) -> bool:
    """By the subject's alternative names alone, as today's clients do; a `*` stands for one label."""
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    try:
        return ipaddress.ip_address(host) in names.get_values_for_type(x509.IPAddress)
    except ValueError:
        known = {name.lower() for name in names.get_values_for_type(x509.DNSName)}
        return host in known or f"*.{host.partition('.')[2]}" in known


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

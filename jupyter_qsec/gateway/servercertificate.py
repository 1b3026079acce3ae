"""The certificate that the gateway shows: one that clients would refuse is refused at the start, with the reason."""

from __future__ import annotations

import ipaddress
import logging
import ssl
import stat
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from jupyter_qsec.domain.errors import InvalidRequestError

_SOON = timedelta(days=14)
_MAX_CERTIFICATE = 1 << 20
_OTHERS = stat.S_IROTH | stat.S_IWOTH

_log = logging.getLogger(__name__)


def server_context(certificate: Path, key: Path, host: str, now: datetime) -> tuple[ssl.SSLContext, str]:
    """For connections under the name `host`, and the certificate itself in PEM form. `InvalidRequestError`."""
    _require_private(key)
    leaf = _good(certificate, host, now)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
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

"""A certificate authority of one's own, and the gateway's certificate by it: for those who have no other.

Formats: X.509 v3 (RFC 5280), PEM; ECDSA on P-256. The authority's key is needed again only for renewals and may be kept
elsewhere.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from jupyter_qsec.adapters.privatefiles import ensure_private_directory, replace_private
from jupyter_qsec.domain.errors import InvalidRequestError

AUTHORITY, AUTHORITY_KEY = "ca.pem", "ca.key"
CERTIFICATE, KEY = "gateway.pem", "gateway.key"
_AUTHORITY_LIFE, _LIFE = timedelta(days=3650), timedelta(days=397)
_BEFORE = timedelta(minutes=10)  # the clock of another machine may be behind


def make_certificates(folder: Path, names: Sequence[str], *, now: datetime | None = None) -> None:
    """Write the gateway's certificate for these host names and addresses, and the authority when there is none yet.

    `InvalidRequestError` for names that cannot be in a certificate and for an authority that cannot be used."""
    now = now or datetime.now(UTC)
    alternatives = [_alternative(name) for name in names]
    if not alternatives:
        raise InvalidRequestError("Name at least one host, such as qsec.example.org.")
    ensure_private_directory(folder)
    authority, authority_key = _authority(folder, now)
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "jupyter_qsec gateway")]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BEFORE)
        .not_valid_after(min(now + _LIFE, authority.not_valid_after_utc))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    replace_private(folder / KEY, _private(key))
    replace_private(folder / CERTIFICATE, leaf.public_bytes(serialization.Encoding.PEM))


def _authority(folder: Path, now: datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """The one that lies there, or a new one."""
    certificate, key = folder / AUTHORITY, folder / AUTHORITY_KEY
    if certificate.exists() != key.exists():
        missing = key if certificate.exists() else certificate
        raise InvalidRequestError(f"{missing} is missing, its counterpart is there.", remedy="Bring it back.")
    if not certificate.exists():
        return _new_authority(folder, now)
    try:
        present = x509.load_pem_x509_certificate(certificate.read_bytes())
        secret = serialization.load_pem_private_key(key.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise InvalidRequestError(f"The authority in {folder} cannot be read ({type(error).__name__}).") from None
    if not isinstance(secret, ec.EllipticCurvePrivateKey) or secret.public_key() != present.public_key():
        raise InvalidRequestError(f"The two files of the authority in {folder} do not belong together.")
    if present.not_valid_after_utc <= now:
        raise InvalidRequestError(
            f"The authority in {folder} expired on {present.not_valid_after_utc:%Y-%m-%d}.",
            remedy="Move it away; then a new one is made, which clients must be given.",
        )
    return present, secret


def _new_authority(folder: Path, now: datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "jupyter_qsec authority")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BEFORE)
        .not_valid_after(now + _AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    replace_private(folder / AUTHORITY_KEY, _private(key))
    replace_private(folder / AUTHORITY, made.public_bytes(serialization.Encoding.PEM))
    return made, key


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        encoded = name.encode("idna").decode("ascii")
    except UnicodeError:
        encoded = ""
    labels = encoded.removeprefix("*.").split(".")
    if len(encoded) > 253 or not all(label.replace("-", "").isalnum() for label in labels):
        raise InvalidRequestError(f"{name[:60]!r} is neither a host name nor an IP address.")
    return x509.DNSName(encoded)
